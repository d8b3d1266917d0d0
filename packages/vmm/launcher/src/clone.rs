//! Has a zygote make a clone of itself. What the clone is handed is opened here, as for any monitor, and goes out with
//! the request, the conversation with the caller first: the clone goes on with it. `preload/zygote` reads the request.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::control;
use crate::descriptors;
use crate::failure::{Failure, Step};
use crate::plan::{ChangeKind, Plan};
use crate::protocol::{MAGIC, MOST_DESCRIPTORS, NEW_EVENT, NEW_POLL, NEW_SIGNALS, REPLACE};
use crate::seccomp;

const STEP: &str = "clone";
const STDERR: i32 = 2;

pub fn request(zygote: &Path, plan: &Plan) -> Result<(), Failure> {
    descriptors::bound_stderr(plan.stderr_bytes)?;
    let opened = descriptors::open(&plan.descriptors)?;
    // SAFETY: both are open as long as this process lives.
    let [conversation, stderr] = [control::DESCRIPTOR, STDERR].map(|number| unsafe { BorrowedFd::borrow_raw(number) });
    let mut sent = vec![conversation, stderr];
    let mut actions = vec![(STDERR, REPLACE, 1)];
    for (number, descriptor) in &opened {
        actions.push((*number, REPLACE, sent.len() as u32));
        sent.push(descriptor.as_fd());
    }
    if sent.len() > MOST_DESCRIPTORS {
        return Err(Failure::new(STEP, format!("{} descriptors are more than {MOST_DESCRIPTORS}", sent.len())));
    }
    for change in &plan.changes {
        let (kind, index) = match change.kind {
            ChangeKind::NewEvent => (NEW_EVENT, 0),
            ChangeKind::NewPoll => (NEW_POLL, 0),
            ChangeKind::NewSignals(mask) => (NEW_SIGNALS, mask),
            ChangeKind::Copy(of) => {
                let given = actions.iter().find(|action| action.0 == of && action.1 == REPLACE);
                (REPLACE, given.ok_or_else(|| Failure::new(STEP, format!("descriptor {of} is not given")))?.2)
            }
        };
        actions.push((change.number, kind, index));
    }
    send(zygote, &encode(plan, &actions), &sent)
}

fn encode(plan: &Plan, actions: &[(i32, u32, u32)]) -> Vec<u8> {
    let filter = seccomp::for_clone();
    let mut bytes = MAGIC.to_ne_bytes().to_vec();
    bytes.extend(plan.file_bytes.unwrap_or(u64::MAX).to_ne_bytes());
    let name = plan.name.as_bytes();
    for number in [plan.user_id, actions.len() as u32, (filter.len() / 8) as u32, name.len() as u32] {
        bytes.extend(number.to_ne_bytes());
    }
    for (number, kind, index) in actions {
        bytes.extend(number.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(index.to_ne_bytes());
    }
    bytes.extend(filter);
    bytes.extend(name);
    bytes
}

fn send(zygote: &Path, request: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Failure> {
    let path = zygote.to_string_lossy();
    let socket = UnixDatagram::unbound().step(STEP, "socket")?;
    socket.connect(zygote).step(STEP, &path)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Failure::new(STEP, "too many descriptors"));
    }
    let sent = sendmsg(&socket, &[IoSlice::new(request)], &mut ancillary, SendFlags::empty()).step(STEP, &path)?;
    if sent == request.len() { Ok(()) } else { Err(Failure::new(STEP, "the zygote took only part of the request")) }
}
