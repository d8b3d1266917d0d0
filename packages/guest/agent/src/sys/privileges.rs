//! What a process may do and use.

use super::{check, check_int};
use std::io::Result;

pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: a live struct; null for the old value.
    check_int(unsafe { libc::prlimit64(0, resource as libc::__rlimit_resource_t, &limit, std::ptr::null_mut()) })
        .map(drop)
}

pub fn set_user(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    // SAFETY: the slice is as long as said.
    unsafe {
        check_int(libc::setgroups(groups.len(), groups.as_ptr()))?;
        check_int(libc::setresgid(gid, gid, gid))?;
        check_int(libc::setresuid(uid, uid, uid)).map(drop)
    }
}

pub fn drop_bounding(capability: u32) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }).map(drop)
}

/// Sets permitted and effective to `mask`, inheritable to none.
pub fn set_capabilities(mask: u64) -> Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    let data = [low, low, 0, high, high, 0];
    // SAFETY: the layouts of `cap_user_header_t` and two `cap_user_data_t`.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

pub fn set_no_new_privileges() -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Hides /proc/PID/{exe,mem,fd} of the agent and of its forked children until they exec.
pub fn set_undumpable() -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}
