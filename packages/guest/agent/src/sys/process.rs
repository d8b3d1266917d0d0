//! Processes: how they begin, are told apart, and end.

use super::{check, check_int, owned};
use std::ffi::CStr;
use std::io::{Error, Result};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Which process `clone3` made: this one's child, seen by its pidfd, or the child itself.
pub enum Cloned {
    Child,
    Parent { pidfd: OwnedFd },
}

/// Forks (memory is copied) into the cgroup whose directory is open as `cgroup`.
/// Only sound while this process has one thread, which the agent keeps.
pub fn clone_into(cgroup: RawFd, namespaces: libc::c_int) -> Result<Cloned> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let arguments: [u64; 11] = [
        CLONE_INTO_CGROUP | libc::CLONE_PIDFD as u64 | namespaces as u32 as u64,
        std::ptr::from_mut(&mut pidfd) as u64,
        0,
        0,
        libc::SIGCHLD as u64,
        0,
        0,
        0,
        0,
        0,
        cgroup as u64,
    ];
    // SAFETY: `arguments` has the layout of `struct clone_args` up to `cgroup`; with no new stack and no shared
    // memory this is a fork, and one thread means that no lock is left held in the child.
    match check(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })? {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel has put a fresh descriptor there.
        _ => Ok(Cloned::Parent { pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}

/// A pidfd of this process, from which a child can take descriptors.
pub fn own_pidfd() -> Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) })
}

/// A copy of the descriptor `number` of another process.
pub fn take_descriptor(pidfd: RawFd, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, number, 0) })
}

pub fn set_namespaces(fd: RawFd, kinds: libc::c_int) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::setns(fd, kinds) }).map(drop)
}

pub fn unshare(kinds: libc::c_int) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::unshare(kinds) }).map(drop)
}

pub fn pidfd_kill(pidfd: RawFd, signal: libc::c_int) -> Result<()> {
    // SAFETY: a null siginfo means the one of kill(2).
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, std::ptr::null::<u8>(), 0) }).map(drop)
}

/// How a process ended: `Ok(code)` or `Err(signal)`. None while it runs.
pub fn reap(pidfd: RawFd) -> Result<Option<std::result::Result<i32, i32>>> {
    // SAFETY: all zero is a valid siginfo; the kernel fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: a live siginfo.
    check_int(unsafe {
        libc::waitid(libc::P_PIDFD, pidfd as libc::id_t, &mut info, libc::WEXITED | libc::WNOHANG | libc::__WALL)
    })?;
    // SAFETY: waitid has filled the SIGCHLD part, or left it zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(match (pid, info.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(Ok(status)),
        _ => Some(Err(status)),
    })
}

/// Ends the process without running anything of the runtime's: the only way out of a forked child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: no pointers.
    unsafe { libc::_exit(code) }
}

/// Gives everything else the processor first.
pub fn yield_to_others() {
    const LOWEST: libc::c_int = 19;
    // SAFETY: no pointers; a refusal changes nothing that matters.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST) };
}

/// What a forked child undoes before it becomes somebody's program: Rust ignores SIGPIPE.
pub fn reset_signals() {
    // SAFETY: an empty set and the default action.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

pub fn new_session() -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::setsid() }).map(drop)
}

/// Replaces this process; only returns why it could not.
pub fn execute(path: &CStr, arguments: &[*const libc::c_char], environment: &[*const libc::c_char]) -> Error {
    debug_assert!(arguments.last().is_some_and(|last| last.is_null()));
    // SAFETY: both arrays end with null and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Error::last_os_error()
}
