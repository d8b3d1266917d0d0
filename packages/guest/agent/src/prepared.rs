//! A container before it is known which one: its first process waits in its namespaces, with everything mounted.
//!
//! The first container of a VM is prepared before a fork, every other one when it is asked for; from then on all go the
//! same way. The process tells its progress through a pipe (`report`) and is told what to become through another
//! (`orders`).

use crate::boot;
use crate::cgroup::Group;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::orders::{HEADER, Orders};
use crate::program::{self, Stdio};
use crate::report::{self, Launched, Report};
use crate::rootfs::{Rooms, Root};
use crate::sys::{
    descriptor, file,
    process::{self, Cloned},
};
use crate::trash;
use std::convert::Infallible;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

/// What a container holds beside its processes.
pub struct Holdings {
    pub group: Group,
    /// Directory on the scratch disk with `upper` and `work`.
    writable: String,
    termination_file: String,
}

impl Holdings {
    fn make(number: u64) -> Outcome<Holdings> {
        let writable = format!("{}/c{number}", boot::POD);
        let termination_file = format!("{}/termination-{number}", boot::FILES);
        let holdings = Holdings { group: Group::make(number)?, writable, termination_file };
        holdings.fill().inspect_err(|_| holdings.remove_unused())?;
        Ok(holdings)
    }

    fn fill(&self) -> Outcome<()> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(&self.termination_file, "")
            .and_then(|()| std::fs::set_permissions(&self.termination_file, PermissionsExt::from_mode(0o666)))
            .step(Code::Internal, "make the termination message file")?;
        for directory in [self.writable.clone(), format!("{}/upper", self.writable), format!("{}/work", self.writable)]
        {
            std::fs::create_dir(directory).step(Code::MountFailed, "make the writable layer")?;
        }
        Ok(())
    }

    /// Before a process was there.
    fn remove_unused(&self) {
        self.group.remove();
        let _ = std::fs::remove_file(&self.termination_file);
        let _ = std::fs::remove_dir_all(&self.writable);
    }

    /// Kills what is left and removes all of it.
    pub async fn remove(&self) {
        self.group.kill_all();
        // Killed processes leave the group when they are reaped, which other tasks do.
        for _ in 0..500 {
            if self.group.remove() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = std::fs::remove_file(&self.termination_file);
        empty_in_background(&self.writable).await;
        // Fails when something in it could not be removed; it ends with the VM.
        let _ = std::fs::remove_dir(&self.writable);
    }

    pub fn open_termination_file(&self) -> Option<std::fs::File> {
        std::fs::File::open(&self.termination_file).ok()
    }
}

/// A tenant may have made a million files: a fork removes them while the agent goes on.
async fn empty_in_background(directory: &str) {
    let root =
        file::open(c"/cgroup", libc::O_DIRECTORY, 0).and_then(|cgroup| process::clone_into(cgroup.as_raw_fd(), 0));
    match root {
        Ok(Cloned::Child) => {
            process::yield_to_others();
            process::exit_now(i32::from(trash::empty(Path::new(directory)).is_err()))
        }
        Ok(Cloned::Parent { pidfd }) => drop(program::wait(&pidfd).await),
        Err(_) => {}
    }
}

pub struct Prepared {
    pub holdings: Holdings,
    pub pidfd: OwnedFd,
    /// Its devpts.
    pub terminals: OwnedFd,
    /// The agent's ends of its output, until a terminal takes their place.
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    orders: OwnedFd,
    report: OwnedFd,
}

/// The other ends.
struct Ends {
    stdout: OwnedFd,
    stderr: OwnedFd,
    orders: OwnedFd,
    report: OwnedFd,
    agent: OwnedFd,
}

impl Prepared {
    /// Makes the process, which then goes on by itself. `image` is the directory of the image; `number` is new.
    pub fn begin(number: u64, image: &str) -> Outcome<Prepared> {
        let pipe = || descriptor::pipe().step(Code::Internal, "make a pipe");
        let (stdout, stderr, orders, report) = (pipe()?, pipe()?, pipe()?, pipe()?);
        let agent = process::own_pidfd().step(Code::Internal, "open the agent's own process")?;
        let root = Root { image: image.to_owned(), terminals: Root::new_terminals()? };
        let holdings = Holdings::make(number)?;
        let ends =
            Ends { stdout: stdout.write, stderr: stderr.write, orders: orders.read, report: report.write, agent };
        match process::clone_into(holdings.group.directory.as_raw_fd(), libc::CLONE_NEWNS | libc::CLONE_NEWPID) {
            Ok(Cloned::Child) => {
                let Err(failure) = wait_and_become(
                    &root,
                    &holdings,
                    ends.orders,
                    &ends.report,
                    |orders| stdio(orders, ends.stdout, ends.stderr, &ends.agent),
                    &ends.agent,
                );
                report::end_with(&ends.report, &failure)
            }
            Ok(Cloned::Parent { pidfd }) => Ok(Prepared {
                holdings,
                pidfd,
                terminals: root.terminals,
                stdout: stdout.read,
                stderr: stderr.read,
                orders: orders.write,
                report: report.read,
            }),
            Err(error) => {
                holdings.remove_unused();
                Err(program::fork_failure(&error))
            }
        }
    }

    /// Waits, with everything else, until all is mounted. An error leaves nothing behind.
    pub fn finish(self) -> Outcome<Prepared> {
        match self.read_progress() {
            Ok(()) => Ok(self),
            Err(failure) => {
                let _ = process::pidfd_kill(self.pidfd.as_raw_fd(), libc::SIGKILL);
                while let Ok(None) = process::reap(self.pidfd.as_raw_fd()) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                self.holdings.remove_unused();
                Err(failure)
            }
        }
    }

    fn read_progress(&self) -> Outcome<()> {
        let mut buffer = [0; report::MAX_REPORT_BYTES];
        let count =
            descriptor::read(self.report.as_raw_fd(), &mut buffer).step(Code::Internal, "read the start report")?;
        Report::parse(&buffer[..count]).map(drop)
    }

    /// Has the process become a program. After an error, `discard` it.
    pub async fn start(&self, orders: &Orders) -> Outcome<Launched> {
        let told = orders.encode();
        descriptor::set_nonblocking(self.orders.as_raw_fd()).step(Code::Internal, "give orders")?;
        // A process that is gone says why in its report.
        if let Ok(count) = descriptor::write(self.orders.as_raw_fd(), &told)
            && count < told.len()
        {
            let orders = self.orders.try_clone().and_then(crate::pipes::writer).step(Code::Internal, "give orders")?;
            crate::pipes::write_all(&orders, &told[count..]).await;
        }
        report::await_start(&self.report).await
    }

    /// The same while everything else waits.
    pub fn start_now(&self, orders: &Orders) -> Outcome<Launched> {
        // A process that is gone says why in its report.
        let told = orders.encode();
        let mut told = told.as_slice();
        while let Ok(count) = descriptor::write(self.orders.as_raw_fd(), told)
            && count < told.len()
        {
            told = &told[count..];
        }
        report::await_start_now(&self.report)
    }

    pub async fn discard(self) {
        let _ = process::pidfd_kill(self.pidfd.as_raw_fd(), libc::SIGKILL);
        let _ = program::wait(&self.pidfd).await;
        self.holdings.remove().await;
    }
}

/// All that the first process does before it is the program.
fn wait_and_become(
    root: &Root,
    holdings: &Holdings,
    orders: OwnedFd,
    report: &OwnedFd,
    stdio: impl FnOnce(&Orders) -> Outcome<Stdio>,
    agent: &OwnedFd,
) -> Outcome<Infallible> {
    let mut stages = report::Stamps::default();
    stages.stamp(report::FORK);
    process::reset_signals();
    process::new_session().step(Code::Internal, "start a session")?;
    let rooms = root.enter(&holdings.writable, &holdings.termination_file, &mut stages)?;
    let ready = program::Ready::make()?;
    stages.stamp(report::MOUNTS);
    stages.send(report)?;
    let orders = read_orders(&orders)?;
    place(&orders, &rooms, agent)?;
    let stdio = stdio(&orders)?;
    program::become_program(&orders.program, &stdio, &ready, report)
}

fn read_orders(orders: &OwnedFd) -> Outcome<Orders> {
    let mut told = vec![0; 4096];
    let (mut length, mut expected) = (0, HEADER);
    while length < expected {
        if told.len() < expected {
            told.resize(expected, 0);
        }
        let count =
            descriptor::read(orders.as_raw_fd(), &mut told[length..]).step(Code::Internal, "read the orders")?;
        if count == 0 {
            return Err(Failure::new(Code::Internal, "the container was given up"));
        }
        length += count;
        if let Some(header) = told.first_chunk::<HEADER>().filter(|_| length >= HEADER) {
            expected = HEADER + u64::from_le_bytes(*header) as usize;
        }
    }
    Orders::decode(&told[HEADER..expected])
}

/// A descriptor of the agent.
fn fetch(agent: &OwnedFd, number: RawFd) -> Outcome<OwnedFd> {
    process::take_descriptor(agent.as_raw_fd(), number).step(Code::Internal, "take a descriptor of the agent")
}

/// Pod files first, then the volumes, outer ones before those inside them; what the agent was asked to mount last wins.
fn place(orders: &Orders, rooms: &Rooms, agent: &OwnedFd) -> Outcome<()> {
    let message = rooms.take_termination_file(&orders.termination_path, &orders.binds)?;
    for (index, is_bound) in orders.pod_files.iter().enumerate() {
        if *is_bound {
            rooms.place_pod_file(index, orders.is_root_read_only)?;
        }
    }
    for bind in &orders.binds {
        Rooms::place(&fetch(agent, bind.tree)?, &bind.target)?;
    }
    if let Some(tree) = message {
        Rooms::place(&tree, &orders.termination_path)?;
    }
    if let Some(number) = orders.console {
        Rooms::place_console(number)?;
    }
    if orders.is_root_read_only { Rooms::close_root() } else { Ok(()) }
}

fn stdio(orders: &Orders, stdout: OwnedFd, stderr: OwnedFd, agent: &OwnedFd) -> Outcome<Stdio> {
    let stdin = orders.stdin.map(|number| fetch(agent, number)).transpose()?;
    Ok(match orders.stdout {
        Some(number) => Stdio { stdin, stdout: fetch(agent, number)?, stderr: None, is_terminal: orders.is_terminal },
        None => Stdio { stdin, stdout, stderr: Some(stderr), is_terminal: orders.is_terminal },
    })
}
