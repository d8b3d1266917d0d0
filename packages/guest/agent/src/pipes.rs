//! Descriptors the agent reads and writes without waiting.

use crate::sys::{descriptor, readiness};
use bytes::Bytes;
use std::io::Result;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub type Descriptor = Rc<AsyncFd<OwnedFd>>;

const MAX_READ: usize = 32 * 1024;

fn watched(fd: OwnedFd, interest: Interest) -> Result<Descriptor> {
    descriptor::set_nonblocking(fd.as_raw_fd())?;
    readiness::watched(fd, interest).map(Rc::new)
}

pub fn reader(fd: OwnedFd) -> Result<Descriptor> {
    watched(fd, Interest::READABLE)
}

pub fn writer(fd: OwnedFd) -> Result<Descriptor> {
    watched(fd, Interest::WRITABLE)
}

pub fn both_ways(fd: OwnedFd) -> Result<Descriptor> {
    watched(fd, Interest::READABLE | Interest::WRITABLE)
}

/// At most `limit` bytes; None at the end, which for a terminal is that nobody has it open any more.
pub async fn read(descriptor: &Descriptor, limit: usize) -> Option<Bytes> {
    loop {
        let mut guard = descriptor.readable().await.ok()?;
        let read = guard.try_io(|fd| {
            let mut buffer = [0; MAX_READ];
            let count = descriptor::read(fd.as_raw_fd(), &mut buffer[..limit.min(MAX_READ)])?;
            Ok(Bytes::copy_from_slice(&buffer[..count]))
        });
        match read {
            Ok(Ok(data)) if data.is_empty() => return None,
            Ok(Ok(data)) => return Some(data),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(Err(_)) => return None,
            Err(_would_block) => {}
        }
    }
}

/// False when nobody will ever read it.
pub async fn write_all(descriptor: &Descriptor, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        let Ok(mut guard) = descriptor.writable().await else { return false };
        match guard.try_io(|fd| descriptor::write(fd.as_raw_fd(), data)) {
            Ok(Ok(count)) => data = &data[count..],
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(Err(_)) => return false,
            Err(_would_block) => {}
        }
    }
    true
}
