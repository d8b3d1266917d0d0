//! Disks, found by serial number at the moment they are needed: a fork changes what is behind a slot.

use crate::boot;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::sys;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::AsRawFd;

/// A serial is part of a path of ours.
fn check_serial(serial: &str) -> Outcome<()> {
    let is_good = !serial.is_empty()
        && serial.len() <= 64
        && serial.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !serial.starts_with('.');
    if is_good { Ok(()) } else { Err(Failure::bad(format!("{serial:?} is not a disk serial number"))) }
}

/// The device node of the disk with this serial number.
fn find(serial: &str) -> Outcome<CString> {
    let entries = std::fs::read_dir("/sys/block").step(Code::Internal, "list disks")?;
    for entry in entries.flatten() {
        let virtio = std::fs::read(entry.path().join("serial")).ok();
        // Unit serial number page: four bytes of header, then the text.
        let scsi =
            || std::fs::read(entry.path().join("device/vpd_pg80")).ok().map(|page| page[page.len().min(4)..].to_vec());
        let Some(found) = virtio.or_else(scsi) else { continue };
        if String::from_utf8_lossy(&found).trim_matches(|c: char| c.is_whitespace() || c == '\0') == serial {
            let path = format!("/dev/{}", entry.file_name().to_string_lossy());
            return sys::c_string(&path).step(Code::Internal, "disk path");
        }
    }
    Err(Failure::new(Code::DiskNotFound, format!("the VM has no disk with serial number {serial}")))
}

/// Drops what the kernel cached of the placeholder that was behind the slot before the fork.
fn forget_cached(device: &CString, flags: libc::c_int) -> Outcome<()> {
    let disk = sys::open(device, flags, 0).step(Code::MountFailed, "open disk")?;
    sys::flush_disk(disk.as_raw_fd()).step(Code::MountFailed, "drop cached blocks of the disk")
}

pub fn mount_scratch(serial: &str) -> Outcome<()> {
    check_serial(serial)?;
    let device = find(serial)?;
    forget_cached(&device, libc::O_RDWR)?;
    let path = sys::c_string(boot::SCRATCH).step(Code::Internal, "path")?;
    let flags = libc::MS_NOATIME | libc::MS_NODEV;
    sys::mount(&device, &path, c"ext4", flags, c"")
        .step(Code::MountFailed, &format!("mount scratch disk {serial} as ext4"))?;
    for name in ["containers", "volumes", "trash"] {
        std::fs::create_dir_all(format!("{}/{name}", boot::SCRATCH))
            .step(Code::MountFailed, "prepare the scratch disk")?;
    }
    Ok(())
}

/// Image disks that are mounted; each stays so while the VM lives.
#[derive(Default)]
pub struct Images {
    mounted: BTreeSet<String>,
}

impl Images {
    /// The directory with the image's file system.
    pub fn mount(&mut self, serial: &str) -> Outcome<String> {
        check_serial(serial)?;
        let directory = format!("{}/{serial}", boot::DISKS);
        if self.mounted.contains(serial) {
            return Ok(directory);
        }
        let device = find(serial)?;
        forget_cached(&device, libc::O_RDONLY)?;
        match std::fs::create_dir(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).step(Code::Internal, "make mount point");
            }
            _ => {}
        }
        let path = sys::c_string(&directory).step(Code::Internal, "path")?;
        sys::mount(&device, &path, c"erofs", libc::MS_RDONLY | libc::MS_NODEV, c"")
            .step(Code::MountFailed, &format!("mount image disk {serial} as EROFS"))?;
        self.mounted.insert(serial.to_owned());
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_that_could_leave_its_directory_is_refused() {
        for serial in ["", "..", "a/b", ".hidden", "a\0b", &"x".repeat(65)] {
            assert!(check_serial(serial).is_err(), "{serial:?}");
        }
        assert!(check_serial("img-0123.ab_c").is_ok());
    }
}
