//! Programs that the kernel runs: of system calls, and of devices.

use super::{check, owned};
use std::io::Result;
use std::os::fd::{AsRawFd, RawFd};

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterInstruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub value: u32,
}

pub fn install_seccomp(filter: &[FilterInstruction]) -> Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const FilterInstruction,
    }
    let program = Program { length: filter.len() as u16, filter: filter.as_ptr() };
    // SAFETY: the layout of `struct sock_fprog`, alive during the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) }).map(drop)
}

/// Loads an eBPF program of type CGROUP_DEVICE and attaches it to the cgroup open as `cgroup`.
pub fn attach_device_filter(cgroup: RawFd, instructions: &[u64]) -> Result<()> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_ATTACH: libc::c_int = 8;
    const TYPE_CGROUP_DEVICE: u64 = 15;
    const ATTACH_CGROUP_DEVICE: u64 = 6;
    let license = c"Apache-2.0";
    let load: [u64; 8] = [
        TYPE_CGROUP_DEVICE | ((instructions.len() as u64) << 32),
        instructions.as_ptr() as u64,
        license.as_ptr() as u64,
        0,
        0,
        0,
        0,
        0,
    ];
    // SAFETY: the first fields of `union bpf_attr` for PROG_LOAD: type, count, instructions, licence, then zero.
    let program = owned(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, load.as_ptr(), size_of_val(&load)) })?;
    let attach: [u32; 4] = [cgroup as u32, program.as_raw_fd() as u32, ATTACH_CGROUP_DEVICE as u32, 0];
    // SAFETY: the fields of `union bpf_attr` for PROG_ATTACH: target, program, type, flags.
    check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, attach.as_ptr(), size_of_val(&attach)) }).map(drop)
}
