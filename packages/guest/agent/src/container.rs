//! A container from its start to its removal.

use crate::agent::Agent;
use crate::boot;
use crate::capabilities::Capabilities;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::frame;
use crate::orders::{Bind, Orders};
use crate::output::Ring;
use crate::pipes::{self, Descriptor};
use crate::prepared::{Holdings, Prepared};
use crate::program::{self, Program, Stdio};
use crate::report::Launched;
use crate::rlimits;
use crate::rootfs;
use crate::spec::{ContainerSpec, ExitStatus, Limits, Seccomp, Started, State};
use crate::stages::Stages;
use crate::sys::{descriptor, file, machine, process, terminal};
use crate::volumes::check_name;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use tokio::sync::watch;

const MAX_TERMINATION_MESSAGE: u64 = 4096;

pub struct Container {
    pub id: String,
    pub program: Program,
    pub holdings: Holdings,
    pub pidfd: OwnedFd,
    /// Its devpts, for the terminals of execs.
    pub terminals: OwnedFd,
    /// The terminal's master when it has one.
    pub terminal: Option<Descriptor>,
    pub stdin: RefCell<Option<Descriptor>>,
    pub is_stdin_once: bool,
    pub ring: RefCell<Ring>,
    /// Open output streams; while there is none, an attached client's progress empties the ring.
    pub output_streams: Cell<usize>,
    pub started_micros: u64,
    exit: RefCell<Option<ExitStatus>>,
    is_removed: Cell<bool>,
    /// Told after every change of the above.
    changes: watch::Sender<()>,
}

impl Container {
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub fn changed(&self) {
        self.changes.send_replace(());
    }

    pub fn exit(&self) -> Option<ExitStatus> {
        self.exit.borrow().clone()
    }

    pub fn is_removed(&self) -> bool {
        self.is_removed.get()
    }

    pub fn state(&self) -> State {
        let exit = self.exit();
        State {
            id: self.id.clone(),
            phase: if exit.is_some() { "exited" } else { "running" },
            started_micros: self.started_micros,
            output_bytes: self.ring.borrow().end(),
            exit,
        }
    }

    pub async fn wait(&self) -> ExitStatus {
        let mut changes = self.changes();
        loop {
            if let Some(exit) = self.exit() {
                return exit;
            }
            // The sender is in `self`: it cannot be gone.
            let _ = changes.changed().await;
        }
    }

    pub fn signal(&self, number: i32) -> Outcome<()> {
        match process::pidfd_kill(self.pidfd.as_raw_fd(), number) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Err(Failure::new(Code::NotRunning, format!("container {} has ended", self.id)))
            }
            result => result.step(Code::Internal, "send a signal"),
        }
    }
}

/// The agent's ends of a program's standard input and output.
pub struct OwnEnds {
    pub terminal: Option<Descriptor>,
    pub stdin: Option<Descriptor>,
    pub outputs: Vec<(u8, Descriptor)>,
}

pub fn make_stdio(terminals: &OwnedFd, is_terminal: bool, has_stdin: bool) -> Outcome<(Stdio, OwnEnds)> {
    let failed = "make standard input and output";
    if is_terminal {
        let master = file::open_at(terminals.as_raw_fd(), c"ptmx", libc::O_RDWR | libc::O_NOCTTY, 0);
        let master = master.step(Code::Internal, failed)?;
        let slave = terminal::peer(master.as_raw_fd()).step(Code::Internal, failed)?;
        let stdin = if has_stdin { Some(slave.try_clone().step(Code::Internal, failed)?) } else { None };
        let master = pipes::both_ways(master).step(Code::Internal, failed)?;
        let own = OwnEnds {
            stdin: has_stdin.then(|| master.clone()),
            outputs: vec![(frame::STDOUT, master.clone())],
            terminal: Some(master),
        };
        return Ok((Stdio { stdin, stdout: slave, stderr: None, is_terminal: true }, own));
    }
    let (stdout, stderr) =
        (descriptor::pipe().step(Code::Internal, failed)?, descriptor::pipe().step(Code::Internal, failed)?);
    let (mut stdin, mut own_stdin) = (None, None);
    if has_stdin {
        let pipe = descriptor::pipe().step(Code::Internal, failed)?;
        stdin = Some(pipe.read);
        own_stdin = Some(pipes::writer(pipe.write).step(Code::Internal, failed)?);
    }
    let outputs = vec![
        (frame::STDOUT, pipes::reader(stdout.read).step(Code::Internal, failed)?),
        (frame::STDERR, pipes::reader(stderr.read).step(Code::Internal, failed)?),
    ];
    let stdio = Stdio { stdin, stdout: stdout.write, stderr: Some(stderr.write), is_terminal: false };
    Ok((stdio, OwnEnds { terminal: None, stdin: own_stdin, outputs }))
}

/// The trees of the spec's volumes, outer ones before those inside them.
fn open_volumes(agent: &Agent, spec: &ContainerSpec) -> Outcome<Vec<(OwnedFd, String)>> {
    let volumes = agent.volumes.borrow();
    let mut mounts: Vec<_> = spec.mounts.iter().collect();
    mounts.sort_by_key(|mount| Path::new(&mount.path).components().count());
    let open = |mount: &&crate::spec::Mount| {
        if !mount.path.starts_with('/') {
            return Err(Failure::bad(format!("mount path {:?} is not absolute", mount.path)));
        }
        let volume = volumes.get(&mount.volume)?;
        let sub_path = mount.sub_path.as_deref().filter(|path| !path.is_empty());
        let tree = rootfs::open_source(&volume.directory, sub_path, mount.is_read_only || volume.is_read_only())?;
        Ok((tree, mount.path.clone()))
    };
    mounts.iter().map(open).collect()
}

/// A terminal, or input where there is some; what the container was prepared with serves for the rest.
#[derive(Default)]
struct Wiring {
    terminal: Option<Descriptor>,
    own_stdin: Option<Descriptor>,
    /// What the first process takes from the agent: stdin, stdout.
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    console: Option<u32>,
}

fn wire(prepared: &Prepared, spec: &ContainerSpec) -> Outcome<Wiring> {
    let failed = "make standard input and output";
    if spec.is_terminal {
        let (stdio, own) = make_stdio(&prepared.terminals, true, spec.has_stdin)?;
        let number = own.terminal.as_ref().map(|terminal| terminal::number(terminal.as_raw_fd())).transpose();
        return Ok(Wiring {
            console: number.step(Code::Internal, "number of the terminal")?,
            terminal: own.terminal,
            own_stdin: own.stdin,
            stdin: stdio.stdin,
            stdout: Some(stdio.stdout),
        });
    }
    if !spec.has_stdin {
        return Ok(Wiring::default());
    }
    let pipe = descriptor::pipe().step(Code::Internal, failed)?;
    let own_stdin = Some(pipes::writer(pipe.write).step(Code::Internal, failed)?);
    Ok(Wiring { own_stdin, stdin: Some(pipe.read), ..Wiring::default() })
}

/// A container that is about to be told what to become.
struct Begun {
    spec: ContainerSpec,
    prepared: Prepared,
    orders: Orders,
    wiring: Wiring,
    /// What the orders name by number stays open until they are carried out.
    _volumes: Vec<(OwnedFd, String)>,
    stages: Stages,
}

impl Begun {
    fn new(agent: &Agent, spec: ContainerSpec, mut stages: Stages) -> Outcome<Begun> {
        let capabilities = Capabilities::from_names(&spec.capabilities)?;
        let rlimits = rlimits::numbered(&spec.rlimits)?;
        if !spec.termination_message_path.is_empty() && !spec.termination_message_path.starts_with('/') {
            return Err(Failure::bad("terminationMessagePath is not absolute"));
        }
        let volumes = open_volumes(agent, &spec)?;
        let prepared = agent.take_prepared(&spec.image_disk_serial)?;
        let wiring = match prepared.holdings.group.limit(&spec.limits).and_then(|()| wire(&prepared, &spec)) {
            Ok(wiring) => wiring,
            Err(failure) => {
                tokio::task::spawn_local(prepared.discard());
                return Err(failure);
            }
        };
        let is_mounted = |path: &str| spec.mounts.iter().any(|mount| mount.path == path);
        let orders = Orders {
            program: Program {
                args: spec.args.clone(),
                env: spec.env.clone(),
                working_directory: spec.working_directory.clone(),
                user: spec.user.clone(),
                groups: spec.supplemental_groups.clone(),
                identity: spec.identity.clone(),
                capabilities,
                no_new_privileges: spec.no_new_privileges,
                is_filtered: spec.seccomp == Seccomp::Default,
                rlimits,
            },
            is_terminal: spec.is_terminal,
            stdin: wiring.stdin.as_ref().map(AsRawFd::as_raw_fd),
            stdout: wiring.stdout.as_ref().map(AsRawFd::as_raw_fd),
            console: wiring.console,
            is_root_read_only: spec.is_root_read_only,
            pod_files: boot::POD_FILES.map(|name| !is_mounted(&format!("/etc/{name}"))),
            binds: volumes
                .iter()
                .map(|(tree, target)| Bind { tree: tree.as_raw_fd(), target: target.clone() })
                .collect(),
            termination_path: spec.termination_message_path.clone(),
        };
        stages.done("prepare");
        Ok(Begun { spec, prepared, orders, wiring, _volumes: volumes, stages })
    }

    fn finish(mut self, launched: Launched) -> Outcome<Fresh> {
        for (name, micros) in &launched.times {
            self.stages.done_at(name, *micros);
        }
        let Prepared { holdings, pidfd, terminals, stdout, stderr, .. } = self.prepared;
        let outputs = match &self.wiring.terminal {
            Some(master) => {
                let master = master.get_ref().try_clone().step(Code::Internal, "read the terminal")?;
                vec![(frame::STDOUT, master)]
            }
            None => vec![(frame::STDOUT, stdout), (frame::STDERR, stderr)],
        };
        for (_, output) in &outputs {
            descriptor::set_nonblocking(output.as_raw_fd()).step(Code::Internal, "read the output")?;
        }
        let started_micros = launched.started_epoch_micros;
        let container = Rc::new(Container {
            id: self.spec.id.clone(),
            program: self.orders.program,
            holdings,
            pidfd,
            terminals,
            terminal: self.wiring.terminal,
            stdin: RefCell::new(self.wiring.own_stdin),
            is_stdin_once: self.spec.is_stdin_once,
            ring: RefCell::new(Ring::new(outputs.len())),
            output_streams: Cell::new(0),
            started_micros,
            exit: RefCell::new(None),
            is_removed: Cell::new(false),
            changes: watch::Sender::new(()),
        });
        let started = Started { id: self.spec.id, started_micros, stage_micros: self.stages.into_micros() };
        Ok(Fresh { container, started, limits: self.spec.limits, outputs })
    }
}

/// A container whose program runs and whose output nobody reads yet.
pub struct Fresh {
    pub container: Rc<Container>,
    pub started: Started,
    pub outputs: Vec<(u8, OwnedFd)>,
    limits: Limits,
}

impl Fresh {
    /// CPU quotas begin with the program, so that they do not slow its start.
    pub fn limit_cpu(&self, agent: &Agent) -> Outcome<()> {
        let limited = agent.limit_pod_cpu().and_then(|()| self.container.holdings.group.limit_cpu(&self.limits));
        limited.inspect_err(|_| drop(self.container.signal(libc::SIGKILL)))
    }

    /// From here on its output is read, and its end is heard.
    pub fn look_after(self) -> Started {
        for (kind, output) in self.outputs {
            tokio::task::spawn_local(pump(self.container.clone(), kind, output));
        }
        tokio::task::spawn_local(await_end(self.container));
        self.started
    }
}

/// Starts a container. Either it runs and is in the agent's list, or nothing of it is left.
pub async fn start(agent: &Rc<Agent>, spec: ContainerSpec) -> Outcome<Started> {
    check_name(&spec.id)?;
    agent.check_configured()?;
    agent.reserve(&spec.id)?;
    let id = spec.id.clone();
    let outcome = match Begun::new(agent, spec, Stages::new()) {
        Ok(begun) => match begun.prepared.start(&begun.orders).await {
            Ok(launched) => begun.finish(launched),
            Err(failure) => {
                begun.prepared.discard().await;
                Err(failure)
            }
        },
        Err(failure) => Err(failure),
    };
    let fresh = agent.settle(id, outcome)?;
    let limited = fresh.limit_cpu(agent);
    let container = fresh.container.clone();
    let started = fresh.look_after();
    if let Err(failure) = limited {
        remove(agent, &container).await?;
        return Err(failure);
    }
    Ok(started)
}

/// The same while everything else waits.
pub fn start_now(agent: &Rc<Agent>, spec: ContainerSpec, stages: Stages) -> Outcome<Fresh> {
    check_name(&spec.id)?;
    agent.reserve(&spec.id)?;
    let id = spec.id.clone();
    let outcome = Begun::new(agent, spec, stages).and_then(|begun| match begun.prepared.start_now(&begun.orders) {
        Ok(launched) => begun.finish(launched),
        Err(failure) => {
            tokio::task::spawn_local(begun.prepared.discard());
            Err(failure)
        }
    });
    agent.settle(id, outcome)
}

/// Moves output from a pipe to the ring while there is room. What nobody has read at the removal is dropped.
async fn pump(container: Rc<Container>, kind: u8, output: OwnedFd) {
    let mut changes = container.changes();
    let Ok(descriptor) = pipes::reader(output) else {
        container.ring.borrow_mut().close_pipe();
        return container.changed();
    };
    while !container.is_removed() {
        let room = container.ring.borrow_mut().room();
        if room == 0 {
            let _ = changes.changed().await;
            continue;
        }
        let Some(data) = pipes::read(&descriptor, room).await else { break };
        container.ring.borrow_mut().push(kind, machine::epoch_micros(), data);
        container.changed();
    }
    container.ring.borrow_mut().close_pipe();
    container.changed();
}

async fn await_end(container: Rc<Container>) {
    let end = program::wait(&container.pidfd).await.unwrap_or(Err(libc::SIGKILL));
    let finished_micros = machine::epoch_micros();
    let (exit_code, signal) = match end {
        Ok(code) => (code, 0),
        Err(signal) => (128 + signal, signal),
    };
    let is_oom_killed = signal == libc::SIGKILL && container.holdings.group.oom_kills() > 0;
    *container.exit.borrow_mut() = Some(ExitStatus {
        exit_code,
        signal,
        is_oom_killed,
        started_micros: container.started_micros,
        finished_micros,
        termination_message: read_termination_message(&container.holdings),
    });
    container.stdin.borrow_mut().take();
    container.changed();
}

/// Bytes that are not text are replaced; the bound holds for what is returned.
fn read_termination_message(holdings: &Holdings) -> String {
    let mut bytes = Vec::new();
    if let Some(file) = holdings.open_termination_file() {
        let _ = file.take(MAX_TERMINATION_MESSAGE).read_to_end(&mut bytes);
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    let mut length = text.len().min(MAX_TERMINATION_MESSAGE as usize);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    text.truncate(length);
    text
}

/// Kills what is left of a container and removes all it had. A second call waits for the first.
pub async fn remove(agent: &Rc<Agent>, container: &Rc<Container>) -> Outcome<()> {
    if container.is_removed.replace(true) {
        let mut changes = container.changes();
        while agent.has(&container.id, container) {
            let _ = changes.changed().await;
        }
        return Ok(());
    }
    container.changed();
    // Ended already: nothing to kill.
    let _ = container.signal(libc::SIGKILL);
    container.wait().await;
    container.holdings.remove().await;
    agent.containers.borrow_mut().remove(&container.id);
    container.changed();
    Ok(())
}

/// What an attached client or an output stream is sent next.
pub enum Next {
    Chunk { kind: u8, offset: u64, epoch_micros: u64, data: Bytes },
    End(ExitStatus),
}

/// The output from `offset` on, waiting for it.
pub async fn next_output(container: &Container, offset: u64) -> Next {
    let mut changes = container.changes();
    loop {
        let (chunk, is_closed) = {
            let ring = container.ring.borrow();
            (ring.at(offset), ring.is_closed())
        };
        if let Some(chunk) = chunk {
            let data = chunk.data.slice(..chunk.data.len().min(frame::MAX_PAYLOAD));
            return Next::Chunk { kind: chunk.kind, offset: chunk.offset, epoch_micros: chunk.epoch_micros, data };
        }
        if let (true, Some(exit)) = (is_closed, container.exit()) {
            return Next::End(exit);
        }
        let _ = changes.changed().await;
    }
}
