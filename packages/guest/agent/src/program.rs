//! From a fork of the agent to a container's program.
//!
//! The child reports over a close-on-exec pipe: the times of its steps, then either the reason of a failure or, by
//! closing it, that `execve` has succeeded.

use crate::capabilities::Capabilities;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::identity::{self, Identity};
use crate::rlimits::Numbered;
use crate::rootfs::Root;
use crate::sys::{self, Cloned, FilterInstruction};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;
use tokio::io::Interest;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest /etc/passwd or /etc/group that is looked at.
const MAX_DATABASE_BYTES: u64 = 1024 * 1024;
/// The child makes a few dozen system calls; only a dead disk lets it wait.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_REPORT_BYTES: usize = 8192;

pub struct Program {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: String,
    pub user: String,
    pub groups: Vec<u32>,
    pub capabilities: Capabilities,
    pub no_new_privileges: bool,
    pub filter: Option<Vec<FilterInstruction>>,
    pub rlimits: Vec<Numbered>,
}

/// Where the program runs.
pub enum Place<'a> {
    /// In a new container.
    New(&'a Root),
    /// In the container whose first process this is.
    Joined(&'a OwnedFd),
}

pub struct Stdio {
    /// None: /dev/null.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    /// None: the same as stdout.
    pub stderr: Option<OwnedFd>,
    pub is_terminal: bool,
}

pub struct Launched {
    pub pidfd: OwnedFd,
    pub started_epoch_micros: u64,
    /// Monotonic times: in the child, image mounted (a new container only), file system complete, about to exec,
    /// exec seen.
    pub times: Vec<u64>,
}

const TIMES: u8 = b'T';
const FAILURE: u8 = b'E';

/// Starts `program` in the cgroup open as `cgroup`. An error leaves no process behind.
pub async fn launch(cgroup: &OwnedFd, place: Place<'_>, program: &Program, stdio: Stdio) -> Outcome<Launched> {
    let report = sys::pipe().step(Code::Internal, "make a pipe")?;
    match fork(cgroup, &place).map_err(|error| fork_failure(&error, &place))? {
        Cloned::Child => {
            let failure = match become_program(&place, program, &stdio, &report.write) {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            let mut message = vec![FAILURE, failure.code.to_byte()];
            message.extend_from_slice(&failure.message.as_bytes()[..failure.message.len().min(4000)]);
            let _ = sys::write(report.write.as_raw_fd(), &message);
            sys::exit_now(1);
        }
        Cloned::Parent { pidfd } => {
            drop(report.write);
            drop(stdio);
            let told = tokio::time::timeout(START_TIMEOUT, read_report(report.read)).await;
            let seen = sys::monotonic_micros();
            let started_epoch_micros = sys::epoch_micros();
            let outcome = match told {
                Ok(Ok(told)) => parse_report(&told),
                Ok(Err(error)) => Err(error).step(Code::Internal, "read the start report"),
                Err(_) => Err(Failure::new(Code::Internal, "the program did not start within a minute")),
            };
            match outcome {
                Ok(mut times) => {
                    times.push(seen);
                    Ok(Launched { pidfd, started_epoch_micros, times })
                }
                Err(failure) => {
                    let _ = sys::pidfd_kill(pidfd.as_raw_fd(), libc::SIGKILL);
                    let _ = wait(&pidfd).await;
                    Err(failure)
                }
            }
        }
    }
}

/// Waits until the process has ended: its exit code, or the signal that killed it.
pub async fn wait(pidfd: &OwnedFd) -> std::io::Result<Result<i32, i32>> {
    let watched = sys::watched(pidfd.as_fd(), Interest::READABLE)?;
    loop {
        let mut guard = watched.readable().await?;
        if let Some(end) = sys::reap(pidfd.as_raw_fd())? {
            return Ok(end);
        }
        guard.clear_ready();
    }
}

fn fork(cgroup: &OwnedFd, place: &Place<'_>) -> std::io::Result<Cloned> {
    match place {
        Place::New(_) => sys::clone_into(cgroup.as_raw_fd(), libc::CLONE_NEWNS | libc::CLONE_NEWPID),
        Place::Joined(first) => {
            // The PID namespace of children is set here, as a process cannot change its own.
            let own = sys::open(c"/proc/self/ns/pid", libc::O_RDONLY, 0)?;
            sys::set_namespaces(first.as_raw_fd(), libc::CLONE_NEWPID)?;
            let cloned = sys::clone_into(cgroup.as_raw_fd(), 0);
            if !matches!(cloned, Ok(Cloned::Child)) {
                sys::set_namespaces(own.as_raw_fd(), libc::CLONE_NEWPID)?;
            }
            cloned
        }
    }
}

fn fork_failure(error: &std::io::Error, place: &Place<'_>) -> Failure {
    match (place, error.raw_os_error()) {
        (Place::Joined(_), Some(libc::ESRCH | libc::ENOMEM | libc::EINVAL)) => {
            Failure::new(Code::NotRunning, "the container has ended")
        }
        (_, Some(libc::EAGAIN)) => Failure::new(Code::Internal, "the container's process limit is reached"),
        _ => Failure::new(Code::Internal, format!("fork: {error}")),
    }
}

async fn read_report(read: OwnedFd) -> std::io::Result<Vec<u8>> {
    sys::set_nonblocking(read.as_raw_fd())?;
    let read = sys::watched(read, Interest::READABLE)?;
    let mut told = vec![0; MAX_REPORT_BYTES];
    let mut length = 0;
    while length < told.len() {
        let mut guard = read.readable().await?;
        match guard.try_io(|fd| sys::read(fd.as_raw_fd(), &mut told[length..])) {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => length += count,
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    told.truncate(length);
    Ok(told)
}

fn parse_report(mut told: &[u8]) -> Outcome<Vec<u64>> {
    let mut times = Vec::new();
    while let Some((kind, rest)) = told.split_first() {
        match *kind {
            TIMES if rest.len() >= 8 => {
                let (time, rest) = rest.split_at(8);
                times.push(time.iter().rev().fold(0, |all, byte| (all << 8) | u64::from(*byte)));
                told = rest;
            }
            FAILURE if !rest.is_empty() => {
                return Err(Failure::new(Code::from_byte(rest[0]), String::from_utf8_lossy(&rest[1..])));
            }
            _ => return Err(Failure::new(Code::Internal, "the start report is damaged")),
        }
    }
    if times.is_empty() {
        return Err(Failure::new(Code::Internal, "the process was killed while it started (out of memory?)"));
    }
    Ok(times)
}

/// Everything between fork and exec. On success it does not return.
fn become_program(
    place: &Place<'_>,
    program: &Program,
    stdio: &Stdio,
    report: &OwnedFd,
) -> Outcome<std::convert::Infallible> {
    let mut times = Vec::with_capacity(4 * 9);
    let mut stamp = || {
        times.push(TIMES);
        times.extend_from_slice(&sys::monotonic_micros().to_le_bytes());
    };
    stamp();
    sys::reset_signals();
    sys::new_session().step(Code::Internal, "start a session")?;
    match place {
        Place::New(root) => root.enter(&mut stamp)?,
        Place::Joined(first) => {
            let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP;
            sys::set_namespaces(first.as_raw_fd(), kinds).step(Code::NotRunning, "join the container")?;
        }
    }
    stamp();
    let who = look_up(program)?;
    enter_working_directory(&program.working_directory)?;
    connect(stdio, &who)?;
    for limit in &program.rlimits {
        sys::set_rlimit(limit.resource, limit.soft, limit.hard).step(Code::Internal, "set a resource limit")?;
    }
    let launch = Launch::prepare(program, &who)?;
    sys::close_on_exec_from(3).step(Code::Internal, "close descriptors")?;
    stamp();
    sys::write(report.as_raw_fd(), &times).step(Code::Internal, "report")?;
    give_up_privileges(program, &who)?;
    Err(launch.execute())
}

fn look_up(program: &Program) -> Outcome<Identity> {
    let (passwd, group) = (read_database("/etc/passwd"), read_database("/etc/group"));
    identity::look_up(&program.user, &passwd, &group, &program.groups)
}

/// "" when it is not there; a fifo or a device in its place must not make the agent wait.
fn read_database(path: &str) -> String {
    use std::os::unix::fs::OpenOptionsExt;
    let mut text = Vec::new();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    if let Ok(file) = file
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
    {
        let _ = file.take(MAX_DATABASE_BYTES).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn enter_working_directory(directory: &str) -> Outcome<()> {
    let directory = if directory.is_empty() { "/" } else { directory };
    let failed = format!("enter the working directory {directory:?}");
    let path = sys::c_string(directory).step(Code::BadRequest, &failed)?;
    match sys::chdir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(directory).and_then(|()| sys::chdir(&path)).step(Code::MountFailed, &failed)
        }
        result => result.step(Code::MountFailed, &failed),
    }
}

fn connect(stdio: &Stdio, who: &Identity) -> Outcome<()> {
    let null;
    let stdin: RawFd = match &stdio.stdin {
        Some(fd) => fd.as_raw_fd(),
        None => {
            null = sys::open(c"/dev/null", libc::O_RDWR, 0).step(Code::Internal, "open /dev/null")?;
            null.as_raw_fd()
        }
    };
    let stdout = stdio.stdout.as_raw_fd();
    let stderr = stdio.stderr.as_ref().map_or(stdout, AsRawFd::as_raw_fd);
    let failed = "connect standard input and output";
    if stdio.is_terminal {
        sys::control_terminal(stdout).step(Code::Internal, failed)?;
    }
    // So that the program can open /dev/stdout again. A terminal keeps its group, tty.
    for fd in [stdio.stdin.as_ref().map(AsRawFd::as_raw_fd), Some(stdout), Some(stderr)].into_iter().flatten() {
        sys::change_owner(fd, who.uid, if stdio.is_terminal { 5 } else { who.gid }).step(Code::Internal, failed)?;
    }
    // The agent's own 0, 1 and 2 are the console, so none of these is below 3.
    for (from, to) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
        sys::duplicate_to(from, to).step(Code::Internal, failed)?;
    }
    Ok(())
}

fn give_up_privileges(program: &Program, who: &Identity) -> Outcome<()> {
    let failed = "give up privileges";
    sys::set_umask(0o022);
    // First, as it takes CAP_SYS_ADMIN where no_new_privs is not asked for; what follows passes the filter.
    if let Some(filter) = &program.filter {
        sys::install_seccomp(filter).step(Code::Internal, "install the seccomp filter")?;
    }
    program.capabilities.narrow_bounding().step(Code::Internal, failed)?;
    sys::set_user(who.uid, who.gid, &who.groups).step(Code::Internal, failed)?;
    program.capabilities.apply(who.uid).step(Code::Internal, failed)?;
    if program.no_new_privileges {
        sys::set_no_new_privileges().step(Code::Internal, failed)?;
    }
    Ok(())
}

/// All strings of the exec, ready.
struct Launch {
    name: String,
    candidates: Vec<CString>,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Launch {
    fn prepare(program: &Program, who: &Identity) -> Outcome<Launch> {
        let name = program.args.first().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Failure::new(Code::CommandNotFound, "no command is given"))?.clone();
        let mut env = program.env.clone();
        let value =
            |env: &[String], key: &str| env.iter().rev().find_map(|entry| entry.strip_prefix(key).map(str::to_owned));
        if value(&env, "PATH=").is_none() {
            env.push(format!("PATH={DEFAULT_PATH}"));
        }
        if value(&env, "HOME=").is_none() {
            env.push(format!("HOME={}", who.home));
        }
        let search = value(&env, "PATH=").unwrap_or_default();
        let candidates = if name.contains('/') {
            vec![name.clone()]
        } else {
            search.split(':').map(|part| format!("{}/{name}", if part.is_empty() { "." } else { part })).collect()
        };
        let strings = |texts: &[String]| -> Outcome<Vec<CString>> {
            texts.iter().map(|text| sys::c_string(text).step(Code::BadRequest, "a zero byte in a command")).collect()
        };
        Ok(Launch { name, candidates: strings(&candidates)?, args: strings(&program.args)?, env: strings(&env)? })
    }

    fn execute(&self) -> Failure {
        let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (args, env) = (pointers(&self.args), pointers(&self.env));
        let mut refused = None;
        for candidate in &self.candidates {
            let error = sys::execute(candidate, &args, &env);
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                // As a shell does: something of that name further on may be executable.
                Some(libc::EACCES) => refused = refused.or(Some(error)),
                _ => {
                    refused = Some(error);
                    break;
                }
            }
        }
        match refused {
            None => Failure::new(Code::CommandNotFound, format!("{}: command not found", self.name)),
            Some(error) => {
                Failure::new(Code::CommandNotExecutable, format!("{}: cannot be executed: {error}", self.name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_times_then_perhaps_a_failure() {
        let mut told = vec![TIMES];
        told.extend_from_slice(&77u64.to_le_bytes());
        assert_eq!(parse_report(&told).unwrap(), vec![77]);
        told.extend_from_slice(&[FAILURE, Code::CommandNotFound.to_byte()]);
        told.extend_from_slice(b"x: command not found");
        let failure = parse_report(&told).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (Code::CommandNotFound, "x: command not found"));
    }

    #[test]
    fn a_child_that_says_nothing_was_killed() {
        assert_eq!(parse_report(&[]).unwrap_err().code, Code::Internal);
        assert!(parse_report(b"Tshort").is_err());
        assert!(parse_report(b"?").is_err());
    }
}
