//! Volumes of the pod: empty ones on the scratch disk or in memory, and sets of files that are replaced as one.

use crate::boot;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::spec::{Medium, Volume, VolumeFile, VolumeSource};
use crate::sys::{self, mount};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path};

#[derive(Default)]
pub struct Volumes {
    made: BTreeMap<String, Made>,
    /// Each version of a set of files has its own directory.
    next_version: u64,
}

pub struct Made {
    pub directory: String,
    /// The version in place of a set of files. Remembered here: what is in the directory may be a tenant's doing.
    version: Option<u64>,
}

impl Made {
    /// As in Kubernetes, no container writes to what the agent replaces.
    pub fn is_read_only(&self) -> bool {
        self.version.is_some()
    }
}

/// Volume and container names are parts of paths of ours.
pub fn check_name(name: &str) -> Outcome<()> {
    let is_good = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
        && !name.starts_with('.');
    if is_good { Ok(()) } else { Err(Failure::bad(format!("{name:?} is not a name ([a-z0-9-]{{1,63}})"))) }
}

/// Relative, without `..` or empty parts.
fn check_path(path: &str) -> Outcome<()> {
    let is_good = !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if is_good && !path.starts_with("..") {
        Ok(())
    } else {
        Err(Failure::bad(format!("{path:?} is not a relative path")))
    }
}

impl Volumes {
    pub fn get(&self, name: &str) -> Outcome<&Made> {
        self.made.get(name).ok_or_else(|| Failure::new(Code::NotFound, format!("there is no volume {name:?}")))
    }

    pub fn put(&mut self, volumes: &[Volume]) -> Outcome<()> {
        for volume in volumes {
            check_name(&volume.name)?;
            match (&volume.source, self.made.get(&volume.name)) {
                (VolumeSource::Empty { .. }, Some(made)) if made.version.is_none() => {}
                (VolumeSource::Empty { medium, size_limit_bytes }, None) => {
                    self.make_empty(&volume.name, *medium, *size_limit_bytes)?;
                }
                (VolumeSource::Files { files, gid }, made) if made.is_none_or(Made::is_read_only) => {
                    let directory = format!("{}/{}", boot::VOLUMES, volume.name);
                    let previous = made.and_then(|made| made.version);
                    self.next_version += 1;
                    put_files(Path::new(&directory), previous, self.next_version, files, *gid)?;
                    self.made.insert(volume.name.clone(), Made { directory, version: Some(self.next_version) });
                }
                _ => return Err(Failure::bad(format!("volume {} is there with another type", volume.name))),
            }
        }
        Ok(())
    }

    fn make_empty(&mut self, name: &str, medium: Medium, size_limit_bytes: Option<u64>) -> Outcome<()> {
        let path = match medium {
            Medium::Disk => format!("{}/v-{name}", boot::POD),
            Medium::Memory => format!("{}/{name}", boot::VOLUMES),
        };
        fs::create_dir(&path).step(Code::MountFailed, &format!("make volume {name}"))?;
        if medium == Medium::Memory {
            let options = size_limit_bytes.map_or_else(String::new, |bytes| format!(",size={bytes}"));
            let (target, options) = (sys::c_string(&path), sys::c_string(&format!("mode=1777{options}")));
            let (target, options) = (target.step(Code::Internal, "path")?, options.step(Code::Internal, "options")?);
            mount::mount(c"tmpfs", &target, c"tmpfs", libc::MS_NODEV, &options)
                .step(Code::MountFailed, &format!("mount volume {name}"))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))
            .step(Code::MountFailed, "open a volume to all")?;
        self.made.insert(name.to_owned(), Made { directory: path, version: None });
        Ok(())
    }
}

/// As Kubernetes' atomic writer: the names are links to `..data/NAME`, and `..data` is a link that is swapped.
fn put_files(root: &Path, previous: Option<u64>, version: u64, files: &[VolumeFile], gid: Option<u32>) -> Outcome<()> {
    let name = root.file_name().unwrap_or_default().display();
    let failed = |what: &str| format!("write files of volume {name}: {what}");
    for file in files {
        check_path(&file.path)?;
    }
    if previous.is_none() {
        fs::create_dir_all(root).step(Code::MountFailed, &failed("make directory"))?;
    }
    let data = format!("..{version}");
    let directory = root.join(&data);
    fs::create_dir(&directory).step(Code::MountFailed, &failed("make directory"))?;
    let written = write_version(&directory, files, gid).step(Code::MountFailed, &failed("write"));
    if written.is_err() {
        // Nothing refers to it yet.
        let _ = fs::remove_dir_all(&directory);
    }
    written?;
    let temporary = root.join("..new");
    // Of an attempt that failed half-way.
    let _ = fs::remove_file(&temporary);
    symlink(&data, &temporary)
        .and_then(|()| fs::rename(&temporary, root.join("..data")))
        .step(Code::MountFailed, &failed("switch"))?;
    let names: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    link_names(root, &names).step(Code::MountFailed, &failed("link"))?;
    match previous {
        Some(previous) => fs::remove_dir_all(root.join(format!("..{previous}")))
            .step(Code::MountFailed, &failed("remove the old version")),
        None => Ok(()),
    }
}

fn write_version(directory: &Path, files: &[VolumeFile], gid: Option<u32>) -> std::io::Result<()> {
    let own = |path: &Path, mode: u32| {
        if gid.is_some() {
            chown(path, None, gid)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    own(directory, 0o755)?;
    for file in files {
        let path = directory.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let content =
            BASE64_STANDARD.decode(&file.content).map_err(|_| std::io::Error::from_raw_os_error(libc::EINVAL))?;
        fs::write(&path, content)?;
        own(&path, file.mode & 0o7777)?;
    }
    Ok(())
}

fn link_names(root: &Path, names: &BTreeSet<&str>) -> std::io::Result<()> {
    for name in names {
        match symlink(format!("..data/{name}"), root.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => result?,
        }
    }
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !names.contains(name.as_str()) {
            fs::remove_file(root.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> VolumeFile {
        VolumeFile { path: path.into(), mode: 0o640, content: BASE64_STANDARD.encode(text) }
    }

    #[test]
    fn files_are_replaced_as_one_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        put_files(directory.path(), None, 1, &[file("a", "one"), file("d/b", "two")], None).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("a")).unwrap(), "one");
        assert_eq!(fs::read_to_string(directory.path().join("d/b")).unwrap(), "two");
        assert_eq!(fs::metadata(directory.path().join("a")).unwrap().permissions().mode() & 0o7777, 0o640);
        put_files(directory.path(), Some(1), 2, &[file("a", "three"), file("c", "four")], None).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("a")).unwrap(), "three");
        assert!(!directory.path().join("d").exists());
        assert!(!directory.path().join("..1").exists());
        assert_eq!(fs::read_link(directory.path().join("..data")).unwrap(), Path::new("..2"));
    }

    #[test]
    fn paths_that_climb_out_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["", "/etc/passwd", "../x", "a/../../x", "..data"] {
            let refused = put_files(directory.path(), None, 1, &[file(path, "")], None);
            assert_eq!(refused.unwrap_err().code, Code::BadRequest, "{path:?}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_are_plain() {
        assert!(check_name("web-1.data").is_ok());
        for name in ["", ".", "..", "a/b", "A", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
