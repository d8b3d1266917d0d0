//! Preloaded into the monitor of a fork: keeps what its guest uses anew from growing the template.
//!
//! A fork's memory is a private mapping of the template's, most of which is holes. When a page of a hole is touched, the
//! kernel (shmem, up to 6.18 at least) first makes it in the file, for good, and then a copy of it for the fork: all
//! memory is taken twice, the file grows up to the size of the machine, and a fork is ended for outgrowing its bound
//! while its guest is within its own. So the holes are mapped as anonymous memory, which is as empty.
//!
//! QEMU maps memory by path and by nothing else; hence this detour. Small holes stay as they are: each one less is a
//! mapping less.

#![no_std]

use core::ffi::{c_int, c_long, c_void};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
    fn lseek64(descriptor: c_int, offset: i64, whence: c_int) -> i64;
}

const SYS_MMAP: c_long = 9;
const PROT_WRITE: c_int = 2;
const MAP_PRIVATE: c_int = 2;
const MAP_FIXED: c_int = 0x10;
const MAP_ANONYMOUS: c_int = 0x20;
const MAP_NORESERVE: c_int = 0x4000;
const SEEK_DATA: c_int = 3;
const SEEK_HOLE: c_int = 4;
const F_GET_SEALS: c_int = 1034;
const F_SEAL_WRITE: c_int = 8;

/// A template of 384 MiB: 347 MiB in 195 holes; 1.7 MiB of it in all that are smaller than this, and 23 that are not.
const SMALLEST_HOLE_BYTES: i64 = 64 * 1024;

/// As the C library's, for whoever is linked to it by this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the caller's own arguments.
    let mapped = unsafe { map(address, length, protection, flags, descriptor, offset) };
    let is_copied_on_write = flags & MAP_PRIVATE != 0 && protection & PROT_WRITE != 0 && flags & MAP_ANONYMOUS == 0;
    if mapped as isize != -1 && is_copied_on_write && is_sealed(descriptor) {
        leave_out_holes(mapped, length, protection, descriptor, offset);
    }
    mapped
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the caller's own arguments; both names are one call on this architecture.
    unsafe { mmap64(address, length, protection, flags, descriptor, offset) }
}

unsafe fn map(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the caller's own arguments.
    unsafe { syscall(SYS_MMAP, address, length, protection, flags, descriptor, offset) as *mut c_void }
}

/// A template's memory is; nothing else that a monitor maps.
fn is_sealed(descriptor: c_int) -> bool {
    // SAFETY: takes and gives plain numbers.
    let seals = unsafe { fcntl(descriptor, F_GET_SEALS) };
    seals != -1 && seals & F_SEAL_WRITE != 0
}

/// What cannot be replaced stays mapped from the file, which is as right, and dearer.
fn leave_out_holes(start: *mut c_void, length: usize, protection: c_int, descriptor: c_int, offset: i64) {
    let end = offset + length as i64;
    let mut position = offset;
    while position < end {
        // SAFETY: takes and gives plain numbers; nobody reads from where the descriptor stands.
        let data = match unsafe { lseek64(descriptor, position, SEEK_DATA) } {
            // No data up to the end.
            -1 => end,
            found => found.min(end),
        };
        if data - position >= SMALLEST_HOLE_BYTES {
            let flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
            // SAFETY: within the mapping that was just made and that nobody knows of yet.
            unsafe {
                let address = start.byte_offset((position - offset) as isize);
                map(address, (data - position) as usize, protection, flags, -1, 0);
            }
        }
        if data >= end {
            return;
        }
        // SAFETY: as above.
        position = match unsafe { lseek64(descriptor, data, SEEK_HOLE) } {
            -1 => return,
            found => found,
        };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
