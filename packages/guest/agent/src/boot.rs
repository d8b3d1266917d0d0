//! What PID 1 does before it knows which instance it is: nothing here depends on one, for a fork may follow.

use crate::device_filter;
use crate::sys::{file, machine, mount, privileges, process};
use std::ffi::CStr;
use std::io::Result;
use std::os::fd::AsRawFd;

/// Where the agent keeps things; none of it is visible in a container's mount namespace.
pub const DISKS: &str = "/disks";
pub const SCRATCH: &str = "/scratch";
pub const VOLUMES: &str = "/volumes";
pub const FILES: &str = "/files";
/// Directory of the scratch disk with everything of ours: one, as ext4 spreads those at its top over the disk.
pub const POD: &str = "/scratch/pod";
/// Lowest layer of every container: the mount points that an image may lack, so that none has to be written to disk.
pub const MOUNT_POINTS: &str = "/mount-points";
pub const SHM: &str = "/shm";
pub const MQUEUE: &str = "/mqueue";
/// A container's root is mounted here in its own mount namespace, then becomes `/`.
pub const ROOT: &CStr = c"/root";

pub const POD_CGROUP: &str = "/cgroup/pod";

/// Files of /etc that all containers of a pod share.
pub const POD_FILES: [&str; 3] = ["resolv.conf", "hosts", "hostname"];

const QUIET: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// Docker's default for pods too: a pod's containers share it.
const SHM_OPTIONS: &CStr = c"mode=1777,size=64m";

/// File systems in memory that the containers of a pod share.
const OF_THE_POD: [(&CStr, &CStr, libc::c_ulong, &CStr); 3] = [
    (c"/volumes", c"tmpfs", libc::MS_NOSUID | libc::MS_NODEV, c"mode=755"),
    (c"/shm", c"tmpfs", QUIET, SHM_OPTIONS),
    (c"/mqueue", c"mqueue", QUIET, c""),
];

const MAX_OPEN_FILES: u64 = 65_536;

/// The last step before a fork may follow: it finds on its disk what this kernel takes to be there, and of names only
/// those in use.
pub fn settle() -> Result<()> {
    machine::sync_all();
    std::fs::write("/proc/sys/vm/drop_caches", "2")
}

pub fn run() -> Result<()> {
    privileges::set_undumpable()?;
    // Each container and each exec takes some; the kernel's default for PID 1 is 1024.
    privileges::set_rlimit(libc::RLIMIT_NOFILE, MAX_OPEN_FILES, MAX_OPEN_FILES)?;
    leave_initramfs()?;
    for (path, kind, flags, options) in [
        (c"/proc", c"proc", QUIET, c""),
        (c"/sys", c"sysfs", QUIET, c""),
        (c"/dev", c"devtmpfs", libc::MS_NOSUID, c"mode=755"),
        (c"/cgroup", c"cgroup2", QUIET, c"nsdelegate"),
    ] {
        file::mkdir(path, 0o755)?;
        mount::mount(kind, path, kind, flags, options)?;
    }
    for (path, ..) in OF_THE_POD {
        file::mkdir(path, 0o755)?;
    }
    mount_what_is_the_pods()?;
    for path in [c"/disks", c"/scratch", c"/files", ROOT] {
        file::mkdir(path, 0o700)?;
    }
    for (path, value) in [
        ("/cgroup/cgroup.subtree_control", "+cpu +memory +pids"),
        // As Docker sets them in a container's network namespace: no capability for port 80 or for ping.
        ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
        ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
        // Nothing wakes an idle instance that does not have to, nor its start.
        ("/proc/sys/vm/compaction_proactiveness", "0"),
        ("/proc/sys/vm/stat_interval", "60"),
    ] {
        std::fs::write(path, value)?;
    }
    // The interface is IPv4 only; an image may still use ::1. Absent where the VM has no network card.
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
    for path in ["proc", "sys", "dev", "etc"] {
        std::fs::create_dir_all(format!("{MOUNT_POINTS}/{path}"))?;
    }
    for name in POD_FILES {
        std::fs::write(format!("{MOUNT_POINTS}/etc/{name}"), "")?;
    }
    for name in POD_FILES {
        std::fs::write(format!("{FILES}/{name}"), "")?;
    }
    // The first quota of all changes the kernel's code, which costs a fork more than a group that has one for ever.
    std::fs::create_dir("/cgroup/quota")?;
    std::fs::write("/cgroup/quota/cpu.max", "1000 100000")?;
    std::fs::create_dir(POD_CGROUP)?;
    std::fs::write("/cgroup/pod/cgroup.subtree_control", "+cpu +memory +pids")?;
    // The verifier takes nine milliseconds under emulation, which a fork then need not spend.
    device_filter::attach(std::fs::File::open(POD_CGROUP)?.as_raw_fd())
}

fn mount_what_is_the_pods() -> Result<()> {
    for (path, kind, flags, options) in OF_THE_POD {
        mount::mount(kind, path, kind, flags, options)?;
    }
    Ok(())
}

/// Puts empty ones in the place of the file systems and the IPC objects that a pod's containers shared.
pub fn renew_what_is_the_pods() -> Result<()> {
    for (path, ..) in OF_THE_POD {
        mount::unmount_lazily(path)?;
    }
    process::unshare(libc::CLONE_NEWIPC)?;
    mount_what_is_the_pods()
}

/// `pivot_root` refuses the initial root file system, so a tmpfs is put over it.
fn leave_initramfs() -> Result<()> {
    file::mkdir(c"/new", 0o755)?;
    mount::mount(c"tmpfs", c"/new", c"tmpfs", libc::MS_NOSUID | libc::MS_NODEV, c"mode=755")?;
    file::chdir(c"/new")?;
    mount::mount(c".", c"/", c"", libc::MS_MOVE, c"")?;
    mount::chroot(c".")?;
    file::chdir(c"/")
}
