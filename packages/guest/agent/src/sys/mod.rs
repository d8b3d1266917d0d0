//! The system call edge: everything `unsafe` is in this folder, behind functions that own their descriptors.
#![allow(unsafe_code)]

pub mod descriptor;
pub mod file;
pub mod filter;
pub mod interface;
pub mod machine;
pub mod mount;
pub mod privileges;
pub mod process;
pub mod readiness;
pub mod terminal;

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

fn check(result: libc::c_long) -> Result<libc::c_long> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

fn check_int(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: libc::c_long) -> Result<OwnedFd> {
    // SAFETY: a non-negative result of the calls that use this is a fresh descriptor nobody else owns.
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

pub fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}
