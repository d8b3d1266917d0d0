//! From a fork of the agent to a container's program; what the child tells on its way is in `report`.

use crate::capabilities::Capabilities;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::identity::{self, Identity};
use crate::report::{self, Launched};
use crate::rlimits::Numbered;
use crate::seccomp;
use crate::sys::{
    self, descriptor, file,
    filter::{self, FilterInstruction},
    privileges,
    process::{self, Cloned},
    readiness, terminal,
};
use std::convert::Infallible;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use tokio::io::Interest;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest /etc/passwd or /etc/group that is looked at.
const MAX_DATABASE_BYTES: u64 = 1024 * 1024;

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

/// As devpts is mounted.
const TTY_GROUP: u32 = 5;
/// Starts `program` in the container whose first process is `first`. An error leaves no process behind.
pub async fn launch(
    cgroup: &OwnedFd,
    first: &OwnedFd,
    program: &Program,
    stdio: Stdio,
) -> Outcome<(OwnedFd, Launched)> {
    let report = descriptor::pipe().step(Code::Internal, "make a pipe")?;
    match fork_beside(cgroup, first).map_err(|error| fork_failure(&error))? {
        Cloned::Child => {
            let Err(failure) = join_and_become(first, program, &stdio, &report.write);
            report::end_with(&report.write, &failure)
        }
        Cloned::Parent { pidfd } => {
            drop(report.write);
            drop(stdio);
            match report::await_start(&report.read).await {
                Ok(launched) => Ok((pidfd, launched)),
                Err(failure) => {
                    let _ = process::pidfd_kill(pidfd.as_raw_fd(), libc::SIGKILL);
                    let _ = wait(&pidfd).await;
                    Err(failure)
                }
            }
        }
    }
}

/// Waits until the process has ended: its exit code, or the signal that killed it.
pub async fn wait(pidfd: &OwnedFd) -> std::io::Result<Result<i32, i32>> {
    let watched = readiness::watched(pidfd.as_fd(), Interest::READABLE)?;
    loop {
        let mut guard = watched.readable().await?;
        if let Some(end) = process::reap(pidfd.as_raw_fd())? {
            return Ok(end);
        }
        guard.clear_ready();
    }
}

fn fork_beside(cgroup: &OwnedFd, first: &OwnedFd) -> std::io::Result<Cloned> {
    // The PID namespace of children is set here, as a process cannot change its own.
    let own = file::open(c"/proc/self/ns/pid", libc::O_RDONLY, 0)?;
    process::set_namespaces(first.as_raw_fd(), libc::CLONE_NEWPID)?;
    let cloned = process::clone_into(cgroup.as_raw_fd(), 0);
    if !matches!(cloned, Ok(Cloned::Child)) {
        process::set_namespaces(own.as_raw_fd(), libc::CLONE_NEWPID)?;
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
        let null = file::open(c"/dev/null", libc::O_RDWR, 0).step(Code::Internal, "open /dev/null")?;
        Ok(Ready { null: Some(null), filter: Some(seccomp::default_filter(Capabilities::USUAL)) })
    }
}

fn join_and_become(first: &OwnedFd, program: &Program, stdio: &Stdio, report: &OwnedFd) -> Outcome<Infallible> {
    process::reset_signals();
    process::new_session().step(Code::Internal, "start a session")?;
    let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP;
    process::set_namespaces(first.as_raw_fd(), kinds).step(Code::NotRunning, "join the container")?;
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
        privileges::set_rlimit(limit.resource, limit.soft, limit.hard).step(Code::Internal, "set a resource limit")?;
    }
    let launch = Launch::prepare(program, who)?;
    descriptor::close_on_exec_from(3).step(Code::Internal, "close descriptors")?;
    let mut stamps = report::Stamps::default();
    stamps.stamp(report::IDENTITY);
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
    match file::chdir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(directory).and_then(|()| file::chdir(&path)).step(Code::MountFailed, &failed)
        }
        result => result.step(Code::MountFailed, &failed),
    }
}

fn connect(stdio: &Stdio, ready: &Ready, who: &Identity) -> Outcome<()> {
    let null;
    let stdin: RawFd = match (&stdio.stdin, &ready.null) {
        (Some(fd), _) | (None, Some(fd)) => fd.as_raw_fd(),
        (None, None) => {
            null = file::open(c"/dev/null", libc::O_RDWR, 0).step(Code::Internal, "open /dev/null")?;
            null.as_raw_fd()
        }
    };
    let stdout = stdio.stdout.as_raw_fd();
    let stderr = stdio.stderr.as_ref().map_or(stdout, AsRawFd::as_raw_fd);
    let failed = "connect standard input and output";
    if stdio.is_terminal {
        terminal::control(stdout).step(Code::Internal, failed)?;
    }
    // So that the program can open /dev/stdout again. A terminal keeps its group, tty.
    let owner = (who.uid, if stdio.is_terminal { TTY_GROUP } else { who.gid });
    let own = [stdio.stdin.as_ref().map(AsRawFd::as_raw_fd), Some(stdout), Some(stderr)];
    for fd in own.into_iter().flatten().filter(|_| owner != (0, 0)) {
        file::change_owner(fd, owner.0, owner.1).step(Code::Internal, failed)?;
    }
    // The agent's own 0, 1 and 2 are the console, so none of these is below 3.
    for (from, to) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
        descriptor::duplicate_to(from, to).step(Code::Internal, failed)?;
    }
    Ok(())
}

fn give_up_privileges(program: &Program, ready: &Ready, who: &Identity) -> Outcome<()> {
    let failed = "give up privileges";
    file::set_umask(0o022);
    // First, as it takes CAP_SYS_ADMIN where no_new_privs is not asked for; what follows passes the filter.
    if program.is_filtered {
        let usual = ready.filter.as_deref().filter(|_| program.capabilities == Capabilities::USUAL);
        let other = usual.map_or_else(|| seccomp::default_filter(program.capabilities), |_| Vec::new());
        filter::install_seccomp(usual.unwrap_or(&other)).step(Code::Internal, "install the seccomp filter")?;
    }
    program.capabilities.narrow_bounding().step(Code::Internal, failed)?;
    privileges::set_user(who.uid, who.gid, &who.groups).step(Code::Internal, failed)?;
    program.capabilities.apply(who.uid).step(Code::Internal, failed)?;
    if program.no_new_privileges {
        privileges::set_no_new_privileges().step(Code::Internal, failed)?;
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
            let error = process::execute(candidate, &args, &env);
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
