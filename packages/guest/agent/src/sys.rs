//! The system call edge: everything `unsafe` is in this file, behind functions that own their descriptors.

use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

fn check(result: libc::c_long) -> Result<libc::c_long> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

fn check_int(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: libc::c_long) -> Result<OwnedFd> {
    // SAFETY: a non-negative result of the calls that use this is a fresh descriptor nobody else owns.
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

pub fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) -> Result<()> {
    // SAFETY: five live pointers to terminated strings.
    check_int(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })?;
    Ok(())
}

pub fn unmount_lazily(target: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Fails while the mount is in use.
pub fn unmount(target: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::umount2(target.as_ptr(), 0) }).map(drop)
}

pub fn chroot(path: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::chroot(path.as_ptr()) }).map(drop)
}

pub fn chdir(path: &CStr) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

pub fn mkdir(path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

pub fn mknod(path: &CStr, mode: libc::mode_t, major: u32, minor: u32) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::mknod(path.as_ptr(), mode, libc::makedev(major, minor)) }).map(drop)
}

pub fn symlink(target: &CStr, path: &CStr) -> Result<()> {
    // SAFETY: two live strings.
    check_int(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) }).map(drop)
}

/// Makes the directory that is the working directory the root of this mount namespace and drops the old root.
pub fn pivot_root_here() -> Result<()> {
    // SAFETY: constant strings; `.` twice stacks the old root on the new one, from where it is unmounted.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    unmount_lazily(c".")?;
    chdir(c"/")
}

pub fn open(path: &CStr, flags: libc::c_int, mode: libc::mode_t) -> Result<OwnedFd> {
    open_at(libc::AT_FDCWD, path, flags, mode)
}

pub fn open_at(directory: RawFd, path: &CStr, flags: libc::c_int, mode: libc::mode_t) -> Result<OwnedFd> {
    // SAFETY: a live string.
    owned(libc::c_long::from(unsafe { libc::openat(directory, path.as_ptr(), flags | libc::O_CLOEXEC, mode) }))
}

/// `openat2`: opens `path` below `directory` as `resolve` (RESOLVE_*) permits.
pub fn open_within(directory: RawFd, path: &CStr, flags: libc::c_int, resolve: u64) -> Result<OwnedFd> {
    let how = [(flags | libc::O_CLOEXEC) as u64, 0, resolve];
    // SAFETY: `how` has the layout of `struct open_how`: three u64.
    owned(unsafe { libc::syscall(libc::SYS_openat2, directory, path.as_ptr(), how.as_ptr(), size_of_val(&how)) })
}

/// A detached copy of the mount (and what is below it) at `path`.
pub fn open_tree_clone(directory: RawFd, path: &CStr) -> Result<OwnedFd> {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: a live string.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) })
}

/// Puts a detached mount at `path`, following links of the path.
pub fn move_mount(tree: RawFd, path: &CStr) -> Result<()> {
    const F_EMPTY_PATH: libc::c_uint = 0x4;
    const T_SYMLINKS: libc::c_uint = 0x10;
    // SAFETY: two live strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree,
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            F_EMPTY_PATH | T_SYMLINKS,
        )
    })
    .map(drop)
}

/// Sets `attributes` (MOUNT_ATTR_*) on one mount.
pub fn mount_set(directory: RawFd, path: &CStr, attributes: u64) -> Result<()> {
    let attr = [attributes, 0, 0, 0];
    // SAFETY: `attr` has the layout of `struct mount_attr`: four u64.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            libc::AT_EMPTY_PATH,
            attr.as_ptr(),
            size_of_val(&attr),
        )
    })
    .map(drop)
}
pub const MOUNT_ATTR_RDONLY: u64 = 1;
pub const MOUNT_ATTR_NOSUID: u64 = 2;
pub const MOUNT_ATTR_NODEV: u64 = 4;

/// A new instance of a file system as a detached mount.
pub fn new_mount(kind: &CStr, options: &[(&CStr, Option<&CStr>)], attributes: u64) -> Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    const SET_FLAG: libc::c_uint = 0;
    const SET_STRING: libc::c_uint = 1;
    const CMD_CREATE: libc::c_uint = 6;
    // SAFETY: live strings or null in each call.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    for (key, value) in options {
        let (command, text) = match value {
            Some(text) => (SET_STRING, text.as_ptr()),
            None => (SET_FLAG, std::ptr::null()),
        };
        // SAFETY: as above.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key.as_ptr(), text, 0) })?;
    }
    // SAFETY: as above.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            CMD_CREATE,
            std::ptr::null::<u8>(),
            std::ptr::null::<u8>(),
            0,
        )
    })?;
    // SAFETY: no pointers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes) })
}

pub struct Pipe {
    pub read: OwnedFd,
    pub write: OwnedFd,
}

pub fn pipe() -> Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors; both are fresh.
    unsafe {
        check_int(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok(Pipe { read: OwnedFd::from_raw_fd(ends[0]), write: OwnedFd::from_raw_fd(ends[1]) })
    }
}

pub fn set_nonblocking(fd: RawFd) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | status_flags(fd)?) }).map(drop)
}

fn status_flags(fd: RawFd) -> Result<libc::c_int> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is as long as said.
    check(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } as libc::c_long).map(|n| n as usize)
}

pub fn write(fd: RawFd, data: &[u8]) -> Result<usize> {
    // SAFETY: the buffer is as long as said.
    check(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) } as libc::c_long).map(|n| n as usize)
}

/// Which process `clone3` made: this one's child, seen by its pidfd, or the child itself.
pub enum Cloned {
    Child,
    Parent { pidfd: OwnedFd },
}

/// Forks (memory is copied) into the cgroup whose directory is open as `cgroup`.
/// Only sound while this process has one thread, which the agent keeps.
pub fn clone_into(cgroup: RawFd, namespaces: libc::c_int) -> Result<Cloned> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let arguments: [u64; 11] = [
        CLONE_INTO_CGROUP | libc::CLONE_PIDFD as u64 | namespaces as u32 as u64,
        std::ptr::from_mut(&mut pidfd) as u64,
        0,
        0,
        libc::SIGCHLD as u64,
        0,
        0,
        0,
        0,
        0,
        cgroup as u64,
    ];
    // SAFETY: `arguments` has the layout of `struct clone_args` up to `cgroup`; with no new stack and no shared
    // memory this is a fork, and one thread means that no lock is left held in the child.
    match check(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })? {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel has put a fresh descriptor there.
        _ => Ok(Cloned::Parent { pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}

/// A pidfd of this process, from which a child can take descriptors.
pub fn own_pidfd() -> Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) })
}

/// A copy of the descriptor `number` of another process.
pub fn take_descriptor(pidfd: RawFd, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, number, 0) })
}

pub fn set_namespaces(fd: RawFd, kinds: libc::c_int) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::setns(fd, kinds) }).map(drop)
}

pub fn unshare(kinds: libc::c_int) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::unshare(kinds) }).map(drop)
}

pub fn pidfd_kill(pidfd: RawFd, signal: libc::c_int) -> Result<()> {
    // SAFETY: a null siginfo means the one of kill(2).
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, std::ptr::null::<u8>(), 0) }).map(drop)
}

/// How a process ended: `Ok(code)` or `Err(signal)`. None while it runs.
pub fn reap(pidfd: RawFd) -> Result<Option<std::result::Result<i32, i32>>> {
    // SAFETY: all zero is a valid siginfo; the kernel fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: a live siginfo.
    check_int(unsafe {
        libc::waitid(libc::P_PIDFD, pidfd as libc::id_t, &mut info, libc::WEXITED | libc::WNOHANG | libc::__WALL)
    })?;
    // SAFETY: waitid has filled the SIGCHLD part, or left it zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(match (pid, info.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(Ok(status)),
        _ => Some(Err(status)),
    })
}

/// Ends the process without running anything of the runtime's: the only way out of a forked child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: no pointers.
    unsafe { libc::_exit(code) }
}

/// Gives everything else the processor first.
pub fn yield_to_others() {
    const LOWEST: libc::c_int = 19;
    // SAFETY: no pointers; a refusal changes nothing that matters.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST) };
}

/// What a forked child undoes before it becomes somebody's program: Rust ignores SIGPIPE.
pub fn reset_signals() {
    // SAFETY: an empty set and the default action.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

pub fn new_session() -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::setsid() }).map(drop)
}

/// Makes `from` the descriptor `to`, open across exec.
pub fn duplicate_to(from: RawFd, to: RawFd) -> Result<()> {
    // SAFETY: no pointers.
    unsafe {
        if from == to {
            check_int(libc::fcntl(to, libc::F_SETFD, 0)).map(drop)
        } else {
            check_int(libc::dup2(from, to)).map(drop)
        }
    }
}

pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

pub fn change_owner(fd: RawFd, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::fchown(fd, uid, gid) }).map(drop)
}

pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: no pointers, cannot fail.
    unsafe { libc::umask(mask) };
}

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

/// Replaces this process; only returns why it could not.
pub fn execute(path: &CStr, arguments: &[*const libc::c_char], environment: &[*const libc::c_char]) -> Error {
    debug_assert!(arguments.last().is_some_and(|last| last.is_null()));
    // SAFETY: both arrays end with null and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Error::last_os_error()
}

pub fn sync_all() {
    // SAFETY: no arguments.
    unsafe { libc::sync() }
}

/// Ends the machine: QEMU runs with `-no-reboot`, so a reset is an exit.
pub fn reset_machine() -> Error {
    // SAFETY: no pointers.
    unsafe { libc::reboot(libc::RB_AUTOBOOT) };
    Error::last_os_error()
}

pub fn set_wall_clock(epoch_micros: u64) -> Result<()> {
    let time = libc::timespec {
        tv_sec: (epoch_micros / 1_000_000) as libc::time_t,
        tv_nsec: (epoch_micros % 1_000_000 * 1000) as libc::c_long,
    };
    // SAFETY: a live struct.
    check_int(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) }).map(drop)
}

fn clock_micros(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live struct; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

pub fn monotonic_micros() -> u64 {
    clock_micros(libc::CLOCK_MONOTONIC)
}

pub fn epoch_micros() -> u64 {
    clock_micros(libc::CLOCK_REALTIME)
}

pub fn set_hostname(name: &str) -> Result<()> {
    // SAFETY: the string is as long as said.
    check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

fn names_of_the_system() -> libc::utsname {
    // SAFETY: all zero is valid; the kernel fills the fields.
    unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&mut names);
        names
    }
}

pub fn hostname() -> String {
    // SAFETY: terminated by the kernel, or zero.
    unsafe { CStr::from_ptr(names_of_the_system().nodename.as_ptr()).to_string_lossy().into_owned() }
}

pub fn kernel_release() -> String {
    // SAFETY: terminated by the kernel, or zero.
    unsafe { CStr::from_ptr(names_of_the_system().release.as_ptr()).to_string_lossy().into_owned() }
}

/// Credits `entropy` to the kernel's pool, then makes it reseed at once.
pub fn reseed_random(random: RawFd, entropy: &[u8]) -> Result<()> {
    const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
    const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
    let mut request = Vec::with_capacity(8 + entropy.len());
    request.extend_from_slice(&(entropy.len() as i32 * 8).to_ne_bytes());
    request.extend_from_slice(&(entropy.len() as i32).to_ne_bytes());
    request.extend_from_slice(entropy);
    // SAFETY: the layout of `struct rand_pool_info`: bits, size, bytes.
    unsafe {
        check_int(libc::ioctl(random, RNDADDENTROPY, request.as_ptr()))?;
        check_int(libc::ioctl(random, RNDRESEEDCRNG)).map(drop)
    }
}

/// Drops every cached block of a disk.
pub fn flush_disk(disk: RawFd) -> Result<()> {
    const BLKFLSBUF: libc::Ioctl = 0x1261;
    // SAFETY: no pointers.
    check_int(unsafe { libc::ioctl(disk, BLKFLSBUF, 0) }).map(drop)
}

/// The slave of a pseudo-terminal, by its master: no path is looked up.
pub fn terminal_peer(master: RawFd) -> Result<OwnedFd> {
    const TIOCSPTLCK: libc::Ioctl = 0x4004_5431;
    const TIOCGPTPEER: libc::Ioctl = 0x5441;
    let unlocked: libc::c_int = 0;
    // SAFETY: a live integer; the second call gives a fresh descriptor.
    unsafe {
        check_int(libc::ioctl(master, TIOCSPTLCK, &unlocked))?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        owned(libc::c_long::from(libc::ioctl(master, TIOCGPTPEER, flags)))
    }
}

pub fn terminal_number(master: RawFd) -> Result<u32> {
    const TIOCGPTN: libc::Ioctl = 0x8004_5430;
    let mut number: libc::c_uint = 0;
    // SAFETY: a live integer.
    check_int(unsafe { libc::ioctl(master, TIOCGPTN, &mut number) })?;
    Ok(number)
}

pub fn terminal_resize(master: RawFd, columns: u16, rows: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: a live struct.
    check_int(unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &size) }).map(drop)
}

pub fn control_terminal(slave: RawFd) -> Result<()> {
    // SAFETY: no pointers.
    check_int(unsafe { libc::ioctl(slave, libc::TIOCSCTTY, 0) }).map(drop)
}

/// A route netlink socket.
pub fn netlink() -> Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(libc::c_long::from(unsafe {
        libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE)
    }))
}

/// Sets the hardware address of an Ethernet interface, by any socket.
pub fn set_mac(socket: RawFd, interface: &str, mac: [u8; 6]) -> Result<()> {
    const SIOCSIFHWADDR: libc::Ioctl = 0x8924;
    const ARPHRD_ETHER: u16 = 1;
    // struct ifreq: name, then a sockaddr of the kind of hardware.
    let mut request = [0u8; 40];
    let name = request.get_mut(..interface.len().min(15)).unwrap_or_default();
    name.copy_from_slice(&interface.as_bytes()[..name.len()]);
    request[16..18].copy_from_slice(&ARPHRD_ETHER.to_ne_bytes());
    request[18..24].copy_from_slice(&mac);
    // SAFETY: the layout and size of `struct ifreq`.
    check_int(unsafe { libc::ioctl(socket, SIOCSIFHWADDR, request.as_ptr()) }).map(drop)
}

/// Total and free bytes of the file system that holds `path`.
pub fn space_of(path: &CStr) -> Result<(u64, u64)> {
    // SAFETY: all zero is valid and the kernel fills it.
    unsafe {
        let mut stats: libc::statvfs64 = std::mem::zeroed();
        check_int(libc::statvfs64(path.as_ptr(), &mut stats))?;
        Ok((stats.f_blocks * stats.f_frsize, stats.f_bfree * stats.f_frsize))
    }
}

pub fn processors() -> u32 {
    // SAFETY: no pointers.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.max(1) as u32
}

/// An epoll that watches one descriptor edge-triggered, both ways.
pub fn edge_watch(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    let epoll = owned(libc::c_long::from(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))?;
    let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
    let mut event = libc::epoll_event { events, u64: 0 };
    // SAFETY: a live struct.
    check_int(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
    Ok(epoll)
}

/// Takes the edge that an `edge_watch` holds, if any.
pub fn take_edge(epoll: RawFd) -> Result<()> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one event.
    check_int(unsafe { libc::epoll_wait(epoll, &mut event, 1, 0) }).map(drop)
}

/// Waits for the edge that an `edge_watch` will hold, and takes it.
pub fn wait_edge(epoll: RawFd) -> Result<()> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one event.
    check_int(unsafe { libc::epoll_wait(epoll, &mut event, 1, -1) }).map(drop)
}

/// Waits until one of the descriptors has an event of its mask, or an error or hang-up, for at most so many
/// microseconds: for each, whether it has.
pub fn wait_any(all: &[(RawFd, libc::c_short)], micros: Option<u64>) -> Result<Vec<bool>> {
    let timeout = micros.map_or(-1, |micros| micros.div_ceil(1000).min(i32::MAX as u64) as libc::c_int);
    let mut polled: Vec<libc::pollfd> =
        all.iter().map(|(fd, events)| libc::pollfd { fd: *fd, events: *events, revents: 0 }).collect();
    // SAFETY: as many live structs as said.
    check_int(unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) })?;
    Ok(polled.iter().map(|fd| fd.revents != 0).collect())
}

pub fn is_hung_up(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: one live struct.
    unsafe { libc::poll(&mut poll, 1, 0) > 0 && poll.revents & libc::POLLHUP != 0 }
}

pub fn mkdir_at(directory: RawFd, path: &CStr, mode: libc::mode_t) -> Result<()> {
    // SAFETY: a live string.
    check_int(unsafe { libc::mkdirat(directory, path.as_ptr(), mode) }).map(drop)
}

/// Has tokio watch a descriptor.
pub fn watched<T: AsFd + AsRawFd>(fd: T, interest: Interest) -> Result<AsyncFd<T>> {
    // SAFETY: owned and borrowed descriptors stay open and the same while the value lives.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest)? })
}
