//! Mounts, and the root that they make.

use super::file::chdir;
use super::{check, check_int, owned};
use std::ffi::CStr;
use std::io::Result;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) -> Result<()> {
    // SAFETY: five live pointers to terminated strings.
    check_int(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })?;
    Ok(())
}

pub fn unmount_lazily(target: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Fails while the mount is in use.
pub fn unmount(target: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::umount2(target.as_ptr(), 0) }).map(drop)
}

pub fn chroot(path: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::chroot(path.as_ptr()) }).map(drop)
}

/// Makes the directory that is the working directory the root of this mount namespace and drops the old root.
pub fn pivot_root_here() -> Result<()> {
    // SAFETY: constant strings; `.` twice stacks the old root on the new one, from where it is unmounted.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    unmount_lazily(c".")?;
    chdir(c"/")
}

/// A detached copy of the mount (and what is below it) at `path`.
pub fn open_tree_clone(directory: RawFd, path: &CStr) -> Result<OwnedFd> {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: a live string.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) })
}

/// Puts a detached mount at `path`, following links of the path.
pub fn move_mount(tree: RawFd, path: &CStr) -> Result<()> {
    const F_EMPTY_PATH: libc::c_uint = 0x4;
    const T_SYMLINKS: libc::c_uint = 0x10;
    // SAFETY: two live strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree,
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            F_EMPTY_PATH | T_SYMLINKS,
        )
    })
    .map(drop)
}

/// Sets `attributes` (MOUNT_ATTR_*) on one mount.
pub fn set_attributes(directory: RawFd, path: &CStr, attributes: u64) -> Result<()> {
    let attr = [attributes, 0, 0, 0];
    // SAFETY: `attr` has the layout of `struct mount_attr`: four u64.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            libc::AT_EMPTY_PATH,
            attr.as_ptr(),
            size_of_val(&attr),
        )
    })
    .map(drop)
}

pub const MOUNT_ATTR_RDONLY: u64 = 1;
pub const MOUNT_ATTR_NOSUID: u64 = 2;
pub const MOUNT_ATTR_NODEV: u64 = 4;

/// A new instance of a file system as a detached mount.
pub fn new_mount(kind: &CStr, options: &[(&CStr, Option<&CStr>)], attributes: u64) -> Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    const SET_FLAG: libc::c_uint = 0;
    const SET_STRING: libc::c_uint = 1;
    const CMD_CREATE: libc::c_uint = 6;
    // SAFETY: live strings or null in each call.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    for (key, value) in options {
        let (command, text) = match value {
            Some(text) => (SET_STRING, text.as_ptr()),
            None => (SET_FLAG, std::ptr::null()),
        };
        // SAFETY: as above.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key.as_ptr(), text, 0) })?;
    }
    // SAFETY: as above.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            CMD_CREATE,
            std::ptr::null::<u8>(),
            std::ptr::null::<u8>(),
            0,
        )
    })?;
    // SAFETY: no pointers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes) })
}
