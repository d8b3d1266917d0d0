//! Files by their paths.

use super::{check_int, owned};
use std::ffi::CStr;
use std::io::Result;
use std::os::fd::{OwnedFd, RawFd};

pub fn chdir(path: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

pub fn mkdir(path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

pub fn mknod(path: &CStr, mode: libc::mode_t, major: u32, minor: u32) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::mknod(path.as_ptr(), mode, libc::makedev(major, minor)) }).map(drop)
}

pub fn symlink(target: &CStr, path: &CStr) -> Result<()> {
    // SAFETY: two live strings.
    check_int(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) }).map(drop)
}

pub fn open(path: &CStr, flags: libc::c_int, mode: libc::mode_t) -> Result<OwnedFd> {
    open_at(libc::AT_FDCWD, path, flags, mode)
}

pub fn open_at(directory: RawFd, path: &CStr, flags: libc::c_int, mode: libc::mode_t) -> Result<OwnedFd> {
    // SAFETY: a live string.
    owned(libc::c_long::from(unsafe { libc::openat(directory, path.as_ptr(), flags | libc::O_CLOEXEC, mode) }))
}

/// `openat2`: opens `path` below `directory` as `resolve` (RESOLVE_*) permits.
pub fn open_within(directory: RawFd, path: &CStr, flags: libc::c_int, resolve: u64) -> Result<OwnedFd> {
    let how = [(flags | libc::O_CLOEXEC) as u64, 0, resolve];
    // SAFETY: `how` has the layout of `struct open_how`: three u64.
    owned(unsafe { libc::syscall(libc::SYS_openat2, directory, path.as_ptr(), how.as_ptr(), size_of_val(&how)) })
}

pub fn change_owner(fd: RawFd, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::fchown(fd, uid, gid) }).map(drop)
}

pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: no pointers, cannot fail.
    unsafe { libc::umask(mask) };
}

/// Total and free bytes of the file system that holds `path`.
pub fn space_of(path: &CStr) -> Result<(u64, u64)> {
    // SAFETY: all zero is valid and the kernel fills it.
    unsafe {
        let mut stats: libc::statvfs64 = std::mem::zeroed();
        check_int(libc::statvfs64(path.as_ptr(), &mut stats))?;
        Ok((stats.f_blocks * stats.f_frsize, stats.f_bfree * stats.f_frsize))
    }
}

pub fn mkdir_at(directory: RawFd, path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::mkdirat(directory, path.as_ptr(), mode) }).map(drop)
}
