//! Stops all other threads in a signal handler, where the kernel has saved all there is of them, and makes them anew in
//! a process that has only one.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};

use crate::calls;

/// The last real-time signal: nothing else here uses it.
pub const SIGNAL: usize = 64;
/// Directory of this process's threads; the jail has no /proc.
pub const THREADS_DESCRIPTOR: c_int = 7;

/// QEMU's own, its vCPUs and a thread pool's worth, with room.
const MOST: usize = 64;
const ESRCH: i32 = 3;
const ETIMEDOUT: i32 = 110;
const TOO_MANY: i32 = 11;
const LOOKS: usize = 200;
/// A thread that is not in the kernel takes microseconds, on a busy host milliseconds.
const PATIENCE: [i64; 2] = [0, 10_000_000];

struct Parked {
    context: AtomicUsize,
    area: AtomicUsize,
    number_address: AtomicUsize,
}

static PARKED: [Parked; MOST] =
    [const { Parked { context: AtomicUsize::new(0), area: AtomicUsize::new(0), number_address: AtomicUsize::new(0) } };
        MOST];
static COUNT: AtomicU32 = AtomicU32::new(0);
static READY: AtomicU32 = AtomicU32::new(0);
static IS_STOPPING: AtomicBool = AtomicBool::new(false);
/// Goes up when the threads are to go on.
static ROUND: AtomicU32 = AtomicU32::new(0);

/// What another thread does when it is signalled: nothing until it is let go.
pub fn park(context: usize) {
    let round = ROUND.load(SeqCst);
    if !IS_STOPPING.load(SeqCst) {
        return;
    }
    let index = COUNT.fetch_add(1, SeqCst) as usize;
    if let Some(own) = PARKED.get(index) {
        own.context.store(context, SeqCst);
        own.area.store(calls::thread_area(), SeqCst);
        own.number_address.store(calls::thread_number_address(), SeqCst);
        READY.fetch_add(1, SeqCst);
        calls::wake(&READY);
    }
    while ROUND.load(SeqCst) == round {
        let _ = calls::wait(&ROUND, round, None);
    }
}

/// Returns once all other threads are parked. After an error this must not be called again: a thread may come late.
pub fn stop_others() -> calls::Result<()> {
    COUNT.store(0, SeqCst);
    READY.store(0, SeqCst);
    IS_STOPPING.store(true, SeqCst);
    let mut known = Threads { numbers: [0; MOST], count: 0 };
    // Until a look finds the same as the last one, and all of them parked: before it was stopped a thread may have made
    // another. One that ends is deaf by then, and is waited for until it is gone; those that are parked stay.
    for _ in 0..LOOKS {
        let seen = look(&known)?;
        let is_same = seen.numbers == known.numbers;
        known = seen;
        if is_same && READY.load(SeqCst) as usize == known.count {
            return Ok(());
        }
        loop {
            let ready = READY.load(SeqCst);
            if ready as usize >= known.count || calls::wait(&READY, ready, Some(&PATIENCE)) == Err(ETIMEDOUT) {
                break;
            }
        }
    }
    Err(ETIMEDOUT)
}

pub fn let_others_go() {
    IS_STOPPING.store(false, SeqCst);
    ROUND.fetch_add(1, SeqCst);
    calls::wake(&ROUND);
}

/// In a forked process: the threads that were parked in its parent.
pub fn revive_others() -> calls::Result<()> {
    for one in PARKED.iter().take(READY.load(SeqCst) as usize) {
        let [context, area, address] = [&one.context, &one.area, &one.number_address].map(|word| word.load(SeqCst));
        // SAFETY: they were parked when this process was made, and are none of its threads.
        unsafe { calls::revive(context, area, address) }?;
    }
    Ok(())
}

/// All other threads of this process, in the order in which the kernel tells them.
struct Threads {
    numbers: [usize; MOST],
    count: usize,
}

impl Threads {
    fn has(&self, thread: usize) -> bool {
        self.numbers[..self.count].contains(&thread)
    }

    fn add(&mut self, thread: usize) -> calls::Result<()> {
        *self.numbers.get_mut(self.count).ok_or(TOO_MANY)? = thread;
        self.count += 1;
        Ok(())
    }
}

/// Those there are now; those that are not `known` are signalled.
fn look(known: &Threads) -> calls::Result<Threads> {
    let own = calls::thread();
    let mut seen = Threads { numbers: [0; MOST], count: 0 };
    let mut buffer = [0; 4096];
    calls::rewind(THREADS_DESCRIPTOR)?;
    loop {
        let length = calls::directory_entries(THREADS_DESCRIPTOR, &mut buffer)?;
        if length == 0 {
            return Ok(seen);
        }
        let mut rest = &buffer[..length];
        // An entry: inode and offset (8 bytes each), its length (2), type (1), name.
        while rest.len() > 19 {
            let entry_length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let (entry, further) = rest.split_at(entry_length.clamp(19, rest.len()));
            rest = further;
            let Some(thread) = number(&entry[19..]) else { continue };
            if thread == own {
                continue;
            }
            if !known.has(thread) {
                match calls::interrupt(thread, SIGNAL) {
                    // It has ended since.
                    Err(ESRCH) => continue,
                    other => other?,
                };
            }
            seen.add(thread)?;
        }
    }
}

/// The number that a name is, if it is one.
fn number(name: &[u8]) -> Option<usize> {
    let digits = name.split(|byte| *byte == 0).next().filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0usize, |sum, digit| {
        if digit.is_ascii_digit() { sum.checked_mul(10)?.checked_add(usize::from(digit - b'0')) } else { None }
    })
}
