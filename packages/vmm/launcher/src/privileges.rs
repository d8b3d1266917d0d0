//! Limits and identity: what the process may use, and who it is.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::thread::JoinHandle;

use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::failure::{Failure, Step};

/// Enough for the disks of the largest machine and QEMU's own; bounds what a broken-out monitor can hold open.
const OPEN_FILES_MAX: u64 = 1024;

/// `file_bytes` bounds the size of each file the monitor writes: a qcow2 in the hands of one that was broken out of.
pub fn limit(out_of_memory_score: i32, file_bytes: Option<u64>) -> Result<(), Failure> {
    // No core dumps: they would hold a tenant's memory.
    let always = [(Resource::Core, 0), (Resource::Nofile, OPEN_FILES_MAX)];
    for (resource, value) in always.into_iter().chain(file_bytes.map(|bytes| (Resource::Fsize, bytes))) {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).step("limit", "rlimit")?;
    }
    fs::write("/proc/self/oom_score_adj", out_of_memory_score.to_string()).step("limit", "oom_score_adj")
}

/// Joins the cgroups beside what comes next: in the old hierarchies the kernel takes some ten milliseconds for the first
/// one, in which it only waits.
pub fn join_cgroups(directories: &[PathBuf]) -> Result<Joining, Failure> {
    let open = |directory: &PathBuf| {
        let path = directory.join("cgroup.procs");
        let file = fs::OpenOptions::new().write(true).open(&path).step("join-cgroup", &path.to_string_lossy())?;
        Ok((file, path))
    };
    // Here, as the paths are out of sight once the jail stands.
    let files = directories.iter().map(open).collect::<Result<Vec<_>, Failure>>()?;
    let write = move || {
        // Of any thread, this moves the whole process.
        files
            .into_iter()
            .try_for_each(|(mut file, path)| file.write_all(b"0").step("join-cgroup", &path.to_string_lossy()))
    };
    Ok(Joining { thread: std::thread::spawn(write) })
}

pub struct Joining {
    thread: JoinHandle<Result<(), Failure>>,
}

impl Joining {
    /// To be called before the monitor runs: the thread would not outlive it, nor would what it had not done.
    pub fn wait(self) -> Result<(), Failure> {
        self.thread.join().unwrap_or_else(|_| Err(Failure::new("join-cgroup", "the thread ended early")))
    }
}

const STEP: &str = "drop-privileges";

/// Gives up root for good: no groups, no capabilities in any set, no way to gain them by an exec.
pub fn drop_to(user_id: u32) -> Result<(), Failure> {
    let none = CapabilitySet::empty();
    let step = STEP;
    keep_in_bounding_set(none)?;
    let group = Gid::from_raw(user_id);
    let user = Uid::from_raw(user_id);
    set_thread_groups(&[]).step(step, "groups")?;
    set_thread_res_gid(group, group, group).step(step, "group")?;
    set_thread_res_uid(user, user, user).step(step, "user")?;
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .step(step, "capabilities")?;
    set_no_new_privs(true).step(step, "no_new_privs")
}

/// Stays root, with nothing of it but the right to become somebody else, and to give up that for good: what each clone of
/// this process does.
pub fn keep_changing_users() -> Result<(), Failure> {
    let kept = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::SETPCAP;
    keep_in_bounding_set(kept)?;
    set_thread_groups(&[]).step(STEP, "groups")?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).step(STEP, "capabilities")?;
    set_no_new_privs(true).step(STEP, "no_new_privs")
}

fn keep_in_bounding_set(kept: CapabilitySet) -> Result<(), Failure> {
    // All numbers there can ever be, not only those this program knows the names of.
    for number in (0..u64::BITS).filter(|number| kept.bits() & (1 << number) == 0) {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // A kernel that does not know the capability cannot grant it either.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            other => other.step(STEP, "bounding set")?,
        }
    }
    clear_ambient_capability_set().step(STEP, "ambient set")
}
