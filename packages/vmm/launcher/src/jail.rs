//! The file system the monitor sees: the system's programs and libraries read-only, four devices, the files it boots.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, Dev, FileType, Gid, Mode, Uid, chown, makedev, mknodat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root, umask};

use crate::failure::{Failure, Step};
use crate::plan::Plan;

/// Where QEMU, its firmware and the libraries of both are. On merged systems all but the first are symbolic links.
const SYSTEM_DIRECTORIES: [&str; 3] = ["usr", "lib", "lib64"];
/// No NODEV: the device nodes live on it. Nobody in the jail has the capability to make more.
const ROOT_FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);
const LIBRARY_CACHE: &str = "etc/ld.so.cache";

/// What is in every jail, mounted where it will be the root; the host's tree stays in sight.
pub fn prepare(root: &Path) -> Result<(), Failure> {
    // What is made below is for everyone in the jail to read.
    umask(Mode::WGRP | Mode::WOTH);
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).step("mount-private", "/")?;
    mount("jail", root, "tmpfs", ROOT_FLAGS, c"mode=755,size=1m,nr_inodes=64")
        .step("mount-root", &root.to_string_lossy())?;

    for name in SYSTEM_DIRECTORIES {
        show_directory(root, name)?;
    }
    if Path::new("/").join(LIBRARY_CACHE).is_file() {
        fs::create_dir(root.join("etc")).step("mount-file", "etc")?;
        show_file(&Path::new("/").join(LIBRARY_CACHE), &root.join(LIBRARY_CACHE))?;
    }
    make_devices(root)
}

/// Adds what the plan names, and makes it the root. From here on there is nothing else.
pub fn enter(root: &Path, plan: &Plan) -> Result<(), Failure> {
    umask(Mode::WGRP | Mode::WOTH);
    for (source, target) in &plan.binds {
        show_file(source, &root.join(target))?;
    }
    if let Some(name) = &plan.descriptors_at {
        show_descriptors(&root.join(name))?;
    }
    if plan.has_kvm {
        make_device(root, "kvm", makedev(10, 232), Mode::RUSR | Mode::WUSR, plan.user_id)?;
    }

    chdir(root).step("pivot-root", &root.to_string_lossy())?;
    pivot_root(".", ".").step("pivot-root", &root.to_string_lossy())?;
    // The old root lies on top of the new one now.
    unmount(".", UnmountFlags::DETACH).step("unmount-host", "/")?;
    chdir("/").step("pivot-root", "/")?;
    mount_remount("/", ROOT_FLAGS | MountFlags::RDONLY, c"").step("read-only-root", "/")
}

fn show_directory(root: &Path, name: &str) -> Result<(), Failure> {
    let source = Path::new("/").join(name);
    let target = root.join(name);
    if let Ok(link) = fs::read_link(&source) {
        return symlink(link, &target).step("mount-system", name);
    }
    if !source.is_dir() {
        return Ok(());
    }
    fs::create_dir(&target).step("mount-system", name)?;
    bind_read_only(&source, &target, MountFlags::empty())
}

/// The monitor opens the memory of its template by a path, and there is no /proc in the jail: this much of it is.
/// Opening a descriptor again takes the permissions that opening its file would, so none gains any.
fn show_descriptors(target: &Path) -> Result<(), Failure> {
    fs::create_dir(target).step("mount-descriptors", &target.to_string_lossy())?;
    // By number: /proc/self would be whoever looks.
    let own = format!("/proc/{}/fd", std::process::id());
    bind_read_only(Path::new(&own), target, MountFlags::NOEXEC)
}

fn show_file(source: &Path, target: &Path) -> Result<(), Failure> {
    fs::File::create(target).step("mount-file", &target.to_string_lossy())?;
    bind_read_only(source, target, MountFlags::NOEXEC)
}

fn bind_read_only(source: &Path, target: &Path, more: MountFlags) -> Result<(), Failure> {
    let object = source.to_string_lossy();
    mount_bind(source, target).step("mount-bind", &object)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | more;
    mount_remount(target, flags, c"").step("mount-read-only", &object)
}

fn make_devices(root: &Path) -> Result<(), Failure> {
    fs::create_dir(root.join("dev")).step("make-device", "/dev")?;
    let everyone = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
    for (name, minor) in [("null", 3), ("zero", 5), ("urandom", 9)] {
        make_device(root, name, makedev(1, minor), everyone, 0)?;
    }
    Ok(())
}

fn make_device(root: &Path, name: &str, device: Dev, mode: Mode, owner: u32) -> Result<(), Failure> {
    let path = root.join("dev").join(name);
    mknodat(CWD, &path, FileType::CharacterDevice, mode, device).step("make-device", name)?;
    // The mask took the write permission of others away.
    rustix::fs::chmod(&path, mode).step("make-device", name)?;
    chown(&path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner))).step("make-device", name)
}
