//! What the monitor has told its tap. A clone's tap is another one, and has to be told the same.

use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

use crate::calls;

/// TUNSETSNDBUF, TUNSETVNETHDRSZ, TUNSETVNETLE, TUNSETVNETBE: a pointer to a number.
const BY_ADDRESS: [usize; 4] = [0x4004_54d4, 0x4004_54d8, 0x4004_54dc, 0x4004_54de];
/// TUNSETOFFLOAD: the number itself.
const BY_VALUE: usize = 0x4004_54d0;

struct Setting {
    /// 0: never told.
    descriptor: AtomicU32,
    value: AtomicUsize,
}

static SETTINGS: [Setting; 5] = [const { Setting { descriptor: AtomicU32::new(0), value: AtomicUsize::new(0) } }; 5];

fn place(request: usize) -> Option<&'static Setting> {
    let index = if request == BY_VALUE { Some(4) } else { BY_ADDRESS.iter().position(|one| *one == request) };
    SETTINGS.get(index?)
}

/// Remembers a request that succeeded.
///
/// # Safety
/// `argument` is what the request expects.
pub unsafe fn remember(descriptor: c_int, request: usize, argument: usize) {
    let Some(setting) = place(request) else { return };
    // SAFETY: the kernel has just read a number there.
    let value = if request == BY_VALUE { argument } else { unsafe { *(argument as *const u32) as usize } };
    setting.value.store(value, SeqCst);
    setting.descriptor.store(descriptor as u32, SeqCst);
}

pub fn tell_again() -> calls::Result<()> {
    for (request, setting) in BY_ADDRESS.into_iter().chain([BY_VALUE]).zip(&SETTINGS) {
        let descriptor = setting.descriptor.load(SeqCst) as usize;
        let value = setting.value.load(SeqCst);
        let number = value as u32;
        let argument = if request == BY_VALUE { value } else { &raw const number as usize };
        if descriptor != 0 {
            // SAFETY: a number, or the address of one.
            unsafe { calls::call(calls::IOCTL, [descriptor, request, argument, 0, 0, 0]) }?;
        }
    }
    Ok(())
}
