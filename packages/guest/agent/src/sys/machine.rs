//! The guest as a whole: its clocks, names, randomness, disks and end.

use super::check_int;
use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::RawFd;

pub fn sync_all() {
    // SAFETY: no arguments.
    unsafe { libc::sync() }
}

/// Ends the machine: QEMU runs with `-no-reboot`, so a reset is an exit.
pub fn reset() -> Error {
    // SAFETY: no pointers.
    unsafe { libc::reboot(libc::RB_AUTOBOOT) };
    Error::last_os_error()
}

pub fn set_wall_clock(epoch_micros: u64) -> Result<()> {
    let time = libc::timespec {
        tv_sec: (epoch_micros / 1_000_000) as libc::time_t,
        tv_nsec: (epoch_micros % 1_000_000 * 1000) as libc::c_long,
    };
    // SAFETY: a live struct.
    check_int(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) }).map(drop)
}

fn clock_micros(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live struct; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

pub fn monotonic_micros() -> u64 {
    clock_micros(libc::CLOCK_MONOTONIC)
}

pub fn epoch_micros() -> u64 {
    clock_micros(libc::CLOCK_REALTIME)
}

pub fn set_hostname(name: &str) -> Result<()> {
    // SAFETY: the string is as long as said.
    check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

fn names_of_the_system() -> libc::utsname {
    // SAFETY: all zero is valid; the kernel fills the fields.
    unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&mut names);
        names
    }
}

pub fn hostname() -> String {
    // SAFETY: terminated by the kernel, or zero.
    unsafe { CStr::from_ptr(names_of_the_system().nodename.as_ptr()).to_string_lossy().into_owned() }
}

pub fn kernel_release() -> String {
    // SAFETY: terminated by the kernel, or zero.
    unsafe { CStr::from_ptr(names_of_the_system().release.as_ptr()).to_string_lossy().into_owned() }
}

/// Credits `entropy` to the kernel's pool, then makes it reseed at once.
pub fn reseed_random(random: RawFd, entropy: &[u8]) -> Result<()> {
    const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
    const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
    let mut request = Vec::with_capacity(8 + entropy.len());
    request.extend_from_slice(&(entropy.len() as i32 * 8).to_ne_bytes());
    request.extend_from_slice(&(entropy.len() as i32).to_ne_bytes());
    request.extend_from_slice(entropy);
    // SAFETY: the layout of `struct rand_pool_info`: bits, size, bytes.
    unsafe {
        check_int(libc::ioctl(random, RNDADDENTROPY, request.as_ptr()))?;
        check_int(libc::ioctl(random, RNDRESEEDCRNG)).map(drop)
    }
}

/// Drops every cached block of a disk.
pub fn flush_disk(disk: RawFd) -> Result<()> {
    const BLKFLSBUF: libc::Ioctl = 0x1261;
    // SAFETY: no pointers.
    check_int(unsafe { libc::ioctl(disk, BLKFLSBUF, 0) }).map(drop)
}

pub fn processors() -> u32 {
    // SAFETY: no pointers.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.max(1) as u32
}
