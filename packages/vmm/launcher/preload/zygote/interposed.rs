//! Functions of other libraries that the monitor calls here instead, by their names: a clone would be worse off with
//! theirs.

use core::ffi::{c_int, c_void};

use crate::calls::{self, EINTR};
use crate::{tap, threads};

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

const BLOCK: c_int = 0;
const SET_MASK: c_int = 2;

/// As the C library's: no thread of the monitor keeps our signal from it, whatever it blocks.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int {
    // SAFETY: the caller's own arguments.
    match unsafe { change_mask(how, set, old) } {
        Ok(_) => 0,
        Err(error) => error,
    }
}

/// As the C library's.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigprocmask(how: c_int, set: *const u64, old: *mut u64) -> c_int {
    // SAFETY: the caller's own arguments.
    answer(unsafe { change_mask(how, set, old) })
}

unsafe fn change_mask(how: c_int, set: *const u64, old: *mut u64) -> calls::Result {
    // SAFETY: the caller's.
    let mut signals = if set.is_null() { 0 } else { unsafe { *set } };
    if how == BLOCK || how == SET_MASK {
        signals &= !(1 << (threads::SIGNAL - 1));
    }
    let set = if set.is_null() { 0 } else { &raw const signals as usize };
    // SAFETY: a set of eight bytes, and the caller's place for another.
    unsafe { calls::call(calls::RT_SIGPROCMASK, [how as usize, set, old as usize, 8, 0, 0]) }
}

/// As the C library's, but for a request not to have memory in a forked process: guest memory is what clones are for.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int {
    const DONT_FORK: c_int = 10;
    if advice == DONT_FORK {
        return 0;
    }
    // SAFETY: the caller's own arguments.
    answer(unsafe { calls::call(calls::MADVISE, [address as usize, length, advice as usize, 0, 0, 0]) })
}

/// As the C library's, which takes any number of arguments, of which the kernel takes one more.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(descriptor: c_int, request: usize, argument: usize) -> c_int {
    // SAFETY: the caller's own arguments.
    let result = unsafe { calls::call(calls::IOCTL, [descriptor as usize, request, argument, 0, 0, 0]) };
    if result.is_ok() {
        // SAFETY: the request was granted, so its argument is what it should be.
        unsafe { tap::remember(descriptor, request, argument) };
    }
    answer(result)
}

/// As GnuTLS's, for whoever is linked to it by this name: the monitor's randomness, which a guest sees as RDRAND. A
/// generator in the process's memory would go on alike in all clones.
///
/// # Safety
/// As GnuTLS's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gnutls_rnd(_level: c_int, data: *mut c_void, length: usize) -> c_int {
    const RANDOM_FAILED: c_int = -206;
    let mut done = 0;
    while done < length {
        // SAFETY: within the caller's own room.
        match unsafe { calls::random(data.cast::<u8>().add(done), length - done) } {
            Ok(count) => done += count,
            Err(EINTR) => {}
            Err(_) => return RANDOM_FAILED,
        }
    }
    0
}

fn answer(result: calls::Result) -> c_int {
    match result {
        Ok(value) => value as c_int,
        Err(error) => {
            // SAFETY: each thread's own.
            unsafe { *__errno_location() = error };
            -1
        }
    }
}
