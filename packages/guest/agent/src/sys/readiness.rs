//! Waiting for descriptors, within tokio and without.

use super::{check_int, owned};
use std::io::Result;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An epoll that watches one descriptor edge-triggered, both ways.
pub fn edge_watch(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    let epoll = owned(libc::c_long::from(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))?;
    let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
    let mut event = libc::epoll_event { events, u64: 0 };
    // SAFETY: a live struct.
    check_int(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
    Ok(epoll)
}

/// Takes the edge that an `edge_watch` holds, if any.
pub fn take_edge(epoll: RawFd) -> Result<()> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one event.
    check_int(unsafe { libc::epoll_wait(epoll, &mut event, 1, 0) }).map(drop)
}

/// Waits for the edge that an `edge_watch` will hold, and takes it.
pub fn wait_edge(epoll: RawFd) -> Result<()> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one event.
    check_int(unsafe { libc::epoll_wait(epoll, &mut event, 1, -1) }).map(drop)
}

/// Waits until one of the descriptors has an event of its mask, or an error or hang-up, for at most so many
/// microseconds: for each, whether it has.
pub fn wait_any(all: &[(RawFd, libc::c_short)], micros: Option<u64>) -> Result<Vec<bool>> {
    let timeout = micros.map_or(-1, |micros| micros.div_ceil(1000).min(i32::MAX as u64) as libc::c_int);
    let mut polled: Vec<libc::pollfd> =
        all.iter().map(|(fd, events)| libc::pollfd { fd: *fd, events: *events, revents: 0 }).collect();
    // SAFETY: as many live structs as said.
    check_int(unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) })?;
    Ok(polled.iter().map(|fd| fd.revents != 0).collect())
}

pub fn is_hung_up(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: one live struct.
    unsafe { libc::poll(&mut poll, 1, 0) > 0 && poll.revents & libc::POLLHUP != 0 }
}

/// Has tokio watch a descriptor.
pub fn watched<T: AsFd + AsRawFd>(fd: T, interest: Interest) -> Result<AsyncFd<T>> {
    // SAFETY: owned and borrowed descriptors stay open and the same while the value lives.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}
