//! Preloaded into a zygote's monitor: forks the whole process, with all its threads, for every machine that is to be.
//!
//! A request comes as one datagram (written by `src/clone.rs`), with the descriptors that the clone has instead of the
//! zygote's. Its arrival interrupts the main thread by a signal; there, in the handler, all other threads are stopped
//! likewise, the process forks, and the child, still one thread, becomes somebody: descriptors, user, filter. Then its
//! threads are made anew out of what the kernel saved when it interrupted them, the handler returns, and the clone goes
//! on where the zygote is.
//!
//! Whatever a thread was doing, it goes on doing: nothing here uses memory or locks of anybody else.

#![no_std]

mod calls;
mod clone;
mod conversation;
mod interposed;
mod protocol;
mod request;
mod tap;
mod threads;
mod title;

use core::ffi::{c_int, c_void};

use request::REQUESTS_DESCRIPTOR;

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn(c_int, *const *mut u8) = begin;

extern "C" fn begin(argument_count: c_int, arguments: *const *mut u8) {
    // SAFETY: the C library hands over the program's own.
    unsafe { title::remember(argument_count, arguments) };
    const CHILD_ENDS: usize = 17;
    const IGNORE: usize = 1;
    const SET_FLAGS: usize = 4;
    const SET_SIGNAL: usize = 10;
    const SET_OWNER: usize = 15;
    const ASYNC_AND_NONBLOCK: usize = 0o20000 | 0o4000;
    // With information, restarting calls, through our own return.
    const FLAGS: usize = 0x4 | 0x1000_0000 | 0x0400_0000;
    // A thread, not a process.
    let owner = [0u32, calls::thread() as u32];
    // SAFETY: actions of four words, as the kernel has them; nothing else is pointed to.
    unsafe {
        let handler = [on_signal as *const () as usize, FLAGS, return_from_signal as *const () as usize, usize::MAX];
        let _ = calls::call(calls::RT_SIGACTION, [threads::SIGNAL, handler.as_ptr() as usize, 0, 8, 0, 0]);
        // Clones that end leave nothing behind.
        let ignore = [IGNORE, 0, 0, 0];
        let _ = calls::call(calls::RT_SIGACTION, [CHILD_ENDS, ignore.as_ptr() as usize, 0, 8, 0, 0]);
        let _ = calls::control(REQUESTS_DESCRIPTOR, SET_OWNER, owner.as_ptr() as usize);
        let _ = calls::control(REQUESTS_DESCRIPTOR, SET_SIGNAL, threads::SIGNAL);
        let _ = calls::control(REQUESTS_DESCRIPTOR, SET_FLAGS, ASYNC_AND_NONBLOCK);
    }
}

core::arch::global_asm!(
    ".local return_from_signal",
    "return_from_signal:",
    "mov eax, {sigreturn}",
    "syscall",
    sigreturn = const calls::RT_SIGRETURN,
);

unsafe extern "C" {
    fn return_from_signal();
}

extern "C" fn on_signal(_signal: c_int, _information: *const c_void, context: *mut c_void) {
    if calls::thread() == calls::process() { serve() } else { threads::park(context as usize) }
}

/// All requests there are: signals for several may have become one.
fn serve() {
    loop {
        match request::receive() {
            Ok(Some(request)) => {
                // Requests are no business of a clone's.
                if clone::make(request) {
                    return;
                }
            }
            // What is no request is nobody's.
            Ok(None) | Err(calls::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Named by tables of the core library, and never called: nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    calls::exit()
}
