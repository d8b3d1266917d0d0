//! Makes a clone: stops all other threads, forks, and has the child become the machine it is to be.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::calls::{self, EPROTO};
use crate::conversation::{ask_to_go, tell_failure};
use crate::protocol::{NEW_EVENT, NEW_POLL, NEW_SIGNALS, OWN_PROCESS, REPLACE};
use crate::request::{Action, Instruction, REQUESTS_DESCRIPTOR, Request};
use crate::{tap, threads, title};

const EBADF: i32 = 9;
const EAGAIN: i32 = 11;

/// Set when threads could not be stopped: they may stop later, so nobody is to rely on it.
static IS_BROKEN: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct FilterProgram {
    length: u16,
    code: *mut Instruction,
}

/// True in the clone.
pub fn make(mut request: Request) -> bool {
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
