//! The virtio-serial port to the host.
//!
//! It has no connections: while no host is attached, reads give 0 and the port polls as hung up, again and again.
//! tokio takes a hang-up as final, so the port is watched by an edge-triggered epoll of its own, and tokio watches that.

use crate::sys::{self, descriptor, file, readiness};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

const NAME: &str = "isopod.agent";
/// The driver takes at most 32 KiB at once.
const MAX_WRITE: usize = 32 * 1024;

pub fn open() -> Result<OwnedFd> {
    for entry in std::fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        if std::fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim_end() == NAME) {
            let device = format!("/dev/{}", entry.file_name().to_string_lossy());
            return file::open(&sys::c_string(&device)?, libc::O_RDWR | libc::O_NONBLOCK, 0);
        }
    }
    Err(Error::new(ErrorKind::NotFound, format!("no virtio-serial port is named {NAME}")))
}

pub struct Port {
    port: OwnedFd,
    edges: AsyncFd<OwnedFd>,
    is_reader_waiting: bool,
    is_writer_waiting: bool,
}

impl Port {
    pub fn new(port: OwnedFd) -> Result<Port> {
        let edges = readiness::watched(readiness::edge_watch(port.as_raw_fd())?, Interest::READABLE)?;
        Ok(Port { port, edges, is_reader_waiting: false, is_writer_waiting: false })
    }

    /// Ready when something about the port may have changed since the last call.
    fn poll_edge(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut guard = ready!(self.edges.poll_read_ready(context))?;
        readiness::take_edge(self.edges.get_ref().as_raw_fd())?;
        guard.clear_ready();
        // One edge wakes both directions; the other one has not looked yet.
        if self.is_reader_waiting && self.is_writer_waiting {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what there is; 0 while no host is attached.
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        loop {
            match descriptor::read(self.port.as_raw_fd(), buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_reader_waiting = true;
                    ready!(self.poll_edge(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    self.is_reader_waiting = false;
                    return Poll::Ready(result);
                }
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        loop {
            match descriptor::write(self.port.as_raw_fd(), &data[..data.len().min(MAX_WRITE)]) {
                // Without this, HTTP/2 waits for room and never reads that the host has gone.
                Err(error) if error.kind() == ErrorKind::WouldBlock && readiness::is_hung_up(self.port.as_raw_fd()) => {
                    self.is_writer_waiting = false;
                    return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_writer_waiting = true;
                    ready!(self.poll_edge(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    self.is_writer_waiting = false;
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// 0 when there is nothing to read now, or no host.
    pub fn receive_now(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.is_reader_waiting = false;
        match descriptor::read(self.port.as_raw_fd(), buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            result => result,
        }
    }

    /// False when no host is attached, or none is seen yet. Waits, with everything else, while a host takes nothing.
    pub fn send_now(&self, mut data: &[u8]) -> Result<bool> {
        while !data.is_empty() {
            match descriptor::write(self.port.as_raw_fd(), &data[..data.len().min(MAX_WRITE)]) {
                Ok(count) => data = &data[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(_) if readiness::is_hung_up(self.port.as_raw_fd()) => return Ok(false),
                Err(_) => drop(readiness::wait_any(&[(self.port.as_raw_fd(), libc::POLLOUT)], None)?),
            }
        }
        Ok(true)
    }

    /// As `changed`, with everything else waiting too.
    pub fn changed_now(&self) -> Result<()> {
        readiness::wait_edge(self.edges.get_ref().as_raw_fd())
    }

    /// Waits until there is something to read, here or from one of `others`, or the host has gone, or `micros` are over:
    /// for each whether.
    pub fn wait_with(&self, others: &[RawFd], micros: Option<u64>) -> Result<Vec<bool>> {
        let all: Vec<(RawFd, libc::c_short)> =
            [self.port.as_raw_fd()].iter().chain(others).map(|fd| (*fd, libc::POLLIN)).collect();
        readiness::wait_any(&all, micros)
    }

    /// Waits until something about the port may have changed: bytes, room, a host that comes or goes.
    pub async fn changed(&mut self) -> Result<()> {
        std::future::poll_fn(|context| self.poll_edge(context)).await
    }

    /// Writes all of a handshake line. A host that does not take it is gone, and its hang-up ends the wait with an error.
    pub async fn send(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let written = std::future::poll_fn(|context| self.poll_send(context, data)).await?;
            data = &data[written..];
        }
        Ok(())
    }
}

/// The port as the transport of one HTTP/2 session, which begins with bytes that were already read.
pub struct Session<'a> {
    port: &'a mut Port,
    first: Vec<u8>,
}

impl<'a> Session<'a> {
    pub fn new(port: &'a mut Port, first: Vec<u8>) -> Session<'a> {
        Session { port, first }
    }
}

impl AsyncRead for Session<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..count]);
            self.first.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let count = ready!(self.port.poll_receive(context, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Session<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        self.port.poll_send(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}
