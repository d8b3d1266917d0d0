//! Pseudo-terminals.

use super::{check_int, owned};
use std::io::Result;
use std::os::fd::{OwnedFd, RawFd};

/// The slave of a pseudo-terminal, by its master: no path is looked up.
pub fn peer(master: RawFd) -> Result<OwnedFd> {
    const TIOCSPTLCK: libc::Ioctl = 0x4004_5431;
    const TIOCGPTPEER: libc::Ioctl = 0x5441;
    let unlocked: libc::c_int = 0;
    // SAFETY: a live integer; the second call gives a fresh descriptor.
    unsafe {
        check_int(libc::ioctl(master, TIOCSPTLCK, &unlocked))?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        owned(libc::c_long::from(libc::ioctl(master, TIOCGPTPEER, flags)))
    }
}

pub fn number(master: RawFd) -> Result<u32> {
    const TIOCGPTN: libc::Ioctl = 0x8004_5430;
    let mut number: libc::c_uint = 0;
    // SAFETY: a live integer.
    check_int(unsafe { libc::ioctl(master, TIOCGPTN, &mut number) })?;
    Ok(number)
}

pub fn resize(master: RawFd, columns: u16, rows: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: a live struct.
    check_int(unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &size) }).map(drop)
}

pub fn control(slave: RawFd) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::ioctl(slave, libc::TIOCSCTTY, 0) }).map(drop)
}
