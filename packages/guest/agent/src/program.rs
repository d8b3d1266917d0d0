//! From a fork of the agent to a container's program.
//!
//! The child reports over a close-on-exec pipe: the times of its steps, and either the reason of a failure or, by
//! closing it, that `execve` has succeeded.

use crate::capabilities::Capabilities;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::identity::{self, Identity};
use crate::rlimits::Numbered;
use crate::seccomp;
use crate::sys::{self, Cloned, FilterInstruction};
use std::convert::Infallible;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: String,
    /// Looked up in the container's own files, with `groups`, unless `identity` says who that is.
    pub user: String,
    pub groups: Vec<u32>,
    pub identity: Option<Identity>,
    pub capabilities: Capabilities,
    pub no_new_privileges: bool,
    /// Whether the default seccomp filter is on.
    pub is_filtered: bool,
    pub rlimits: Vec<Numbered>,
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
    pub started_epoch_micros: u64,
    /// Names of steps and the monotonic times of their ends.
    pub times: Vec<(&'static str, u64)>,
}

const TIME: u8 = b'T';
const FAILURE: u8 = b'E';
/// As devpts is mounted.
const TTY_GROUP: u32 = 5;
pub const MAX_REPORT_BYTES: usize = 8192;

/// Steps, by the number that names them in a report.
pub const FORK: u8 = 0;
pub const OVERLAY: u8 = 1;
pub const MOUNTS: u8 = 2;
const IDENTITY: u8 = 3;
const STEPS: [&str; 4] = ["fork", "overlay", "mounts", "identity"];

/// Times that the child has not reported yet.
#[derive(Default)]
pub struct Stamps(Vec<u8>);

impl Stamps {
    pub fn stamp(&mut self, step: u8) {
        self.0.extend_from_slice(&[TIME, step]);
        self.0.extend_from_slice(&sys::monotonic_micros().to_le_bytes());
    }

    pub fn send(&mut self, report: &OwnedFd) -> Outcome<()> {
        sys::write(report.as_raw_fd(), &self.0).step(Code::Internal, "report")?;
        self.0.clear();
        Ok(())
    }
}

/// Tells the agent why there will be no program.
pub fn end_with(report: &OwnedFd, failure: &Failure) -> ! {
    let mut message = vec![FAILURE, failure.code.to_byte()];
    message.extend_from_slice(&failure.message.as_bytes()[..failure.message.len().min(4000)]);
    let _ = sys::write(report.as_raw_fd(), &message);
    sys::exit_now(1)
}

/// Starts `program` in the container whose first process is `first`. An error leaves no process behind.
pub async fn launch(
    cgroup: &OwnedFd,
    first: &OwnedFd,
    program: &Program,
    stdio: Stdio,
) -> Outcome<(OwnedFd, Launched)> {
    let report = sys::pipe().step(Code::Internal, "make a pipe")?;
    match fork_beside(cgroup, first).map_err(|error| fork_failure(&error))? {
        Cloned::Child => {
            let Err(failure) = join_and_become(first, program, &stdio, &report.write);
            end_with(&report.write, &failure)
        }
        Cloned::Parent { pidfd } => {
            drop(report.write);
            drop(stdio);
            match await_start(&report.read).await {
                Ok(launched) => Ok((pidfd, launched)),
                Err(failure) => {
                    let _ = sys::pidfd_kill(pidfd.as_raw_fd(), libc::SIGKILL);
                    let _ = wait(&pidfd).await;
                    Err(failure)
                }
            }
        }
    }
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
        match sys::read(report.as_raw_fd(), &mut told[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) => return launched(Err(error)),
        }
    }
    told.truncate(length);
    launched(Ok(told))
}

fn launched(told: std::io::Result<Vec<u8>>) -> Outcome<Launched> {
    let seen = sys::monotonic_micros();
    let started_epoch_micros = sys::epoch_micros();
    let mut times = Report::parse(&told.step(Code::Internal, "read the start report")?)?.times;
    times.push(("exec", seen));
    Ok(Launched { started_epoch_micros, times })
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

fn fork_beside(cgroup: &OwnedFd, first: &OwnedFd) -> std::io::Result<Cloned> {
    // The PID namespace of children is set here, as a process cannot change its own.
    let own = sys::open(c"/proc/self/ns/pid", libc::O_RDONLY, 0)?;
    sys::set_namespaces(first.as_raw_fd(), libc::CLONE_NEWPID)?;
    let cloned = sys::clone_into(cgroup.as_raw_fd(), 0);
    if !matches!(cloned, Ok(Cloned::Child)) {
        sys::set_namespaces(own.as_raw_fd(), libc::CLONE_NEWPID)?;
    }
    cloned
}

pub fn fork_failure(error: &std::io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::ESRCH | libc::ENOMEM | libc::EINVAL) => Failure::new(Code::NotRunning, "the container has ended"),
        Some(libc::EAGAIN) => Failure::new(Code::Internal, "the container's process limit is reached"),
        _ => Failure::new(Code::Internal, format!("fork: {error}")),
    }
}

async fn read_report(report: &OwnedFd) -> std::io::Result<Vec<u8>> {
    sys::set_nonblocking(report.as_raw_fd())?;
    let read = sys::watched(report.as_fd(), Interest::READABLE)?;
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

/// What can be made before the program is known.
#[derive(Default)]
pub struct Ready {
    null: Option<OwnedFd>,
    /// For the usual capabilities.
    filter: Option<Vec<FilterInstruction>>,
}

impl Ready {
    /// In the container, by a process that has its root.
    pub fn make() -> Outcome<Ready> {
        let null = sys::open(c"/dev/null", libc::O_RDWR, 0).step(Code::Internal, "open /dev/null")?;
        Ok(Ready { null: Some(null), filter: Some(seccomp::default_filter(Capabilities::USUAL)) })
    }
}

fn join_and_become(first: &OwnedFd, program: &Program, stdio: &Stdio, report: &OwnedFd) -> Outcome<Infallible> {
    sys::reset_signals();
    sys::new_session().step(Code::Internal, "start a session")?;
    let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP;
    sys::set_namespaces(first.as_raw_fd(), kinds).step(Code::NotRunning, "join the container")?;
    become_program(program, stdio, &Ready::default(), report)
}

/// The rest of the way, in a process that is in the container already. On success it does not return.
pub fn become_program(program: &Program, stdio: &Stdio, ready: &Ready, report: &OwnedFd) -> Outcome<Infallible> {
    let looked_up;
    let who = match &program.identity {
        Some(identity) => identity,
        None => {
            looked_up = look_up(program)?;
            &looked_up
        }
    };
    enter_working_directory(&program.working_directory)?;
    connect(stdio, ready, who)?;
    for limit in &program.rlimits {
        sys::set_rlimit(limit.resource, limit.soft, limit.hard).step(Code::Internal, "set a resource limit")?;
    }
    let launch = Launch::prepare(program, who)?;
    sys::close_on_exec_from(3).step(Code::Internal, "close descriptors")?;
    let mut stamps = Stamps::default();
    stamps.stamp(IDENTITY);
    stamps.send(report)?;
    give_up_privileges(program, ready, who)?;
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

fn connect(stdio: &Stdio, ready: &Ready, who: &Identity) -> Outcome<()> {
    let null;
    let stdin: RawFd = match (&stdio.stdin, &ready.null) {
        (Some(fd), _) | (None, Some(fd)) => fd.as_raw_fd(),
        (None, None) => {
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
    let owner = (who.uid, if stdio.is_terminal { TTY_GROUP } else { who.gid });
    let own = [stdio.stdin.as_ref().map(AsRawFd::as_raw_fd), Some(stdout), Some(stderr)];
    for fd in own.into_iter().flatten().filter(|_| owner != (0, 0)) {
        sys::change_owner(fd, owner.0, owner.1).step(Code::Internal, failed)?;
    }
    // The agent's own 0, 1 and 2 are the console, so none of these is below 3.
    for (from, to) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
        sys::duplicate_to(from, to).step(Code::Internal, failed)?;
    }
    Ok(())
}

fn give_up_privileges(program: &Program, ready: &Ready, who: &Identity) -> Outcome<()> {
    let failed = "give up privileges";
    sys::set_umask(0o022);
    // First, as it takes CAP_SYS_ADMIN where no_new_privs is not asked for; what follows passes the filter.
    if program.is_filtered {
        let usual = ready.filter.as_deref().filter(|_| program.capabilities == Capabilities::USUAL);
        let other = usual.map_or_else(|| seccomp::default_filter(program.capabilities), |_| Vec::new());
        sys::install_seccomp(usual.unwrap_or(&other)).step(Code::Internal, "install the seccomp filter")?;
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
