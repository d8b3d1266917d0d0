//! Removing what a tenant made, however deep: directories are moved up beside each other, never descended into.

use std::fs;
use std::io::Result;
use std::path::Path;

/// Removes everything in `trash`, which nobody uses any more. On a full disk even a move may fail: what can be removed then makes room for the rest.
/// Gives up when a whole pass removes nothing.
pub fn empty(trash: &Path) -> Result<()> {
    let mut flat = Flat { trash, next: 0, has_progress: true };
    loop {
        if fs::read_dir(trash)?.next().is_none() {
            return Ok(());
        }
        if !std::mem::take(&mut flat.has_progress) {
            return Err(std::io::ErrorKind::DirectoryNotEmpty.into());
        }
        for entry in fs::read_dir(trash)? {
            flat.remove(&entry?.path())?;
        }
    }
}

struct Flat<'a> {
    trash: &'a Path,
    next: u64,
    has_progress: bool,
}

impl Flat<'_> {
    /// Removes a file, or a directory after its files are removed and its directories are moved up.
    fn remove(&mut self, path: &Path) -> Result<()> {
        if !fs::symlink_metadata(path)?.is_dir() {
            self.did(fs::remove_file(path));
            return Ok(());
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let removed = if entry.file_type()?.is_dir() {
                fs::remove_dir(entry.path()).or_else(|_| self.move_up(&entry.path()))
            } else {
                fs::remove_file(entry.path())
            };
            self.did(removed);
        }
        self.did(fs::remove_dir(path));
        Ok(())
    }

    fn move_up(&mut self, path: &Path) -> Result<()> {
        self.next += 1;
        // A name that is taken by a directory with something in it fails, and the next pass tries the next number.
        fs::rename(path, self.trash.join(format!("flat-{}", self.next)))
    }

    fn did(&mut self, result: Result<()>) {
        self.has_progress |= result.is_ok();
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
