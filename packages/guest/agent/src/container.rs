//! A container from its start to its removal.

use crate::agent::Agent;
use crate::boot;
use crate::capabilities::Capabilities;
use crate::cgroup;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::frame;
use crate::output::Ring;
use crate::pipes::{self, Descriptor};
use crate::program::{self, Place, Program, Stdio};
use crate::rlimits;
use crate::rootfs::{self, Bind, Root};
use crate::seccomp;
use crate::spec::{ContainerSpec, ExitStatus, Seccomp, Started, State};
use crate::stages::Stages;
use crate::sys::{self, Cloned};
use crate::trash;
use crate::volumes::check_name;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

const MAX_TERMINATION_MESSAGE: u64 = 4096;

pub struct Container {
    pub id: String,
    pub program: Program,
    pub cgroup: OwnedFd,
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
    termination_file: Option<String>,
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
        match sys::pidfd_kill(self.pidfd.as_raw_fd(), number) {
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
        let master = sys::open_at(terminals.as_raw_fd(), c"ptmx", libc::O_RDWR | libc::O_NOCTTY, 0);
        let master = master.step(Code::Internal, failed)?;
        let slave = sys::terminal_peer(master.as_raw_fd()).step(Code::Internal, failed)?;
        let stdin = if has_stdin { Some(slave.try_clone().step(Code::Internal, failed)?) } else { None };
        let master = pipes::both_ways(master).step(Code::Internal, failed)?;
        let own = OwnEnds {
            stdin: has_stdin.then(|| master.clone()),
            outputs: vec![(frame::STDOUT, master.clone())],
            terminal: Some(master),
        };
        return Ok((Stdio { stdin, stdout: slave, stderr: None, is_terminal: true }, own));
    }
    let (stdout, stderr) = (sys::pipe().step(Code::Internal, failed)?, sys::pipe().step(Code::Internal, failed)?);
    let (mut stdin, mut own_stdin) = (None, None);
    if has_stdin {
        let pipe = sys::pipe().step(Code::Internal, failed)?;
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

fn writable_directory(id: &str) -> String {
    format!("{}/c-{id}", boot::POD)
}

/// Pod files first, then the volumes, outer ones before those inside them.
fn binds(agent: &Agent, spec: &ContainerSpec, termination_file: Option<&str>) -> Outcome<Vec<Bind>> {
    let mut binds = Vec::new();
    let is_mounted = |path: &str| spec.mounts.iter().any(|mount| mount.path == path);
    for name in boot::POD_FILES {
        let target = format!("/etc/{name}");
        if !is_mounted(&target) {
            let source = format!("{}/{name}", boot::FILES);
            binds.push(Bind { source, sub_path: None, target, is_read_only: spec.is_root_read_only });
        }
    }
    let volumes = agent.volumes.borrow();
    let mut mounts: Vec<_> = spec.mounts.iter().collect();
    mounts.sort_by_key(|mount| Path::new(&mount.path).components().count());
    for mount in mounts {
        if !mount.path.starts_with('/') {
            return Err(Failure::bad(format!("mount path {:?} is not absolute", mount.path)));
        }
        let volume = volumes.get(&mount.volume)?;
        binds.push(Bind {
            source: volume.directory.clone(),
            sub_path: mount.sub_path.clone().filter(|path| !path.is_empty()),
            target: mount.path.clone(),
            is_read_only: mount.is_read_only || volume.is_read_only(),
        });
    }
    if let Some(source) = termination_file {
        let target = spec.termination_message_path.clone();
        binds.push(Bind { source: source.to_owned(), sub_path: None, target, is_read_only: false });
    }
    Ok(binds)
}

fn make_termination_file(spec: &ContainerSpec) -> Outcome<Option<String>> {
    use std::os::unix::fs::PermissionsExt;
    if spec.termination_message_path.is_empty() {
        return Ok(None);
    }
    if !spec.termination_message_path.starts_with('/') {
        return Err(Failure::bad("terminationMessagePath is not absolute"));
    }
    let path = format!("{}/termination-{}", boot::FILES, spec.id);
    std::fs::write(&path, "")
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)))
        .step(Code::Internal, "make the termination message file")?;
    Ok(Some(path))
}

/// Starts a container. Either it runs and is in the agent's list, or nothing of it is left.
pub async fn start(agent: &Rc<Agent>, spec: ContainerSpec) -> Outcome<Started> {
    check_name(&spec.id)?;
    agent.check_configured()?;
    agent.reserve(&spec.id)?;
    let id = spec.id.clone();
    let outcome = start_reserved(agent, spec).await;
    match outcome {
        Ok((container, started)) => {
            agent.containers.borrow_mut().insert(id, Some(container));
            Ok(started)
        }
        Err(failure) => {
            remove_traces(&id).await;
            agent.containers.borrow_mut().remove(&id);
            Err(failure)
        }
    }
}

async fn start_reserved(agent: &Rc<Agent>, spec: ContainerSpec) -> Outcome<(Rc<Container>, Started)> {
    let mut stages = Stages::new();
    let capabilities = Capabilities::from_names(&spec.capabilities)?;
    let termination_file = make_termination_file(&spec)?;
    let binds = binds(agent, &spec, termination_file.as_deref())?;
    let image = agent.disks.borrow_mut().mount_image(&spec.image_disk_serial)?;
    stages.done("disks");
    let writable = writable_directory(&spec.id);
    std::fs::create_dir(&writable).step(Code::MountFailed, "make the writable layer")?;
    let cgroup = cgroup::create(&spec.id, &spec.limits)?;
    let terminals = rootfs::new_terminals()?;
    let (stdio, own) = make_stdio(&terminals, spec.is_terminal, spec.has_stdin)?;
    let console = match &own.terminal {
        Some(terminal) => {
            Some(sys::terminal_number(terminal.as_raw_fd()).step(Code::Internal, "number of the terminal")?)
        }
        None => None,
    };
    let program = Program {
        args: spec.args,
        env: spec.env,
        working_directory: spec.working_directory,
        user: spec.user,
        groups: spec.supplemental_groups,
        capabilities,
        no_new_privileges: spec.no_new_privileges,
        filter: (spec.seccomp == Seccomp::Default).then(|| seccomp::default_filter(capabilities)),
        rlimits: rlimits::numbered(&spec.rlimits)?,
    };
    let root = Root { image, writable, is_read_only: spec.is_root_read_only, binds, terminals, console };
    stages.done("prepare");
    let launched = program::launch(&cgroup, Place::New(&root), &program, stdio).await?;
    let limited = agent.limit_pod_cpu().and_then(|()| cgroup::limit_container_cpu(&spec.id, &spec.limits));
    if let Err(failure) = limited {
        let _ = sys::pidfd_kill(launched.pidfd.as_raw_fd(), libc::SIGKILL);
        let _ = program::wait(&launched.pidfd).await;
        return Err(failure);
    }
    for (name, micros) in ["fork", "overlay", "mounts", "identity", "exec"].into_iter().zip(&launched.times) {
        stages.done_at(name, *micros);
    }
    let container = Rc::new(Container {
        id: spec.id.clone(),
        program,
        cgroup,
        pidfd: launched.pidfd,
        terminals: root.terminals,
        terminal: own.terminal,
        stdin: RefCell::new(own.stdin),
        is_stdin_once: spec.is_stdin_once,
        ring: RefCell::new(Ring::new(own.outputs.len())),
        output_streams: Cell::new(0),
        started_micros: launched.started_epoch_micros,
        termination_file,
        exit: RefCell::new(None),
        is_removed: Cell::new(false),
        changes: watch::Sender::new(()),
    });
    for (kind, descriptor) in own.outputs {
        tokio::task::spawn_local(pump(container.clone(), kind, descriptor));
    }
    tokio::task::spawn_local(await_end(container.clone()));
    Ok((
        container,
        Started { id: spec.id, started_micros: launched.started_epoch_micros, stage_micros: stages.into_micros() },
    ))
}

/// Moves output from a pipe to the ring while there is room. What nobody has read at the removal is dropped.
async fn pump(container: Rc<Container>, kind: u8, descriptor: Descriptor) {
    let mut changes = container.changes();
    while !container.is_removed() {
        let room = container.ring.borrow_mut().room();
        if room == 0 {
            let _ = changes.changed().await;
            continue;
        }
        let Some(data) = pipes::read(&descriptor, room).await else { break };
        container.ring.borrow_mut().push(kind, sys::epoch_micros(), data);
        container.changed();
    }
    container.ring.borrow_mut().close_pipe();
    container.changed();
}

async fn await_end(container: Rc<Container>) {
    let end = program::wait(&container.pidfd).await.unwrap_or(Err(libc::SIGKILL));
    let finished_micros = sys::epoch_micros();
    let (exit_code, signal) = match end {
        Ok(code) => (code, 0),
        Err(signal) => (128 + signal, signal),
    };
    let is_oom_killed = signal == libc::SIGKILL && cgroup::oom_kills(&container.id) > 0;
    *container.exit.borrow_mut() = Some(ExitStatus {
        exit_code,
        signal,
        is_oom_killed,
        started_micros: container.started_micros,
        finished_micros,
        termination_message: read_termination_message(container.termination_file.as_deref()),
    });
    container.stdin.borrow_mut().take();
    container.changed();
}

/// Bytes that are not text are replaced; the bound holds for what is returned.
fn read_termination_message(path: Option<&str>) -> String {
    let mut bytes = Vec::new();
    if let Some(file) = path.and_then(|path| std::fs::File::open(path).ok()) {
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
    remove_traces(&container.id).await;
    agent.containers.borrow_mut().remove(&container.id);
    container.changed();
    Ok(())
}

async fn remove_traces(id: &str) {
    cgroup::kill_all(id);
    // Killed processes leave the group when they are reaped, which other tasks do.
    for _ in 0..500 {
        if cgroup::remove(id) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let _ = std::fs::remove_file(format!("{}/termination-{id}", boot::FILES));
    let writable = writable_directory(id);
    if std::fs::exists(&writable).is_ok_and(|exists| exists) {
        empty_in_background(&writable).await;
        // Fails when something in it could not be removed; it ends with the VM.
        let _ = std::fs::remove_dir(&writable);
    }
}

/// A tenant may have made a million files: a fork removes them while the agent goes on.
async fn empty_in_background(directory: &str) {
    let root = sys::open(c"/cgroup", libc::O_DIRECTORY, 0).and_then(|cgroup| sys::clone_into(cgroup.as_raw_fd(), 0));
    match root {
        Ok(Cloned::Child) => {
            sys::yield_to_others();
            sys::exit_now(i32::from(trash::empty(Path::new(directory)).is_err()))
        }
        Ok(Cloned::Parent { pidfd }) => drop(program::wait(&pidfd).await),
        Err(_) => {}
    }
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
