//! The name that a monitor was started with, as lists of processes show it. A clone puts its own in the place of it: it
//! has no other arguments than its zygote's.

use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const OPTION: &[u8] = b"-name";

static START: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Finds it behind its option.
///
/// # Safety
/// The arguments are the process's own, which stay.
pub unsafe fn remember(count: c_int, arguments: *const *mut u8) {
    for index in 0..(count.max(1) - 1) as usize {
        // SAFETY: there are so many, and each is a string.
        let (option, value) = unsafe { (*arguments.add(index), *arguments.add(index + 1)) };
        // SAFETY: as above.
        if unsafe { text(option) } == OPTION {
            START.store(value as usize, SeqCst);
            // SAFETY: as above.
            BYTES.store(unsafe { text(value) }.len(), SeqCst);
            return;
        }
    }
}

/// # Safety
/// A string that ends with 0.
unsafe fn text<'a>(start: *const u8) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: up to its end.
    unsafe {
        while *start.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(start, length)
    }
}

/// As much of it as there is room for. QEMU has copied its own name long ago.
pub fn become_known_as(name: &[u8]) {
    let start = START.load(SeqCst) as *mut u8;
    for index in 0..BYTES.load(SeqCst) {
        // SAFETY: within the argument, to which nobody has a reference.
        unsafe { start.add(index).write_volatile(name.get(index).copied().unwrap_or(0)) };
    }
}
