//! The conversation with the caller on descriptor 3.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::failure::{Failure, Step};

pub const DESCRIPTOR: i32 = 3;

/// Far above any real plan (arguments and a disk descriptor); bounds what a confused caller can make us hold.
const PLAN_BYTES_MAX: u64 = 1 << 20;

pub struct Control {
    stream: File,
}

impl Control {
    pub fn on_descriptor_3() -> Self {
        // SAFETY: the caller hands descriptor 3 to this process for this purpose; nothing else here owns it.
        let stream = unsafe { File::from_raw_fd(DESCRIPTOR) };
        Control { stream }
    }

    /// The plan up to and with its last field, `end`. None when the caller ends the conversation before it.
    pub fn read_plan(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        // Close-on-exec tells the caller that the monitor runs.
        fcntl_setfd(&self.stream, FdFlags::CLOEXEC).step("read-plan", "descriptor 3")?;
        let mut plan = Vec::new();
        let mut chunk = [0; 16384];
        while !plan.ends_with(b"\0end\0") {
            let length = self.stream.read(&mut chunk).step("read-plan", "descriptor 3")?;
            if length == 0 && plan.is_empty() {
                return Ok(None);
            }
            if length == 0 {
                return Err(Failure::new("read-plan", "the plan ends before its end field"));
            }
            plan.extend_from_slice(&chunk[..length]);
            if plan.len() as u64 > PLAN_BYTES_MAX {
                return Err(Failure::new("read-plan", "the plan is longer than 1 MiB"));
            }
        }
        Ok(Some(plan))
    }

    /// Says that the jail stands and returns once the caller answers `go`.
    pub fn ready_and_wait(&mut self) -> Result<(), Failure> {
        self.stream.write_all(b"ready\n").step("wait", "descriptor 3")?;
        let mut answer = [0; 3];
        self.stream.read_exact(&mut answer).step("wait", "the caller is gone")?;
        if &answer != b"go\n" {
            return Err(Failure::new("wait", "the caller answered something else than go"));
        }
        Ok(())
    }

    pub fn report(&mut self, failure: &Failure) {
        let message: String =
            failure.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2000).collect();
        // A caller that is gone cannot be told.
        let _ = writeln!(self.stream, "error {} {} {}", failure.step, failure.errno, message);
    }
}
