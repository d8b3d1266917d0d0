//! Limits and identity: what the process may use, and who it is.

use std::fs;
use std::path::PathBuf;

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

pub fn join_cgroups(directories: &[PathBuf]) -> Result<(), Failure> {
    for directory in directories {
        let path = directory.join("cgroup.procs");
        fs::write(&path, "0").step("join-cgroup", &path.to_string_lossy())?;
    }
    Ok(())
}

/// Gives up root for good: no groups, no capabilities in any set, no way to gain them by an exec.
pub fn drop_to(user_id: u32) -> Result<(), Failure> {
    let step = "drop-privileges";
    // All numbers there can ever be, not only those this program knows the names of.
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // A kernel that does not know the capability cannot grant it either.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            other => other.step(step, "bounding set")?,
        }
    }
    clear_ambient_capability_set().step(step, "ambient set")?;
    let group = Gid::from_raw(user_id);
    let user = Uid::from_raw(user_id);
    set_thread_groups(&[]).step(step, "groups")?;
    set_thread_res_gid(group, group, group).step(step, "group")?;
    set_thread_res_uid(user, user, user).step(step, "user")?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).step(step, "capabilities")?;
    set_no_new_privs(true).step(step, "no_new_privs")
}
