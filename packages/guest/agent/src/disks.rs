//! Disks by serial number. Those of the machine's slots are looked at before a fork, which changes what is behind them
//! but not their serials; others come later and are looked for when they are needed.

use crate::boot;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::sys::{self, file, machine, mount};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// A serial is part of a path of ours.
fn check_serial(serial: &str) -> Outcome<()> {
    let is_good = !serial.is_empty()
        && serial.len() <= 64
        && serial.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !serial.starts_with('.');
    if is_good { Ok(()) } else { Err(Failure::bad(format!("{serial:?} is not a disk serial number"))) }
}

fn read_serial(block: &Path) -> Option<String> {
    // Each read of a virtio disk's serial is a request to the host.
    let text = std::fs::read(block.join("serial")).ok().or_else(|| {
        // SCSI's unit serial number page: four bytes of header, then the text.
        std::fs::read(block.join("device/vpd_pg80")).ok().map(|page| page[page.len().min(4)..].to_vec())
    })?;
    Some(String::from_utf8_lossy(&text).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

/// Drops what the kernel cached of a placeholder, which a fork would take for the disk that comes in its place.
fn forget_cached(device: &CString) -> Outcome<()> {
    let disk = file::open(device, libc::O_RDONLY, 0).step(Code::MountFailed, "open disk")?;
    machine::flush_disk(disk.as_raw_fd()).step(Code::MountFailed, "drop cached blocks of the disk")
}

fn unmount(directory: &str, what: &str) -> Outcome<()> {
    let path = sys::c_string(directory).step(Code::Internal, "path")?;
    mount::unmount(&path).step(Code::Internal, &format!("unmount {what}"))
}

/// Under emulation each request costs more than what it reads: a program is better read at once than in 128 KiB.
const READ_AHEAD_KIB: &str = "1024";

fn read_far_ahead(device: &CString) -> Outcome<()> {
    let device = device.to_string_lossy();
    let name = device.trim_start_matches("/dev/");
    std::fs::write(format!("/sys/block/{name}/queue/read_ahead_kb"), READ_AHEAD_KIB)
        .step(Code::Internal, "set the read-ahead")
}

/// The scratch disk that is mounted before the instance is known. A fork has the content the template left on it.
const SCRATCH_SERIAL: &str = "scratch";
/// The image disk that is mounted then: of the first container, and of all others with the same image.
pub const IMAGE_SERIAL: &str = "image";

/// How long a SCSI disk that was found may take to get its node: a second, where it takes some milliseconds.
const SCSI_LOOKS: u32 = 100;
const SCSI_LOOK_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Disks {
    /// Device nodes by serial number, as far as they were looked at.
    devices: BTreeMap<String, CString>,
    /// Image disks that are mounted; each stays so while the VM lives.
    mounted: BTreeSet<String>,
    /// The scratch disk, once it is mounted.
    scratch: Option<String>,
    /// The image disk was mounted empty and has not been looked at since.
    has_placeholder: bool,
}

impl Disks {
    /// The device node of the disk with this serial number.
    fn find(&mut self, serial: &str) -> Outcome<CString> {
        check_serial(serial)?;
        if !self.devices.contains_key(serial) {
            self.scan()?;
        }
        if !self.devices.contains_key(serial) {
            self.look_behind_scsi(serial)?;
        }
        let found = self.devices.get(serial).cloned();
        found.ok_or_else(|| Failure::new(Code::DiskNotFound, format!("the VM has no disk with serial number {serial}")))
    }

    fn scan(&mut self) -> Outcome<()> {
        let entries = std::fs::read_dir("/sys/block").step(Code::Internal, "list disks")?;
        for entry in entries.flatten() {
            let path = format!("/dev/{}", entry.file_name().to_string_lossy());
            let device = sys::c_string(&path).step(Code::Internal, "disk path")?;
            if !self.devices.values().any(|known| *known == device)
                && let Some(serial) = read_serial(&entry.path())
            {
                self.devices.insert(serial, device);
            }
        }
        Ok(())
    }

    /// Disks that a fork has on the SCSI bus and its template had not: the kernel looks there only when it is told to,
    /// and makes their nodes a moment later.
    fn look_behind_scsi(&mut self, serial: &str) -> Outcome<()> {
        let Ok(hosts) = std::fs::read_dir("/sys/class/scsi_host") else { return Ok(()) };
        for host in hosts.flatten() {
            // All units of the one target there is.
            std::fs::write(host.path().join("scan"), "0 0 -").step(Code::Internal, "look for SCSI disks")?;
        }
        for _ in 0..SCSI_LOOKS {
            self.scan()?;
            if self.devices.contains_key(serial) {
                break;
            }
            std::thread::sleep(SCSI_LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Before a fork: looks at all disks and mounts the scratch disk when it has its usual serial number.
    pub fn prepare() -> Outcome<Disks> {
        let mut disks = Disks::default();
        disks.scan()?;
        if disks.devices.contains_key(SCRATCH_SERIAL) {
            // One that cannot be mounted is told when the instance asks for it, which tries again.
            let _ = disks.mount_scratch(SCRATCH_SERIAL);
        }
        Ok(disks)
    }

    /// Once; the same disk again is mounted already.
    pub fn mount_scratch(&mut self, serial: &str) -> Outcome<()> {
        match self.scratch.as_deref() {
            Some(mounted) if mounted == serial => return Ok(()),
            Some(mounted) => return Err(Failure::bad(format!("the scratch disk is {mounted} already"))),
            None => {}
        }
        let device = self.find(serial)?;
        let path = sys::c_string(boot::SCRATCH).step(Code::Internal, "path")?;
        mount::mount(&device, &path, c"ext4", libc::MS_NOATIME | libc::MS_NODEV, c"")
            .step(Code::MountFailed, &format!("mount scratch disk {serial} as ext4"))?;
        match std::fs::create_dir(boot::POD) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).step(Code::MountFailed, "prepare the scratch disk");
            }
            _ => {}
        }
        self.scratch = Some(serial.to_owned());
        Ok(())
    }

    /// Undoes what was done since `prepare` but keeps the scratch disk's content; no container may be left. What is
    /// behind the image disk takes a placeholder's place until `forget_placeholder`.
    pub fn reset(&mut self) -> Outcome<()> {
        for serial in std::mem::take(&mut self.mounted) {
            unmount(&format!("{}/{serial}", boot::DISKS), &format!("image disk {serial}"))?;
        }
        if let Some(serial) = self.scratch.take_if(|serial| serial != SCRATCH_SERIAL) {
            unmount(boot::SCRATCH, &format!("scratch disk {serial}"))?;
        }
        self.devices.clear();
        self.scan()
    }

    /// Before a fork: mounts the disk of the first image.
    pub fn prepare_image(&mut self) -> Outcome<String> {
        let directory = self.mount_image(IMAGE_SERIAL)?;
        let mut entries = std::fs::read_dir(&directory).step(Code::Internal, "look at the image")?;
        self.has_placeholder = entries.next().is_none();
        Ok(directory)
    }

    /// Has the next image that is asked for read anew, whatever this one was. Refused while the kernel remembers more
    /// of this one than its root, as it would be then.
    pub fn make_placeholder(&mut self) -> Outcome<()> {
        self.has_placeholder = self.mounted.contains(IMAGE_SERIAL);
        self.take_in_image()?;
        self.has_placeholder = self.mounted.contains(IMAGE_SERIAL);
        self.forget_placeholder()
    }

    /// Has the kernel forget what it read of the image that a fork finds another one in the place of.
    pub fn forget_placeholder(&self) -> Outcome<()> {
        self.devices.get(IMAGE_SERIAL).filter(|_| self.has_placeholder).map_or(Ok(()), forget_cached)
    }

    /// An image without anything in it keeps the place of the one that a fork finds there: now is the time to look.
    pub fn take_in_image(&mut self) -> Outcome<()> {
        if !self.has_placeholder {
            return Ok(());
        }
        let directory = sys::c_string(&format!("{}/{IMAGE_SERIAL}", boot::DISKS)).step(Code::Internal, "path")?;
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_NODEV;
        mount::mount(c"", &directory, c"", flags, c"reread")
            .step(Code::MountFailed, "read the image behind the disk image as EROFS")?;
        self.has_placeholder = false;
        Ok(())
    }

    /// The directory with the image's file system.
    pub fn mount_image(&mut self, serial: &str) -> Outcome<String> {
        let directory = format!("{}/{serial}", boot::DISKS);
        if self.mounted.contains(serial) {
            return Ok(directory);
        }
        let device = self.find(serial)?;
        match std::fs::create_dir(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).step(Code::Internal, "make mount point");
            }
            _ => {}
        }
        read_far_ahead(&device)?;
        let path = sys::c_string(&directory).step(Code::Internal, "path")?;
        mount::mount(&device, &path, c"erofs", libc::MS_RDONLY | libc::MS_NODEV, c"")
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
