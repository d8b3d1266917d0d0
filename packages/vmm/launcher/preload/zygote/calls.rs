//! System calls as the kernel has them: in a signal handler, and between a fork and its threads, the C library's own
//! state is not to be relied on.

use core::arch::asm;
use core::ffi::{c_int, c_void};

pub const RT_SIGACTION: usize = 13;
pub const RT_SIGPROCMASK: usize = 14;
pub const RT_SIGRETURN: usize = 15;
pub const IOCTL: usize = 16;
pub const MADVISE: usize = 28;
const READ: usize = 0;
const WRITE: usize = 1;
const CLOSE: usize = 3;
const LSEEK: usize = 8;
const GETPID: usize = 39;
const RECVMSG: usize = 47;
const CLONE: usize = 56;
const FCNTL: usize = 72;
const SETSID: usize = 112;
const SETRESUID: usize = 117;
const SETRESGID: usize = 119;
const CAPSET: usize = 126;
const PRCTL: usize = 157;
const ARCH_PRCTL: usize = 158;
const GETTID: usize = 186;
const FUTEX: usize = 202;
const GETDENTS64: usize = 217;
const EXIT_GROUP: usize = 231;
const TGKILL: usize = 234;
const SIGNALFD4: usize = 289;
const EVENTFD2: usize = 290;
const EPOLL_CREATE1: usize = 291;
const DUP3: usize = 292;
const PRLIMIT64: usize = 302;
const GETRANDOM: usize = 318;

pub const EINTR: i32 = 4;
pub const EPROTO: i32 = 71;
const CLOEXEC: usize = 0o2000000;
const NONBLOCK: usize = 0o4000;

/// An error of the kernel's, positive.
pub type Result<T = usize> = core::result::Result<T, i32>;

/// # Safety
/// The arguments are what the call expects: addresses among them have to be good.
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> Result {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") fourth, in("r8") fifth, in("r9") sixth,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    if result < 0 { Err(-result as i32) } else { Ok(result as usize) }
}

/// For calls that take only numbers, or addresses that Rust's own references stand for.
fn plain(number: usize, arguments: [usize; 6]) -> Result {
    // SAFETY: no address that the kernel writes to, but for those of the exclusive references below.
    unsafe { call(number, arguments) }
}

pub fn process() -> usize {
    plain(GETPID, [0; 6]).unwrap_or(0)
}

pub fn thread() -> usize {
    plain(GETTID, [0; 6]).unwrap_or(0)
}

pub fn close(descriptor: c_int) {
    let _ = plain(CLOSE, [descriptor as usize, 0, 0, 0, 0, 0]);
}

pub fn put(descriptor: c_int, number: c_int) -> Result {
    plain(DUP3, [descriptor as usize, number as usize, CLOEXEC, 0, 0, 0])
}

/// Makes a descriptor one that does not wait if the other one is; the monitor has asked for it long ago.
pub fn wait_alike(old: c_int, new: c_int) -> Result<()> {
    const GET_FLAGS: usize = 3;
    const SET_FLAGS: usize = 4;
    let flags = |descriptor: c_int| plain(FCNTL, [descriptor as usize, GET_FLAGS, 0, 0, 0, 0]);
    let wanted = flags(old)? & NONBLOCK;
    plain(FCNTL, [new as usize, SET_FLAGS, flags(new)? & !NONBLOCK | wanted, 0, 0, 0]).map(drop)
}

/// A new event descriptor that is told already: whoever waits for the old one looks once in vain, and misses nothing.
pub fn new_event() -> Result<c_int> {
    plain(EVENTFD2, [1, CLOEXEC | NONBLOCK, 0, 0, 0, 0]).map(|number| number as c_int)
}

pub fn new_poll() -> Result<c_int> {
    plain(EPOLL_CREATE1, [CLOEXEC, 0, 0, 0, 0, 0]).map(|number| number as c_int)
}

/// `mask`: of the first 32 signals.
pub fn new_signals(mask: u32) -> Result<c_int> {
    let signals = u64::from(mask);
    plain(SIGNALFD4, [usize::MAX, &raw const signals as usize, 8, CLOEXEC | NONBLOCK, 0, 0])
        .map(|number| number as c_int)
}

/// # Safety
/// There is room for `length` bytes at `to`.
pub unsafe fn random(to: *mut u8, length: usize) -> Result {
    // SAFETY: the caller's.
    unsafe { call(GETRANDOM, [to as usize, length, 0, 0, 0, 0]) }
}

pub fn read(descriptor: c_int, buffer: &mut [u8]) -> Result {
    loop {
        match plain(READ, [descriptor as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) {
            Err(EINTR) => {}
            other => return other,
        }
    }
}

pub fn write(descriptor: c_int, bytes: &[u8]) -> Result {
    plain(WRITE, [descriptor as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
}

pub fn rewind(descriptor: c_int) -> Result {
    plain(LSEEK, [descriptor as usize, 0, 0, 0, 0, 0])
}

pub fn directory_entries(descriptor: c_int, buffer: &mut [u8]) -> Result {
    plain(GETDENTS64, [descriptor as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
}

/// # Safety
/// `argument` is what `command` expects.
pub unsafe fn control(descriptor: c_int, command: usize, argument: usize) -> Result {
    // SAFETY: the caller's.
    unsafe { call(FCNTL, [descriptor as usize, command, argument, 0, 0, 0]) }
}

/// # Safety
/// `message` is a `msghdr` with good addresses.
pub unsafe fn receive(descriptor: c_int, message: *mut c_void, flags: usize) -> Result {
    // SAFETY: the caller's.
    unsafe { call(RECVMSG, [descriptor as usize, message as usize, flags, 0, 0, 0]) }
}

/// Sends a signal to a thread of this process.
pub fn interrupt(thread: usize, signal: usize) -> Result {
    plain(TGKILL, [process(), thread, signal, 0, 0, 0])
}

pub fn wait(word: &core::sync::atomic::AtomicU32, value: u32, timeout: Option<&[i64; 2]>) -> Result {
    const WAIT_PRIVATE: usize = 128;
    let timeout = timeout.map_or(0, |timeout| timeout.as_ptr() as usize);
    plain(FUTEX, [word.as_ptr() as usize, WAIT_PRIVATE, value as usize, timeout, 0, 0])
}

pub fn wake(word: &core::sync::atomic::AtomicU32) {
    const WAKE_PRIVATE: usize = 129;
    let _ = plain(FUTEX, [word.as_ptr() as usize, WAKE_PRIVATE, i32::MAX as usize, 0, 0, 0]);
}

/// Where the C library has its own of this thread.
pub fn thread_area() -> usize {
    const GET_FS: usize = 0x1003;
    let mut address = 0usize;
    let _ = plain(ARCH_PRCTL, [GET_FS, &raw mut address as usize, 0, 0, 0, 0]);
    address
}

/// Where the kernel, and so the C library, has the number of this thread; 0 when this kernel does not tell.
pub fn thread_number_address() -> usize {
    const GET_TID_ADDRESS: usize = 40;
    let mut address = 0usize;
    let _ = plain(PRCTL, [GET_TID_ADDRESS, &raw mut address as usize, 0, 0, 0, 0]);
    address
}

const SET_NUMBER: usize = 0x0100_0000;
const CLEAR_NUMBER: usize = 0x0020_0000;

fn numbering(address: usize) -> usize {
    if address == 0 { 0 } else { SET_NUMBER | CLEAR_NUMBER }
}

/// 0 in the new process.
pub fn fork() -> Result {
    const CHILD_ENDS: usize = 17;
    let address = thread_number_address();
    plain(CLONE, [CHILD_ENDS | numbering(address), 0, 0, address, 0, 0])
}

/// A thread that goes on as one that was interrupted by a signal: `context` is what its handler was given.
///
/// # Safety
/// The context and both addresses are those of a thread that does not exist in this process.
pub unsafe fn revive(context: usize, area: usize, number_address: usize) -> Result {
    // Memory, file system, descriptors, signal handlers, thread, semaphores; its own thread area.
    const THREAD: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x8_0000;
    let result: isize;
    // SAFETY: the new thread's stack pointer is where the kernel looks for what it saved when it called the handler;
    // `rt_sigreturn` restores all of it and does not come back.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, {sigreturn}",
            "syscall",
            "ud2",
            "2:",
            sigreturn = const RT_SIGRETURN,
            inlateout("rax") CLONE => result,
            in("rdi") THREAD | numbering(number_address), in("rsi") context, in("rdx") 0, in("r10") number_address,
            in("r8") area,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    if result < 0 { Err(-result as i32) } else { Ok(result as usize) }
}

pub fn new_session() {
    // Fails for the leader of one, which a child is not.
    let _ = plain(SETSID, [0; 6]);
}

pub fn bound_files(bytes: u64) -> Result {
    const LARGEST_FILE: usize = 1;
    let limits = [bytes, bytes];
    plain(PRLIMIT64, [0, LARGEST_FILE, limits.as_ptr() as usize, 0, 0, 0])
}

/// Gives up root, and with it all capabilities, also in the bounding set.
pub fn become_user(user: u32) -> Result {
    const DROP_FROM_BOUNDING_SET: usize = 24;
    // SETGID, SETUID, SETPCAP: the launcher has taken the others.
    for capability in 6..=8 {
        plain(PRCTL, [DROP_FROM_BOUNDING_SET, capability, 0, 0, 0, 0])?;
    }
    let user = user as usize;
    plain(SETRESGID, [user, user, user, 0, 0, 0])?;
    plain(SETRESUID, [user, user, user, 0, 0, 0])?;
    // Version 3, this thread; none in any of three sets of two words.
    let header = [0x2008_0522u32, 0];
    let sets = [0u32; 6];
    plain(CAPSET, [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0, 0])
}

/// # Safety
/// `program` is a `sock_fprog` with a good address.
pub unsafe fn filter(program: *const c_void) -> Result {
    const SET_SECCOMP: usize = 22;
    const FILTER: usize = 2;
    // SAFETY: the caller's.
    unsafe { call(PRCTL, [SET_SECCOMP, FILTER, program as usize, 0, 0, 0]) }
}

pub fn exit() -> ! {
    loop {
        let _ = plain(EXIT_GROUP, [1, 0, 0, 0, 0, 0]);
    }
}
