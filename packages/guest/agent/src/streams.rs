//! The streaming requests: output, attach, exec.

use crate::body::{Body, Frames, Gone};
use crate::container::{Container, Next, OwnEnds, make_stdio, next_output};
use crate::failure::{Code, Failure, Outcome};
use crate::frame::{self, Frame};
use crate::pipes::{self, Descriptor};
use crate::program::{self, Program};
use crate::spec::{ExecSpec, ExitStatus, Mark, Resize};
use crate::sys::{machine, process, terminal};
use bytes::Bytes;
use h2::RecvStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// After an exec's program has ended, something it left behind may hold its output open: wait for quiet this long.
const QUIET: Duration = Duration::from_millis(200);
/// And at most this long, should it never be quiet.
const LINGER: Duration = Duration::from_secs(2);

/// Counts an output stream while it is open.
struct Counted<'a>(&'a Container);

impl<'a> Counted<'a> {
    fn new(container: &'a Container) -> Counted<'a> {
        container.output_streams.set(container.output_streams.get() + 1);
        Counted(container)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.output_streams.set(self.0.output_streams.get() - 1);
    }
}

/// The ring has no byte there yet: the caller counts wrongly.
pub fn check_offset(container: &Container, from: u64) -> Outcome<()> {
    let end = container.ring.borrow().end();
    if from <= end {
        Ok(())
    } else {
        Err(Failure::bad(format!("offset {from} is beyond the {end} bytes of output so far")))
    }
}

/// All output from `from` on, each chunk behind its mark, then the exit.
pub async fn output(container: &Container, from: u64, mut body: Body) {
    let _counted = Counted::new(container);
    container.ring.borrow_mut().confirm(from);
    container.changed();
    if send_output(container, from, &mut body).await.is_ok() {
        body.finish();
    }
}

async fn send_output(container: &Container, mut offset: u64, body: &mut Body) -> Result<(), Gone> {
    loop {
        let next = tokio::select! {
            next = next_output(container, offset) => next,
            () = body.cancelled() => return Err(Gone),
        };
        match next {
            Next::End(exit) => return body.send_json(frame::EXIT, &exit).await,
            Next::Chunk { kind, offset: found, epoch_micros, data } => {
                let next_offset = found + data.len() as u64;
                let mark = Mark { epoch_micros, next_offset, dropped_bytes: found - offset };
                body.send_json(frame::MARK, &mark).await?;
                body.send_frame(kind, data).await?;
                offset = next_offset;
                container.ring.borrow_mut().sent(offset);
                container.changed();
            }
        }
    }
}

/// Output from `from` on and input, as one client sees a terminal.
pub async fn attach(container: &Rc<Container>, from: u64, input: RecvStream, mut body: Body) {
    let is_done = {
        let receive = receive_attached(container, Frames::new(input));
        tokio::select! {
            sent = send_attached(container, from, &mut body) => sent.is_ok(),
            () = receive => false,
        }
    };
    if container.is_stdin_once {
        container.stdin.borrow_mut().take();
    }
    if is_done {
        body.finish();
    }
}

async fn send_attached(container: &Container, mut offset: u64, body: &mut Body) -> Result<(), Gone> {
    loop {
        let next = tokio::select! {
            next = next_output(container, offset) => next,
            () = body.cancelled() => return Err(Gone),
        };
        match next {
            Next::End(exit) => return body.send_json(frame::EXIT, &exit).await,
            Next::Chunk { kind, offset: found, data, .. } => {
                offset = found + data.len() as u64;
                body.send_frame(kind, data).await?;
                if container.output_streams.get() == 0 {
                    container.ring.borrow_mut().sent(offset);
                    container.changed();
                }
            }
        }
    }
}

/// Ends only when the request breaks off; output goes on after its end.
async fn receive_attached(container: &Container, mut frames: Frames) {
    loop {
        match frames.next().await {
            Ok(Some(frame)) if frame.kind == frame::END => {
                if container.is_stdin_once {
                    container.stdin.borrow_mut().take();
                }
            }
            Ok(Some(frame)) => {
                let stdin = container.stdin.borrow().clone();
                receive(&frame, stdin.as_ref(), container.terminal.as_ref()).await;
            }
            Ok(None) => std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// Input of a program that has ended or never had any is thrown away.
async fn receive(frame: &Frame, stdin: Option<&Descriptor>, terminal: Option<&Descriptor>) {
    match (frame.kind, stdin, terminal) {
        (frame::STDIN, Some(stdin), _) => {
            pipes::write_all(stdin, &frame.payload).await;
        }
        (frame::RESIZE, _, Some(terminal)) => {
            if let Ok(Resize { columns, rows }) = serde_json::from_slice(&frame.payload) {
                // Only fails for a terminal that is gone.
                let _ = terminal::resize(terminal.as_raw_fd(), columns, rows);
            }
        }
        _ => {}
    }
}

/// A program that was started in a running container. Dropping it kills the program.
pub struct Exec {
    pidfd: Rc<OwnedFd>,
    own: OwnEnds,
    end: watch::Receiver<Option<ExitStatus>>,
}

impl Drop for Exec {
    fn drop(&mut self) {
        // One that has ended needs no signal.
        let _ = process::pidfd_kill(self.pidfd.as_raw_fd(), libc::SIGKILL);
    }
}

/// Reads the exec frame and starts its program. What follows in the request is the program's input.
pub async fn start_exec(container: &Rc<Container>, body: RecvStream) -> Outcome<(Exec, Frames)> {
    let mut frames = Frames::new(body);
    let spec: ExecSpec = match frames.next().await? {
        Some(frame) if frame.kind == frame::EXEC => serde_json::from_slice(&frame.payload)
            .map_err(|error| Failure::bad(format!("the exec frame is not understood: {error}")))?,
        _ => return Err(Failure::bad("the first frame is not an exec frame")),
    };
    // On its own, so that the program is reaped or killed even when the session dies while it starts.
    let launching = tokio::task::spawn_local(launch_exec(container.clone(), spec));
    let exec = launching.await.unwrap_or_else(|_| Err(Failure::new(Code::Internal, "the exec was dropped")))?;
    Ok((exec, frames))
}

async fn launch_exec(container: Rc<Container>, spec: ExecSpec) -> Outcome<Exec> {
    if container.exit().is_some() || container.is_removed() {
        return Err(Failure::new(Code::NotRunning, format!("container {} has ended", container.id)));
    }
    let (stdio, own) = make_stdio(&container.terminals, spec.is_terminal, spec.has_stdin)?;
    if let (Some(terminal), Some(columns), Some(rows)) = (&own.terminal, spec.columns, spec.rows) {
        // A new terminal takes any size.
        let _ = terminal::resize(terminal.as_raw_fd(), columns, rows);
    }
    let of = &container.program;
    let program = Program {
        args: spec.args,
        env: spec.env,
        working_directory: spec.working_directory,
        // Another user is another identity.
        identity: of.identity.clone().filter(|_| spec.user.is_empty()),
        user: if spec.user.is_empty() { of.user.clone() } else { spec.user },
        groups: of.groups.clone(),
        capabilities: of.capabilities,
        no_new_privileges: of.no_new_privileges,
        is_filtered: of.is_filtered,
        rlimits: of.rlimits.clone(),
    };
    let group = &container.holdings.group;
    let (pidfd, launched) = program::launch(&group.directory, &container.pidfd, &program, stdio).await?;
    let pidfd = Rc::new(pidfd);
    let (tell, end) = watch::channel(None);
    // The container's first process cannot finish dying while an exec's is not reaped: this waits for nothing else.
    tokio::task::spawn_local(reap(pidfd.clone(), launched.started_epoch_micros, tell));
    Ok(Exec { pidfd, own, end })
}

async fn reap(pidfd: Rc<OwnedFd>, started_micros: u64, tell: watch::Sender<Option<ExitStatus>>) {
    let end = program::wait(&pidfd).await.unwrap_or(Err(libc::SIGKILL));
    let (exit_code, signal) = match end {
        Ok(code) => (code, 0),
        Err(signal) => (128 + signal, signal),
    };
    tell.send_replace(Some(ExitStatus {
        exit_code,
        signal,
        is_oom_killed: false,
        started_micros,
        finished_micros: machine::epoch_micros(),
        termination_message: String::new(),
    }));
}

impl Exec {
    /// Serves the stream to its end; the program dies with the stream.
    pub async fn run(mut self, input: Frames, mut body: Body) {
        let stdin = self.own.stdin.take();
        let terminal = self.own.terminal.clone();
        let exit = tokio::select! {
            exit = self.send_output(&mut body) => exit,
            () = receive_exec(input, stdin, terminal) => return,
        };
        if let Ok(exit) = exit
            && body.send_json(frame::EXIT, &exit).await.is_ok()
        {
            body.finish();
        }
    }

    async fn send_output(&mut self, body: &mut Body) -> Result<ExitStatus, Gone> {
        let mut outputs = std::mem::take(&mut self.own.outputs);
        let mut deadline = None;
        loop {
            let has_ended = self.end.borrow().is_some();
            let last = *deadline.get_or_insert_with(|| Instant::now() + LINGER);
            if !has_ended {
                deadline = None;
            }
            let next = tokio::select! {
                biased;
                () = tokio::time::sleep_until(last), if has_ended => break,
                read = read_any(&outputs), if !outputs.is_empty() => Some(read),
                () = wait_for_end(&mut self.end), if !has_ended => None,
                () = tokio::time::sleep(QUIET), if has_ended => break,
                () = body.cancelled() => return Err(Gone),
            };
            match next {
                None => {}
                Some((index, None)) => drop(outputs.remove(index)),
                Some((index, Some(data))) => body.send_frame(outputs[index].0, data).await?,
            }
            if outputs.is_empty() && self.end.borrow().is_some() {
                break;
            }
        }
        self.end.borrow().clone().ok_or(Gone)
    }
}

async fn wait_for_end(end: &mut watch::Receiver<Option<ExitStatus>>) {
    // The reaper always tells before it goes.
    let _ = end.wait_for(Option::is_some).await;
}

/// What one of the (at most two) outputs has next.
async fn read_any(outputs: &[(u8, Descriptor)]) -> (usize, Option<Bytes>) {
    let read = |index: usize| async move {
        match outputs.get(index) {
            Some((_, descriptor)) => (index, pipes::read(descriptor, frame::MAX_PAYLOAD).await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        first = read(0) => first,
        second = read(1) => second,
    }
}

/// Ends only when the request breaks off.
async fn receive_exec(mut frames: Frames, mut stdin: Option<Descriptor>, terminal: Option<Descriptor>) {
    loop {
        match frames.next().await {
            Ok(Some(frame)) if frame.kind == frame::END => stdin = None,
            Ok(Some(frame)) => receive(&frame, stdin.as_ref(), terminal.as_ref()).await,
            Ok(None) => std::future::pending().await,
            Err(_) => return,
        }
    }
}
