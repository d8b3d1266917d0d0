//! Builds the jail of one virtual machine monitor and becomes it.
//!
//! The caller writes a plan (see `plan.rs`) to descriptor 3, a stream socket, and reads one line back:
//! `ready` when the jail stands, or `error <step> <errno> <message>`. After `ready` the launcher waits for the line
//! `go`, so that the caller can record the process before there is a machine to lose; end of file instead of `go`
//! ends the launcher. The socket closing without another line means the monitor runs.

mod control;
mod descriptors;
mod failure;
mod jail;
mod network;
mod plan;
mod privileges;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use control::Control;
use failure::{Failure, Step};
use plan::Plan;

fn main() -> ExitCode {
    let mut control = Control::on_descriptor_3();
    // Success never comes back: the process is the monitor by then.
    let Err(failure) = launch(&mut control);
    control.report(&failure);
    ExitCode::FAILURE
}

fn launch(control: &mut Control) -> Result<std::convert::Infallible, Failure> {
    let plan = Plan::parse(&control.read_plan()?)?;
    descriptors::close_inherited().step("close-inherited", "descriptors")?;
    // A session of its own: a terminal's signals to the caller's group do not reach the machine.
    rustix::process::setsid().step("session", "setsid")?;
    privileges::limit(plan.out_of_memory_score)?;
    descriptors::bound_stderr(plan.stderr_bytes)?;
    privileges::join_cgroups(&plan.cgroups)?;
    let opened = descriptors::open(&plan.descriptors)?;
    network::enter_empty_namespaces()?;
    jail::enter(&plan)?;
    descriptors::install(opened)?;
    privileges::drop_to(plan.user_id)?;

    control.ready_and_wait()?;
    let error = Command::new(&plan.program)
        .args(&plan.arguments)
        .env_clear()
        .envs(plan.environment.iter().map(|(name, value)| (name, value)))
        .exec();
    Err(error).step("execute", &plan.program.to_string_lossy())
}
