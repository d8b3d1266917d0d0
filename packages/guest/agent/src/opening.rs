//! The first session of a VM, until its first container has begun to talk.
//!
//! Under emulation every line of code that runs for the first time costs more than what it does, and nothing else goes
//! on in a VM that has just come up. So what is between the host's first byte and the first output goes through neither
//! HTTP/2 nor tasks: the host sends START, the agent answers with frames, `started` or `refused`, and after `started`
//! the container's output from its first byte, as `output` would. It ends with an `end` frame when the container has
//! ended, when `MAX_BYTES` were sent, or when the host says HELLO again, which it may do at any time; HTTP/2 follows,
//! and the rest of the output is asked for there.

use crate::agent::Agent;
use crate::container::{self, Fresh};
use crate::failure::{Code, Failure, Outcome};
use crate::frame;
use crate::handshake::{Event, Handshake};
use crate::port::Port;
use crate::spec::{Mark, Start};
use crate::sys::{descriptor, machine};
use bytes::Bytes;
use serde::Serialize;
use std::io::Result;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

const MAX_BYTES: u64 = 64 * 1024;
/// CPU quotas begin with the first output, or this long after the program has: a program's first steps are part of the
/// start.
const BURST_MICROS: u64 = 100_000;

/// How it goes on.
pub enum Opened {
    /// HTTP/2 begins with these bytes.
    Session(Vec<u8>),
    /// A handshake is under way; perhaps this is to be said.
    Line(Handshake, Option<Vec<u8>>),
}

/// Returns when HTTP/2 is to begin, or a container is to be looked after.
pub fn run(agent: &Rc<Agent>, port: &mut Port) -> Result<Opened> {
    let mut handshake = Handshake::default();
    let mut buffer = [0; 16 * 1024];
    let mut answer: Option<Vec<u8>> = None;
    loop {
        // As in `server::next_session`.
        if let Some(line) = &answer
            && port.send_now(line)?
        {
            answer = None;
        }
        let count = port.receive_now(&mut buffer)?;
        if count == 0 {
            port.changed_now()?;
            continue;
        }
        handshake.push(&buffer[..count]);
        match handshake.next() {
            Event::More => {}
            Event::Answer(line) => answer = Some(line),
            Event::Session(first) => return Ok(Opened::Session(first)),
            Event::Start(body) => match start(agent, &body) {
                Ok(fresh) => return relay(agent, port, handshake, fresh),
                Err(failure) => answer = Some(refusal(&failure).to_vec()),
            },
        }
    }
}

pub fn too_late() -> Failure {
    Failure::new(Code::AlreadyExists, "the VM has started its first container already")
}

pub fn refusal(failure: &Failure) -> Bytes {
    message(frame::REFUSED, failure)
}

fn message<T: Serialize>(kind: u8, value: &T) -> Bytes {
    // Plain data is always written.
    frame::encode(kind, &serde_json::to_vec(value).unwrap_or_default())
}

fn start(agent: &Rc<Agent>, body: &[u8]) -> Outcome<Fresh> {
    let start: Start =
        serde_json::from_slice(body).map_err(|error| Failure::bad(format!("START is not understood: {error}")))?;
    let stages = agent.configure(&start.configuration)?;
    agent.volumes.borrow_mut().put(&start.volumes)?;
    container::start_now(agent, start.container, stages)
}

/// Hands output to the host until something else is to be done.
fn relay(agent: &Rc<Agent>, port: &mut Port, mut handshake: Handshake, fresh: Fresh) -> Result<Opened> {
    let mut is_there = port.send_now(&message(frame::STARTED, &fresh.started))?;
    let mut unlimited = Some(machine::monotonic_micros() + BURST_MICROS);
    let mut sent = 0;
    let mut buffer = vec![0; 32 * 1024];
    let mut said = None;
    while is_there && sent < MAX_BYTES && said.is_none() {
        let mut others: Vec<RawFd> = fresh.outputs.iter().map(|(_, output)| output.as_raw_fd()).collect();
        others.push(fresh.container.pidfd.as_raw_fd());
        let ready = match unlimited {
            None => port.wait_with(&others, None)?,
            Some(until) => {
                let left = until.saturating_sub(machine::monotonic_micros());
                let ready = port.wait_with(&others, Some(left))?;
                if sent > 0 || !ready.contains(&true) {
                    unlimited = None;
                    // A failure kills the container.
                    let _ = fresh.limit_cpu(agent);
                    continue;
                }
                ready
            }
        };
        let mut is_quiet = true;
        for (index, (kind, output)) in fresh.outputs.iter().enumerate() {
            if ready.get(index + 1) == Some(&true)
                && let Ok(count @ 1..) = descriptor::read(output.as_raw_fd(), &mut buffer)
            {
                is_quiet = false;
                let (epoch_micros, data) = (machine::epoch_micros(), Bytes::copy_from_slice(&buffer[..count]));
                sent += count as u64;
                let mark = Mark { epoch_micros, next_offset: sent, dropped_bytes: 0 };
                let told = [message(frame::MARK, &mark), frame::encode(*kind, &data)].concat();
                fresh.container.ring.borrow_mut().push(*kind, epoch_micros, data);
                is_there = port.send_now(&told)?;
            }
        }
        if ready.first() == Some(&true) {
            let count = port.receive_now(&mut buffer)?;
            handshake.push(&buffer[..count]);
            match handshake.next() {
                // Part of a line; without any byte, the host has gone.
                Event::More => is_there = count > 0,
                event => said = Some(event),
            }
        } else if is_quiet {
            // The container has ended and all it said is sent, or will not say more.
            break;
        }
    }
    if unlimited.is_some() {
        let _ = fresh.limit_cpu(agent);
    }
    fresh.container.ring.borrow_mut().sent(sent);
    if is_there {
        port.send_now(&frame::encode(frame::END, &[frame::STDOUT]))?;
    }
    fresh.look_after();
    Ok(match said {
        Some(Event::Session(bytes)) => Opened::Session(bytes),
        Some(Event::Answer(line)) => Opened::Line(handshake, Some(line)),
        Some(Event::Start(_)) => Opened::Line(handshake, Some(refusal(&too_late()).to_vec())),
        Some(Event::More) | None => Opened::Line(handshake, None),
    })
}
