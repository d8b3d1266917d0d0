//! Builds the jail of one virtual machine monitor and becomes it; also does what else about machines takes system calls
//! that the service's own language lacks: `pack SOURCE TARGET` and `load PACKED BYTES` (see `template.rs`),
//! `send MESSAGE PATH` (see `send.rs`).
//!
//! `jail DIRECTORY` builds what is common to all jails, on DIRECTORY, which nobody else sees; then the caller writes a plan
//! (see `plan.rs`) to descriptor 3, a stream socket, or ends it, and reads one line back:
//! `ready` when the jail stands, or `error <step> <errno> <message>`. After `ready` the launcher waits for the line
//! `go`, so that the caller can record the process before there is a machine to lose; end of file instead of `go`
//! ends the launcher. The socket closing without another line means the monitor runs. Where the plan asks for a clone of a
//! zygote (see `clone.rs`), the launcher ends after the request, and the clone says `ready <process>`.

mod clone;
mod control;
mod descriptors;
mod failure;
mod jail;
mod network;
mod plan;
mod privileges;
#[path = "../preload/zygote/protocol.rs"]
mod protocol;
mod seccomp;
mod send;
mod template;

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use control::Control;
use failure::{Failure, Step};
use plan::Plan;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["jail", mount_point] => return become_monitor(mount_point.as_ref()),
        ["pack", source, target] => template::pack(source.as_ref(), target.as_ref()),
        ["load", packed, size] => match size.parse() {
            Ok(size_bytes) => template::load(packed.as_ref(), size_bytes),
            Err(_) => Err(Failure::new("load", format!("{size:?} is not a size"))),
        },
        ["send", message, path] => send::new_file(message, path.as_ref()),
        _ => Err(Failure::new(
            "arguments",
            "one of: jail DIRECTORY, pack SOURCE TARGET, load PACKED BYTES, send MESSAGE PATH",
        )),
    };
    let Err(failure) = done else { return ExitCode::SUCCESS };
    eprintln!("{}: {}", failure.step, failure.message);
    ExitCode::FAILURE
}

fn become_monitor(mount_point: &Path) -> ExitCode {
    let mut control = Control::on_descriptor_3();
    // Success never comes back: the process is the monitor by then.
    let failure = match launch(&mut control, mount_point) {
        // Nobody wants a machine any more.
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(never)) => match never {},
        Err(failure) => failure,
    };
    control.report(&failure);
    ExitCode::FAILURE
}

fn launch(control: &mut Control, mount_point: &Path) -> Result<Option<Infallible>, Failure> {
    // First all that no plan is needed for: a launcher may have been waiting for one, with this much of the start done.
    descriptors::close_inherited().step("close-inherited", "descriptors")?;
    // A session of its own: a terminal's signals to the caller's group do not reach the machine.
    rustix::process::setsid().step("session", "setsid")?;
    network::enter_empty_namespaces()?;
    jail::prepare(mount_point)?;

    let Some(plan) = control.read_plan()? else { return Ok(None) };
    let plan = Plan::parse(&plan)?;
    if let Some(zygote) = &plan.clone_of {
        // The clone goes on with the conversation.
        return clone::request(zygote, &plan).map(|()| None);
    }
    privileges::limit(plan.out_of_memory_score, plan.file_bytes)?;
    descriptors::bound_stderr(plan.stderr_bytes)?;
    let joining = privileges::join_cgroups(&plan.cgroups)?;
    let mut opened = descriptors::open(&plan.descriptors)?;
    opened.extend(descriptors::open_inside(&plan.descriptors)?);
    jail::enter(mount_point, &plan)?;
    descriptors::install(opened)?;
    if plan.is_zygote {
        privileges::keep_changing_users()?
    } else {
        privileges::drop_to(plan.user_id)?
    }
    seccomp::install(plan.is_zygote)?;

    control.ready_and_wait()?;
    joining.wait()?;
    let error = Command::new(&plan.program)
        .args(&plan.arguments)
        .env_clear()
        .envs(plan.environment.iter().map(|(name, value)| (name, value)))
        .exec();
    Err(error).step("execute", &plan.program.to_string_lossy())
}
