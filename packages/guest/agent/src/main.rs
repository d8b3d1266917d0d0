//! PID 1 of an Isopod guest: serves `packages/guest/src/contract.ts` on the virtio-serial port `isopod.agent`.
#![deny(unsafe_code)]

mod agent;
mod body;
mod boot;
mod capabilities;
mod cgroup;
mod container;
mod device_filter;
mod disks;
mod failure;
mod frame;
mod handshake;
mod identity;
mod network;
mod opening;
mod orders;
mod output;
mod pipes;
mod port;
mod prepared;
mod program;
#[cfg(test)]
mod pseudo_random;
mod report;
mod rlimits;
mod rootfs;
mod seccomp;
mod server;
mod signals;
mod spec;
mod stages;
mod streams;
mod sys;
mod trash;
mod volumes;

use std::rc::Rc;

/// Returns only what made it impossible to go on.
fn run(started_micros: u64) -> std::io::Result<std::convert::Infallible> {
    boot::run()?;
    let agent = agent::Agent::prepare(started_micros).map_err(failed)?;
    let port = port::open()?;
    // One thread, always: containers are forked from it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    println!("isopod-agent {} ready", env!("CARGO_PKG_VERSION"));
    boot::settle()?;
    agent.disks.borrow().forget_placeholder().map_err(failed)?;
    tokio::task::LocalSet::new()
        .block_on(&runtime, async { Err(server::run(Rc::new(agent), port::Port::new(port)?).await) })
}

fn failed(failure: failure::Failure) -> std::io::Error {
    std::io::Error::other(failure.message)
}

fn main() {
    let Err(error) = run(sys::machine::monotonic_micros());
    eprintln!("isopod-agent: cannot go on: {error}");
    // Nothing can be done without the port; the host sees the machine end.
    sys::machine::reset();
}
