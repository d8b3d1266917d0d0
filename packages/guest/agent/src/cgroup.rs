//! cgroup v2: the pod's group has the size sold, each container one below it.

use crate::boot::POD_CGROUP;
use crate::failure::{Code, Outcome, Step};
use crate::spec::{ContainerStats, Limits};
use crate::sys::{self, file};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

const CPU_PERIOD_MICROS: u64 = 100_000;

/// A group that is there before its limits are known, with the files open that take them.
pub struct Group {
    path: String,
    /// Its directory, to clone into.
    pub directory: OwnedFd,
    memory_max: File,
    pids_max: File,
    cpu_max: File,
}

fn open_directory(path: &str) -> Outcome<OwnedFd> {
    let path = sys::c_string(path).step(Code::Internal, "path")?;
    file::open(&path, libc::O_DIRECTORY | libc::O_RDONLY, 0).step(Code::Internal, "open a cgroup")
}

fn put(mut file: &File, value: &str, name: &str) -> Outcome<()> {
    file.write_all(value.as_bytes()).step(Code::Internal, name)
}

impl Group {
    fn open(path: String) -> Outcome<Group> {
        let file = |name: &str| {
            std::fs::OpenOptions::new().write(true).open(format!("{path}/{name}")).step(Code::Internal, "open a cgroup")
        };
        let (memory_max, pids_max, cpu_max) = (file("memory.max")?, file("pids.max")?, file("cpu.max")?);
        Ok(Group { directory: open_directory(&path)?, path, memory_max, pids_max, cpu_max })
    }

    pub fn pod() -> Outcome<Group> {
        Group::open(POD_CGROUP.to_owned())
    }

    /// The group of a container; its name is not seen inside.
    pub fn make(number: u64) -> Outcome<Group> {
        let path = format!("{POD_CGROUP}/{number}");
        std::fs::create_dir(&path).step(Code::Internal, "make a cgroup")?;
        // A container that runs out of memory ends as a whole, as in Kubernetes on cgroup v2.
        std::fs::write(format!("{path}/memory.oom.group"), "1").step(Code::Internal, "set up a cgroup")?;
        Group::open(path)
    }

    /// Everything but the CPU quota, which must not slow the start: see `limit_cpu`.
    pub fn limit(&self, limits: &Limits) -> Outcome<()> {
        if let Some(bytes) = limits.memory_bytes {
            put(&self.memory_max, &bytes.to_string(), "set memory.max of a cgroup")?;
        }
        if let Some(pids) = limits.pids {
            put(&self.pids_max, &pids.to_string(), "set pids.max of a cgroup")?;
        }
        Ok(())
    }

    pub fn limit_cpu(&self, limits: &Limits) -> Outcome<()> {
        let Some(milli) = limits.cpu_milli else { return Ok(()) };
        // The kernel takes no quota below a millisecond.
        let quota = (milli * CPU_PERIOD_MICROS / 1000).max(1000);
        put(&self.cpu_max, &format!("{quota} {CPU_PERIOD_MICROS}"), "set cpu.max of a cgroup")
    }

    /// As it was made. One group keeps a quota for ever, see `boot`.
    pub fn unlimit(&self) -> Outcome<()> {
        put(&self.memory_max, "max", "set memory.max of a cgroup")?;
        put(&self.pids_max, "max", "set pids.max of a cgroup")?;
        put(&self.cpu_max, &format!("max {CPU_PERIOD_MICROS}"), "set cpu.max of a cgroup")
    }

    pub fn kill_all(&self) {
        // Gone or empty: nothing left to kill.
        let _ = std::fs::write(self.file("cgroup.kill"), "1");
    }

    /// False while processes are left in it.
    pub fn remove(&self) -> bool {
        match std::fs::remove_dir(&self.path) {
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            Ok(()) => true,
        }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn number(&self, file: &str) -> u64 {
        std::fs::read_to_string(self.file(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    fn keyed_number(&self, file: &str, key: &str) -> u64 {
        keyed(&std::fs::read_to_string(self.file(file)).unwrap_or_default(), key)
    }

    pub fn oom_kills(&self) -> u64 {
        self.keyed_number("memory.events", "oom_kill")
    }

    pub fn stats(&self, id: &str) -> ContainerStats {
        ContainerStats {
            id: id.to_owned(),
            cpu_micros: self.keyed_number("cpu.stat", "usage_usec"),
            memory_bytes: self.number("memory.current"),
            memory_peak_bytes: self.number("memory.peak"),
            pids: self.number("pids.current"),
            oom_kills: self.oom_kills(),
        }
    }
}

fn keyed(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(name, value)| if name == key { value.trim().parse().ok() } else { None })
        .unwrap_or(0)
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
