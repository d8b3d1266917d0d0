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
mod protocol;
mod tap;
mod threads;
mod title;

use core::ffi::{c_int, c_void};
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use protocol::{MAGIC, MOST_DESCRIPTORS, NEW_EVENT, NEW_POLL, NEW_SIGNALS, OWN_PROCESS, REPLACE};

/// Where requests come in.
const REQUESTS_DESCRIPTOR: c_int = 8;
/// The largest that the sender makes is a tenth of it.
const REQUEST_BYTES: usize = 64 * 1024;

const EBADF: i32 = 9;
const EAGAIN: i32 = 11;
const EINTR: i32 = 4;
const EPROTO: i32 = 71;
const EPIPE: i32 = 32;

/// Set when threads could not be stopped: they may stop later, so nobody is to rely on it.
static IS_BROKEN: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct Header {
    magic: u64,
    file_bytes: u64,
    user: u32,
    actions: u32,
    instructions: u32,
    /// Of the name, which comes last.
    name_bytes: u32,
}

/// What becomes of one of the zygote's descriptors.
#[repr(C)]
#[derive(Clone, Copy)]
struct Action {
    number: c_int,
    kind: u32,
    /// Of the descriptors that came along, or a mask of signals.
    index: u32,
}

/// `sock_filter`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    jumps: [u8; 2],
    value: u32,
}

#[repr(C)]
struct FilterProgram {
    length: u16,
    code: *mut Instruction,
}

#[repr(C)]
struct Buffer {
    base: *mut u8,
    length: usize,
}

#[repr(C)]
struct Message {
    name: *mut c_void,
    name_length: u32,
    buffers: *mut Buffer,
    buffer_count: usize,
    control: *mut u8,
    control_length: usize,
    flags: c_int,
}

#[repr(C, align(8))]
struct Space<const BYTES: usize>([u8; BYTES]);

const CONTROL_HEADER_BYTES: usize = 16;
const CONTROL_BYTES: usize = CONTROL_HEADER_BYTES + 4 * (MOST_DESCRIPTORS + 1);

/// Only the main thread's handler uses them, and no other signal interrupts that.
static mut REQUEST: Space<REQUEST_BYTES> = Space([0; REQUEST_BYTES]);
static mut CONTROL: Space<CONTROL_BYTES> = Space([0; CONTROL_BYTES]);

struct Request {
    header: *const Header,
    /// The first one is the conversation with whoever wants the clone.
    descriptors: &'static [c_int],
    actions: &'static [Action],
    filter: &'static mut [Instruction],
    name: &'static [u8],
}

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
    fn __errno_location() -> *mut c_int;
}

extern "C" fn on_signal(_signal: c_int, _information: *const c_void, context: *mut c_void) {
    if calls::thread() == calls::process() { serve() } else { threads::park(context as usize) }
}

/// All requests there are: signals for several may have become one.
fn serve() {
    loop {
        match receive() {
            Ok(Some(request)) => {
                // Requests are no business of a clone's.
                if clone(request) {
                    return;
                }
            }
            // What is no request is nobody's.
            Ok(None) | Err(EINTR) => {}
            Err(_) => return,
        }
    }
}

/// True in the clone.
fn clone(mut request: Request) -> bool {
    let [conversation, ..] = *request.descriptors else { return false };
    let forked = match IS_BROKEN.load(SeqCst) {
        true => Err(EAGAIN),
        false => threads::stop_others().and_then(|()| calls::fork()),
    };
    if let Ok(0) = forked {
        let Err((step, error)) = become_machine(&mut request, conversation) else { return true };
        tell_failure(conversation, step, error);
        calls::exit()
    }
    if let Err(error) = forked {
        IS_BROKEN.store(true, SeqCst);
        tell_failure(conversation, b"clone", error);
    }
    for descriptor in request.descriptors {
        calls::close(*descriptor);
    }
    threads::let_others_go();
    false
}

type Outcome = Result<(), (&'static [u8], i32)>;

/// In the clone, from its first instruction to its last as a process of one thread.
fn become_machine(request: &mut Request, conversation: c_int) -> Outcome {
    let at = |step: &'static [u8]| move |error| (step, error);
    // SAFETY: checked when it was received.
    let header = unsafe { &*request.header };
    calls::new_session();
    title::become_known_as(request.name);
    // A number that the monitor has given up since may be that of a descriptor that came along.
    if request.actions.iter().any(|action| request.descriptors.contains(&action.number)) {
        return Err((b"install", EBADF));
    }
    for action in request.actions {
        take_place(action, request.descriptors).map_err(at(b"install"))?;
    }
    for descriptor in request.descriptors.iter().filter(|one| **one != conversation) {
        calls::close(*descriptor);
    }
    calls::close(REQUESTS_DESCRIPTOR);
    calls::close(threads::THREADS_DESCRIPTOR);
    tap::tell_again().map_err(at(b"open-tap"))?;
    calls::bound_files(header.file_bytes).map_err(at(b"limit"))?;
    calls::become_user(header.user).map_err(at(b"drop-privileges"))?;
    ask_to_go(conversation).map_err(at(b"wait"))?;
    let own = calls::process() as u32;
    for instruction in request.filter.iter_mut().filter(|one| one.value == OWN_PROCESS) {
        instruction.value = own;
    }
    let program = FilterProgram { length: request.filter.len() as u16, code: request.filter.as_mut_ptr() };
    // SAFETY: the program is in `filter`.
    unsafe { calls::filter((&raw const program).cast()) }.map_err(at(b"filter"))?;
    threads::revive_others().map_err(at(b"revive"))?;
    // Whoever waits for the end of the conversation may talk to the monitor from now on.
    calls::close(conversation);
    Ok(())
}

fn take_place(action: &Action, descriptors: &[c_int]) -> calls::Result<()> {
    let made = match action.kind {
        REPLACE => {
            let descriptor = *descriptors.get(action.index as usize).ok_or(EPROTO)?;
            calls::wait_alike(action.number, descriptor)?;
            return calls::put(descriptor, action.number).map(drop);
        }
        NEW_EVENT => calls::new_event()?,
        NEW_POLL => calls::new_poll()?,
        // Whoever has the old one may change which signals all others hear of.
        NEW_SIGNALS => calls::new_signals(action.index)?,
        _ => return Err(EPROTO),
    };
    calls::put(made, action.number)?;
    calls::close(made);
    Ok(())
}

/// As the launcher does before it becomes a monitor: the caller records the process while nothing runs in it.
fn ask_to_go(conversation: c_int) -> calls::Result<()> {
    let mut line = Line::new();
    line.push(b"ready ");
    line.push_number(calls::process());
    line.push(b"\n");
    calls::write(conversation, line.bytes())?;
    let mut answer = [0; 3];
    let mut length = 0;
    while length < answer.len() {
        match calls::read(conversation, &mut answer[length..])? {
            0 => return Err(EPIPE),
            count => length += count,
        }
    }
    if &answer == b"go\n" { Ok(()) } else { Err(EPROTO) }
}

fn tell_failure(conversation: c_int, step: &[u8], error: i32) {
    let mut line = Line::new();
    line.push(b"error ");
    line.push(step);
    line.push(b" ");
    line.push_number(error as usize);
    line.push(b" the zygote could not make a clone\n");
    // Whoever is gone cannot be told.
    let _ = calls::write(conversation, line.bytes());
}

struct Line {
    text: [u8; 120],
    length: usize,
}

impl Line {
    fn new() -> Line {
        Line { text: [0; 120], length: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        for (to, from) in self.text[self.length..].iter_mut().zip(bytes) {
            *to = *from;
            self.length += 1;
        }
    }

    fn push_number(&mut self, number: usize) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8]);
    }

    fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// The next datagram. None when it is no request.
fn receive() -> calls::Result<Option<Request>> {
    const CLOSE_ON_EXEC: usize = 0x4000_0000;
    const DONT_WAIT: usize = 0x40;
    let (request, control) = (&raw mut REQUEST, &raw mut CONTROL);
    let mut buffer = Buffer { base: request.cast(), length: REQUEST_BYTES };
    let mut message = Message {
        name: core::ptr::null_mut(),
        name_length: 0,
        buffers: &mut buffer,
        buffer_count: 1,
        control: control.cast(),
        control_length: CONTROL_BYTES,
        flags: 0,
    };
    // SAFETY: both buffers are ours, and as long as they are said to be.
    let length = unsafe { calls::receive(REQUESTS_DESCRIPTOR, (&raw mut message).cast(), CLOSE_ON_EXEC | DONT_WAIT) }?;
    // SAFETY: the kernel has just written them, and nobody else does until the next call.
    let (bytes, control) = unsafe {
        let bytes = core::slice::from_raw_parts_mut(request.cast::<u8>(), length);
        (bytes, core::slice::from_raw_parts(control.cast::<u8>().cast_const(), message.control_length))
    };
    let descriptors = received(control);
    let parsed = parse(bytes, descriptors);
    if parsed.is_none() {
        for descriptor in descriptors {
            calls::close(*descriptor);
        }
    }
    Ok(parsed)
}

fn received(control: &'static [u8]) -> &'static [c_int] {
    let Some(length) = control.first_chunk::<8>().map(|bytes| usize::from_le_bytes(*bytes)) else { return &[] };
    let payload = control.get(CONTROL_HEADER_BYTES..length).unwrap_or(&[]);
    // SAFETY: numbers are wherever the alignment is right, and the buffer's is.
    unsafe { payload.align_to::<c_int>() }.1
}

fn parse(bytes: &'static mut [u8], descriptors: &'static [c_int]) -> Option<Request> {
    if bytes.len() < size_of::<Header>() {
        return None;
    }
    let (head, rest) = bytes.split_at_mut(size_of::<Header>());
    let header = head.as_ptr().cast::<Header>();
    // SAFETY: as long as a header, aligned as the buffer is, and every value is one.
    let (magic, actions, instructions, name_bytes) = unsafe {
        let header = &*header;
        (header.magic, header.actions as usize, header.instructions as usize, header.name_bytes as usize)
    };
    let action_bytes = actions.checked_mul(size_of::<Action>())?;
    let filter_bytes = instructions.checked_mul(size_of::<Instruction>())?;
    let described_bytes = action_bytes.checked_add(filter_bytes)?.checked_add(name_bytes)?;
    if magic != MAGIC || rest.len() != described_bytes || instructions > 4096 {
        return None;
    }
    let (actions, rest) = rest.split_at_mut(action_bytes);
    let (filter, name) = rest.split_at_mut(filter_bytes);
    // SAFETY: plain numbers; headers, actions and instructions are multiples of four bytes.
    let (actions, filter) = unsafe { (actions.align_to::<Action>().1, filter.align_to_mut::<Instruction>().1) };
    Some(Request { header, descriptors, actions, filter, name })
}

const _: () = assert!(offset_of!(Message, control_length) == 40 && size_of::<Header>() == 32);

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

/// Named by tables of the core library, and never called: nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    calls::exit()
}
