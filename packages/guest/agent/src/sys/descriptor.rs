//! Open descriptors, whatever they lead to.

use super::{check, check_int};
use std::io::Result;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

pub struct Pipe {
    pub read: OwnedFd,
    pub write: OwnedFd,
}

pub fn pipe() -> Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors; both are fresh.
    unsafe {
        check_int(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok(Pipe { read: OwnedFd::from_raw_fd(ends[0]), write: OwnedFd::from_raw_fd(ends[1]) })
    }
}

pub fn set_nonblocking(fd: RawFd) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | status_flags(fd)?) }).map(drop)
}

fn status_flags(fd: RawFd) -> Result<libc::c_int> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is as long as said.
    check(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } as libc::c_long).map(|n| n as usize)
}

pub fn write(fd: RawFd, data: &[u8]) -> Result<usize> {
    // SAFETY: the buffer is as long as said.
    check(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) } as libc::c_long).map(|n| n as usize)
}

/// Makes `from` the descriptor `to`, open across exec.
pub fn duplicate_to(from: RawFd, to: RawFd) -> Result<()> {
    // SAFETY: no pointers.
    unsafe {
        if from == to {
            check_int(libc::fcntl(to, libc::F_SETFD, 0)).map(drop)
        } else {
            check_int(libc::dup2(from, to)).map(drop)
        }
    }
}

pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}
