//! Sessions on the port, one after the other, and the requests of each.

use crate::agent::Agent;
use crate::body::{self, Body};
use crate::container;
use crate::failure::{Code, Failure, Outcome};
use crate::handshake::{Event, Handshake};
use crate::opening::{self, Opened};
use crate::port::{Port, Session};
use crate::signals;
use crate::spec;
use crate::streams;
use crate::sys::machine;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::{Method, Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

const MAX_STREAMS: u32 = 1024;
const WINDOW_BYTES: u32 = 65_535;
/// A stream whose program does not read its input holds one window; a few hundred of them do not hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = 256 * WINDOW_BYTES;
/// The host's filler counts on this: see `handshake`.
const MAX_FRAME_BYTES: u32 = 16_384;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
const MAX_SPEC_BYTES: usize = 4 * 1024 * 1024;
const MAX_VOLUMES_BYTES: usize = 64 * 1024 * 1024;
/// Time for the answer to leave before the machine ends.
const POWEROFF_DELAY: Duration = Duration::from_millis(50);

/// Serves hosts as they come, for ever.
pub async fn run(agent: Rc<Agent>, mut port: Port) -> std::io::Error {
    let mut opened = None;
    loop {
        let session = match opened.take() {
            // Nothing else goes on in a VM that is nobody's yet.
            None if agent.check_configured().is_err() => {
                // But for the end of what a session before a reset has left.
                tokio::task::yield_now().await;
                match opening::run(&agent, &mut port) {
                    Ok(Opened::Session(first)) => Ok(first),
                    Ok(line) => {
                        opened = Some(line);
                        continue;
                    }
                    Err(error) => Err(error),
                }
            }
            Some(Opened::Line(handshake, answer)) => next_session(&mut port, handshake, answer).await,
            _ => next_session(&mut port, Handshake::default(), None).await,
        };
        match session {
            Ok(first) => serve(&agent, Session::new(&mut port, first)).await,
            Err(error) => return error,
        }
    }
}

/// Reads and throws away until a host has greeted and begun HTTP/2.
async fn next_session(
    port: &mut Port,
    mut handshake: Handshake,
    mut answer: Option<Vec<u8>>,
) -> std::io::Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    loop {
        // The kernel may hand over a host's first bytes before it has noticed that the host is there, and then takes
        // none for it: the answer waits for that notice, unless a newer HELLO comes first.
        if let Some(line) = &answer {
            match port.send(line).await {
                Ok(()) => answer = None,
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error),
            }
        }
        let count = port.receive_now(&mut buffer)?;
        if count == 0 {
            port.changed().await?;
            continue;
        }
        handshake.push(&buffer[..count]);
        match handshake.next() {
            Event::More => {}
            Event::Answer(line) => answer = Some(line),
            Event::Start(_) => answer = Some(opening::refusal(&opening::too_late()).to_vec()),
            Event::Session(first) => return Ok(first),
        }
    }
}

/// One session, until the host hangs up or breaks the protocol. Its requests end with it.
async fn serve(agent: &Rc<Agent>, session: Session<'_>) {
    let handshake = server::Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_send_buffer_size(WINDOW_BYTES as usize)
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(session);
    let Ok(mut connection) = handshake.await else { return };
    let mut requests = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        while requests.try_join_next().is_some() {}
        requests.spawn_local(answer(agent.clone(), request, respond));
    }
}

async fn answer(agent: Rc<Agent>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (parts, body) = request.into_parts();
    let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    let outcome = route(&agent, &parts.method, &path, parts.uri.query(), body, &mut respond).await;
    // An error of `respond` means that the host no longer listens: nobody is left to be told.
    if let Err(failure) = outcome {
        let _ = respond_json(&mut respond, failure.code.http_status(), &failure);
    }
}

/// Streams answer by themselves; everything else answers with JSON.
async fn route(
    agent: &Rc<Agent>,
    method: &Method,
    path: &[&str],
    query: Option<&str>,
    body: RecvStream,
    respond: &mut SendResponse<Bytes>,
) -> Outcome<()> {
    match (method.as_str(), path) {
        ("GET", ["v1", "info"]) => reply(respond, &agent.info()),
        ("POST", ["v1", "configure"]) => {
            let configuration = json(body, MAX_SPEC_BYTES).await?;
            let stage_micros = agent.configure(&configuration)?.into_micros();
            reply(respond, &spec::Configured { stage_micros })
        }
        ("POST", ["v1", "reidentify"]) => {
            agent.reidentify(&json(body, MAX_SPEC_BYTES).await?)?;
            reply_empty(respond)
        }
        ("POST", ["v1", "reset"]) => {
            let agent = agent.clone();
            detached(async move { agent.reset().await }).await?;
            reply_empty(respond)
        }
        ("POST", ["v1", "containers"]) => {
            let spec: spec::ContainerSpec = json(body, MAX_SPEC_BYTES).await?;
            let agent = agent.clone();
            let started = detached(async move { container::start(&agent, spec).await }).await?;
            reply(respond, &started)
        }
        ("GET", ["v1", "containers"]) => reply(respond, &agent.states()),
        ("DELETE", ["v1", "containers", id]) => {
            let (agent, container) = (agent.clone(), agent.container(id)?);
            detached(async move { container::remove(&agent, &container).await }).await?;
            reply_empty(respond)
        }
        ("GET", ["v1", "containers", id, "wait"]) => {
            let container = agent.container(id)?;
            container.wait().await;
            reply(respond, &container.state())
        }
        ("POST", ["v1", "containers", id, "signal"]) => {
            let spec::Signal { signal } = json(body, MAX_SPEC_BYTES).await?;
            agent.container(id)?.signal(signals::number(&signal)?)?;
            reply_empty(respond)
        }
        ("GET", ["v1", "containers", id, "output"]) => {
            let container = agent.container(id)?;
            let from = offset(query)?.unwrap_or(0);
            streams::check_offset(&container, from)?;
            streams::output(&container, from, begin_stream(respond)?).await;
            Ok(())
        }
        ("POST", ["v1", "containers", id, "attach"]) => {
            let container = agent.container(id)?;
            let from = offset(query)?.unwrap_or_else(|| container.ring.borrow().end());
            streams::check_offset(&container, from)?;
            streams::attach(&container, from, body, begin_stream(respond)?).await;
            Ok(())
        }
        ("POST", ["v1", "containers", id, "exec"]) => {
            let container = agent.container(id)?;
            let (exec, input) = streams::start_exec(&container, body).await?;
            exec.run(input, begin_stream(respond)?).await;
            Ok(())
        }
        ("PUT", ["v1", "volumes"]) => {
            agent.check_configured()?;
            let volumes: Vec<spec::Volume> = json(body, MAX_VOLUMES_BYTES).await?;
            agent.volumes.borrow_mut().put(&volumes)?;
            reply_empty(respond)
        }
        ("GET", ["v1", "stats"]) => reply(respond, &agent.stats()?),
        ("POST", ["v1", "poweroff"]) => {
            tokio::task::spawn_local(power_off(agent.clone()));
            reply_empty(respond)
        }
        _ => Err(Failure::new(Code::NotFound, format!("{method} /{} is not known to this agent", path.join("/")))),
    }
}

/// Runs to its end even when the session that asked for it dies on the way.
async fn detached<T: 'static>(work: impl Future<Output = Outcome<T>> + 'static) -> Outcome<T> {
    tokio::task::spawn_local(work)
        .await
        .unwrap_or_else(|_| Err(Failure::new(Code::Internal, "the request was dropped")))
}

async fn power_off(agent: Rc<Agent>) {
    tokio::time::sleep(POWEROFF_DELAY).await;
    for container in agent.containers.borrow().values().flatten() {
        // One that has ended needs no signal.
        let _ = container.signal(libc::SIGKILL);
    }
    // Disks that outlive the VM; the scratch disk does not, but it is small.
    machine::sync_all();
    eprintln!("isopod-agent: cannot end the machine: {}", machine::reset());
}

fn offset(query: Option<&str>) -> Outcome<Option<u64>> {
    match query.and_then(|query| query.strip_prefix("from=")) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Failure::bad(format!("{text:?} is not an offset"))),
    }
}

async fn json<T: DeserializeOwned>(body: RecvStream, max_bytes: usize) -> Outcome<T> {
    let bytes = body::read_all(body, max_bytes).await?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::bad(format!("the request is not understood: {error}")))
}

fn reply_empty(respond: &mut SendResponse<Bytes>) -> Outcome<()> {
    reply(respond, &serde_json::Map::new())
}

fn reply<T: Serialize>(respond: &mut SendResponse<Bytes>, value: &T) -> Outcome<()> {
    respond_json(respond, 200, value)
}

fn respond_json<T: Serialize>(respond: &mut SendResponse<Bytes>, status: u16, value: &T) -> Outcome<()> {
    let text = serde_json::to_vec(value).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    let mut head = Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let gone = |_| Failure::new(Code::Internal, "the host has gone");
    respond.send_response(head, false).map_err(gone)?.send_data(text.into(), true).map_err(gone)
}

fn begin_stream(respond: &mut SendResponse<Bytes>) -> Outcome<Body> {
    let stream = respond.send_response(Response::new(()), false);
    stream.map(Body::new).map_err(|_| Failure::new(Code::Internal, "the host has gone"))
}
