//! Removing what a tenant made, however deep: directories are moved up beside each other, never descended into.

use std::fs;
use std::io::Result;
use std::path::Path;

/// Removes everything in `trash`. Stops at the first error: the file system is then sick or read-only.
pub fn empty(trash: &Path) -> Result<()> {
    let mut next = 0u64;
    loop {
        let mut is_empty = true;
        for entry in fs::read_dir(trash)? {
            is_empty = false;
            flatten(trash, &entry?.path(), &mut next)?;
        }
        if is_empty {
            return Ok(());
        }
    }
}

fn flatten(trash: &Path, directory: &Path, next: &mut u64) -> Result<()> {
    if !fs::symlink_metadata(directory)?.is_dir() {
        return fs::remove_file(directory);
    }
    loop {
        let mut is_empty = true;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            is_empty = false;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            loop {
                *next += 1;
                match fs::rename(entry.path(), trash.join(format!("flat-{next}"))) {
                    Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                    result => break result?,
                }
            }
        }
        if is_empty {
            return fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let trash = directory.path().join("trash");
        fs::create_dir(&trash).unwrap();
        // Built from the inside out, as no path may be longer than 4096 bytes.
        let mut inner = directory.path().join("0");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("leaf"), "x").unwrap();
        for level in 1..1500 {
            let outer = directory.path().join(level.to_string());
            fs::create_dir(&outer).unwrap();
            std::os::unix::fs::symlink("/", outer.join("link")).unwrap();
            fs::rename(&inner, outer.join("deeper")).unwrap();
            inner = outer;
        }
        fs::rename(&inner, trash.join("container")).unwrap();
        empty(&trash).unwrap();
        assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
    }
}
