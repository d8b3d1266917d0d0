//! cgroup v2: the pod's group has the size sold, each container one below it.

use crate::boot::POD_CGROUP;
use crate::failure::{Code, Outcome, Step};
use crate::spec::{ContainerStats, Limits};
use crate::sys;
use std::os::fd::OwnedFd;

const CPU_PERIOD_MICROS: u64 = 100_000;

fn path(id: &str, file: &str) -> String {
    format!("{POD_CGROUP}/{id}/{file}")
}

fn write(group: &str, file: &str, value: &str) -> Outcome<()> {
    std::fs::write(format!("{group}/{file}"), value).step(Code::Internal, &format!("set {file} of a cgroup"))
}

/// Everything but the CPU quota, which must not slow the start: see `limit_cpu`.
fn limit(group: &str, limits: &Limits) -> Outcome<()> {
    if let Some(bytes) = limits.memory_bytes {
        write(group, "memory.max", &bytes.to_string())?;
    }
    if let Some(pids) = limits.pids {
        write(group, "pids.max", &pids.to_string())?;
    }
    Ok(())
}

fn limit_cpu(group: &str, limits: &Limits) -> Outcome<()> {
    let Some(milli) = limits.cpu_milli else { return Ok(()) };
    // The kernel takes no quota below a millisecond.
    let quota = (milli * CPU_PERIOD_MICROS / 1000).max(1000);
    write(group, "cpu.max", &format!("{quota} {CPU_PERIOD_MICROS}"))
}

pub fn limit_pod(limits: &Limits) -> Outcome<()> {
    limit(POD_CGROUP, limits)
}

pub fn limit_pod_cpu(limits: &Limits) -> Outcome<()> {
    limit_cpu(POD_CGROUP, limits)
}

fn open_directory(path: &str) -> Outcome<OwnedFd> {
    let path = sys::c_string(path).step(Code::Internal, "path")?;
    sys::open(&path, libc::O_DIRECTORY | libc::O_RDONLY, 0).step(Code::Internal, "open a cgroup")
}

/// Makes the container's group and gives its directory, to clone into.
pub fn create(id: &str, limits: &Limits) -> Outcome<OwnedFd> {
    let group = format!("{POD_CGROUP}/{id}");
    std::fs::create_dir(&group).step(Code::Internal, "make a cgroup")?;
    // A container that runs out of memory ends as a whole, as in Kubernetes on cgroup v2.
    write(&group, "memory.oom.group", "1")?;
    limit(&group, limits)?;
    open_directory(&group)
}

pub fn limit_container_cpu(id: &str, limits: &Limits) -> Outcome<()> {
    limit_cpu(&format!("{POD_CGROUP}/{id}"), limits)
}

pub fn kill_all(id: &str) {
    // Gone or empty: nothing left to kill.
    let _ = std::fs::write(path(id, "cgroup.kill"), "1");
}

/// False while processes are left in it.
pub fn remove(id: &str) -> bool {
    match std::fs::remove_dir(path(id, "")) {
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        Ok(()) => true,
    }
}

fn number(id: &str, file: &str) -> u64 {
    std::fs::read_to_string(path(id, file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn keyed(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(name, value)| if name == key { value.trim().parse().ok() } else { None })
        .unwrap_or(0)
}

fn keyed_number(id: &str, file: &str, key: &str) -> u64 {
    keyed(&std::fs::read_to_string(path(id, file)).unwrap_or_default(), key)
}

pub fn oom_kills(id: &str) -> u64 {
    keyed_number(id, "memory.events", "oom_kill")
}

pub fn stats(id: &str) -> ContainerStats {
    ContainerStats {
        id: id.to_owned(),
        cpu_micros: keyed_number(id, "cpu.stat", "usage_usec"),
        memory_bytes: number(id, "memory.current"),
        memory_peak_bytes: number(id, "memory.peak"),
        pids: number(id, "pids.current"),
        oom_kills: oom_kills(id),
    }
}

#[cfg(test)]
mod tests {
    use super::keyed;

    #[test]
    fn a_keyed_file_is_read_by_its_whole_key() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(keyed(text, "oom_kill"), 2);
        assert_eq!(keyed(text, "oom"), 3);
        assert_eq!(keyed(text, "absent"), 0);
    }
}
