//! What a forked child tells the agent while it becomes a program, over a close-on-exec pipe: the times of its steps,
//! and either the reason of a failure or, by closing it, that `execve` has succeeded.

use crate::failure::{Code, Failure, Outcome, Step};
use crate::sys::{descriptor, machine, process, readiness};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;

/// The child makes a few dozen system calls; only a dead disk lets it wait.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const TIME: u8 = b'T';
const FAILURE: u8 = b'E';
pub const MAX_REPORT_BYTES: usize = 8192;

/// Steps, by the number that names them in a report.
pub const FORK: u8 = 0;
pub const OVERLAY: u8 = 1;
pub const MOUNTS: u8 = 2;
pub const IDENTITY: u8 = 3;
const STEPS: [&str; 4] = ["fork", "overlay", "mounts", "identity"];

pub struct Launched {
    pub started_epoch_micros: u64,
    /// Names of steps and the monotonic times of their ends.
    pub times: Vec<(&'static str, u64)>,
}

/// Times that the child has not reported yet.
#[derive(Default)]
pub struct Stamps(Vec<u8>);

impl Stamps {
    pub fn stamp(&mut self, step: u8) {
        self.0.extend_from_slice(&[TIME, step]);
        self.0.extend_from_slice(&machine::monotonic_micros().to_le_bytes());
    }

    pub fn send(&mut self, report: &OwnedFd) -> Outcome<()> {
        descriptor::write(report.as_raw_fd(), &self.0).step(Code::Internal, "report")?;
        self.0.clear();
        Ok(())
    }
}

/// Tells the agent why there will be no program.
pub fn end_with(report: &OwnedFd, failure: &Failure) -> ! {
    let mut message = vec![FAILURE, failure.code.to_byte()];
    message.extend_from_slice(&failure.message.as_bytes()[..failure.message.len().min(4000)]);
    let _ = descriptor::write(report.as_raw_fd(), &message);
    process::exit_now(1)
}

/// Waits until the child has become a program.
pub async fn await_start(report: &OwnedFd) -> Outcome<Launched> {
    match tokio::time::timeout(START_TIMEOUT, read_report(report)).await {
        Ok(told) => launched(told),
        Err(_) => Err(Failure::new(Code::Internal, "the program did not start within a minute")),
    }
}

/// The same while everything else waits.
pub fn await_start_now(report: &OwnedFd) -> Outcome<Launched> {
    let mut told = vec![0; MAX_REPORT_BYTES];
    let mut length = 0;
    while length < told.len() {
        match descriptor::read(report.as_raw_fd(), &mut told[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) => return launched(Err(error)),
        }
    }
    told.truncate(length);
    launched(Ok(told))
}

fn launched(told: std::io::Result<Vec<u8>>) -> Outcome<Launched> {
    let seen = machine::monotonic_micros();
    let started_epoch_micros = machine::epoch_micros();
    let mut times = Report::parse(&told.step(Code::Internal, "read the start report")?)?.times;
    times.push(("exec", seen));
    Ok(Launched { started_epoch_micros, times })
}

async fn read_report(report: &OwnedFd) -> std::io::Result<Vec<u8>> {
    descriptor::set_nonblocking(report.as_raw_fd())?;
    let read = readiness::watched(report.as_fd(), Interest::READABLE)?;
    let mut told = vec![0; MAX_REPORT_BYTES];
    let mut length = 0;
    while length < told.len() {
        let mut guard = read.readable().await?;
        match guard.try_io(|fd| descriptor::read(fd.as_raw_fd(), &mut told[length..])) {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => length += count,
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    told.truncate(length);
    Ok(told)
}

/// What a child has told when it did not fail.
#[derive(Debug)]
pub struct Report {
    times: Vec<(&'static str, u64)>,
}

impl Report {
    pub fn parse(mut told: &[u8]) -> Outcome<Report> {
        let damaged = || Failure::new(Code::Internal, "the start report is damaged");
        let mut times = Vec::new();
        while let Some((kind, rest)) = told.split_first() {
            match (*kind, rest) {
                (TIME, [step, rest @ ..]) => {
                    let (time, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
                    times.push((*STEPS.get(usize::from(*step)).ok_or_else(damaged)?, u64::from_le_bytes(*time)));
                    told = rest;
                }
                (FAILURE, [code, message @ ..]) => {
                    return Err(Failure::new(Code::from_byte(*code), String::from_utf8_lossy(message)));
                }
                _ => return Err(damaged()),
            }
        }
        if times.is_empty() {
            return Err(Failure::new(Code::Internal, "the process was killed while it started (out of memory?)"));
        }
        Ok(Report { times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_times_then_perhaps_a_failure() {
        let mut stamps = Stamps::default();
        stamps.stamp(MOUNTS);
        let mut told = stamps.0;
        assert_eq!(Report::parse(&told).unwrap().times.first().map(|time| time.0), Some("mounts"));
        told.extend_from_slice(&[FAILURE, Code::CommandNotFound.to_byte()]);
        told.extend_from_slice(b"x: command not found");
        let failure = Report::parse(&told).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (Code::CommandNotFound, "x: command not found"));
    }

    #[test]
    fn a_child_that_says_nothing_was_killed() {
        assert_eq!(Report::parse(&[]).unwrap_err().code, Code::Internal);
        for damaged in [&b"T"[..], b"Tshort", b"?", b"T\xff12345678"] {
            assert!(Report::parse(damaged).is_err());
        }
    }
}
