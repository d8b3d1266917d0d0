//! What a monitor asks of the kernel, less what it never needs: the launcher's own filter, below the one QEMU installs
//! later. It holds whatever QEMU is told, and takes away what is dangerous between machines that share files.
//!
//! What is refused is listed, not what is allowed: QEMU and the C library change with the distribution. Calls newer than
//! this list do not exist at all.

use crate::failure::{Failure, Step};
use crate::protocol::OWN_PROCESS;

/// `mseal` of Linux 6.10.
const NEWEST: u32 = 462;

const REFUSED: &[libc::c_long] = &[
    // Namespaces, mounts and roots: a new user namespace would come with all capabilities, and with the parts of the
    // kernel that only those can reach.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    STATMOUNT,
    LISTMOUNT,
    // Other processes. Signals: see `Rule::OwnProcess`.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_tkill,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_execveat,
    // The network: all it has was opened for it. Some families know no network namespaces.
    libc::SYS_socket,
    // Keys of the service's session come along through every change of user.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Large or rare parts of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_setup,
    libc::SYS_io_submit,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_modify_ldt,
    libc::SYS_memfd_secret,
    libc::SYS_personality,
    libc::SYS_remap_file_pages,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    CACHESTAT,
    // Ways from a pipe into the page cache of a file that is only read: where files are shared, all they can do is harm.
    libc::SYS_splice,
    libc::SYS_vmsplice,
    libc::SYS_tee,
    libc::SYS_sendfile,
    // What every machine's user may do to the memory of their template, which all of them may open: a place to leave
    // messages for one another, and memory of the kernel's.
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_utimensat,
    libc::SYS_flock,
    // Permissions and owners of its disks are not its business.
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_lchown,
    libc::SYS_fchownat,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The host.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS__sysctl,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
const CACHESTAT: libc::c_long = 451;
const STATMOUNT: libc::c_long = 457;
const LISTMOUNT: libc::c_long = 458;

/// What QEMU's own filter takes from a monitor, as we run it. A clone's monitor has none: it would have kept the zygote
/// from making it.
const REFUSED_TO_CLONES: &[libc::c_long] = &[
    // Programs, and processes: `clone` see `Rule::Threads`.
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_execve,
    // Other users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    // A share of the processors beyond its own.
    libc::SYS_setpriority,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
    libc::SYS_ioprio_set,
    // Of old.
    libc::SYS_readahead,
];

/// All CLONE_NEW flags that `clone` knows.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

/// Commands of `ioctl`: of a tap, those that change which interface it is, whose, and with which filter; of files, what
/// shares or marks them; of terminals, what types into them.
const COMMANDS: &[u32] = &[
    0x4004_54ca, // TUNSETIFF
    0x4004_54cb, // TUNSETPERSIST
    0x4004_54cc, // TUNSETOWNER
    0x4004_54cd, // TUNSETLINK
    0x4004_54ce, // TUNSETGROUP
    0x4010_54d5, // TUNATTACHFILTER
    0x4010_54d6, // TUNDETACHFILTER
    0x4004_54d9, // TUNSETQUEUE
    0x8004_54e0, // TUNSETSTEERINGEBPF
    0x8004_54e1, // TUNSETFILTEREBPF
    0x0000_54e3, // TUNGETDEVNETNS
    0x0000_8924, // SIOCSIFHWADDR
    0x0000_894c, // SIOCGSKNS
    0x4008_6602, // FS_IOC_SETFLAGS
    0x401c_5820, // FS_IOC_FSSETXATTR
    0x4004_9409, // FICLONE
    0x4020_940d, // FICLONERANGE
    0xc018_9436, // FIDEDUPERANGE
    0x0000_5412, // TIOCSTI
    0x0000_541c, // TIOCLINUX
];

/// Locks: with those of QEMU, which also hold on a file that is open for reading, one monitor would keep all others from
/// what they share. QEMU does without when it cannot ask for them (`F_OFD_GETLK`). Leases make whoever opens the file
/// wait, a snapshot's copy for one. Beside these, `F_SETFL` with O_DIRECT: what clones of a zygote read, they have opened
/// together, and others' reads would fail.
const FILE_COMMANDS: &[u32] = &[
    libc::F_SETLK as u32,
    libc::F_SETLKW as u32,
    libc::F_OFD_GETLK as u32,
    libc::F_OFD_SETLK as u32,
    libc::F_OFD_SETLKW as u32,
    libc::F_SETLEASE as u32,
    libc::F_NOTIFY as u32,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Allow,
    Refuse(i32),
    /// Threads and, where QEMU's filter does not refuse them too, processes; no namespaces.
    NoNamespaces,
    /// As that, and no processes.
    Threads,
    /// The process it is about is named by the first argument.
    OwnProcess,
    /// As `OwnProcess`, or 0.
    OwnLimits,
    Commands,
    FileCommands,
    UnixPair,
}

/// Who is kept from what.
#[derive(Clone, Copy)]
enum Subject {
    /// The monitor that this process becomes, whose number it then has.
    Monitor(u32),
    /// A monitor that is to be cloned: a filter holds for all that come of a process, so it names none.
    Zygote,
    /// A clone, in whose number's place there is [`OWN_PROCESS`] until the library in `preload/zygote` knows it.
    Clone,
}

fn rule_of(number: u32, subject: Subject) -> Rule {
    let call = libc::c_long::from(number);
    let is_clone = matches!(subject, Subject::Clone);
    match call {
        _ if REFUSED.contains(&call) => Rule::Refuse(libc::EPERM),
        _ if is_clone && REFUSED_TO_CLONES.contains(&call) => Rule::Refuse(libc::EPERM),
        libc::SYS_clone if is_clone => Rule::Threads,
        libc::SYS_clone => Rule::NoNamespaces,
        // Its flags are behind a pointer; the C library falls back to clone when it does not exist.
        libc::SYS_clone3 => Rule::Refuse(libc::ENOSYS),
        libc::SYS_kill | libc::SYS_tgkill | libc::SYS_prlimit64 if matches!(subject, Subject::Zygote) => Rule::Allow,
        libc::SYS_kill | libc::SYS_tgkill | libc::SYS_rt_sigqueueinfo | libc::SYS_rt_tgsigqueueinfo => Rule::OwnProcess,
        libc::SYS_prlimit64 => Rule::OwnLimits,
        libc::SYS_ioctl => Rule::Commands,
        libc::SYS_fcntl => Rule::FileCommands,
        libc::SYS_socketpair => Rule::UnixPair,
        _ => Rule::Allow,
    }
}

type Instruction = libc::sock_filter;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The lower half of an argument: none that is looked at has an upper one.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}
const X86_64: u32 = 0xc000_003e;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const fn refuse(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

fn instruction(code: u32, jump_true: usize, jump_false: usize, value: u32) -> Instruction {
    assert!(jump_true < 256 && jump_false < 256);
    Instruction { code: code as u16, jt: jump_true as u8, jf: jump_false as u8, k: value }
}

fn ending(verdict: u32) -> Instruction {
    instruction(RETURN, 0, 0, verdict)
}

/// Decides by whether an argument is one of `values`.
fn one_of(index: u32, values: &[u32], if_one: u32, if_none: u32) -> Vec<Instruction> {
    let mut code = vec![instruction(LOAD, 0, 0, argument(index))];
    for (at, value) in values.iter().enumerate() {
        // To the last instruction, over the other comparisons and the ending for none.
        code.push(instruction(JUMP_EQUAL, values.len() - at, 0, *value));
    }
    code.extend([ending(if_none), ending(if_one)]);
    code
}

fn body(rule: Rule, own_process: u32) -> Vec<Instruction> {
    let refused = refuse(libc::EPERM);
    match rule {
        Rule::Allow => vec![ending(ALLOW)],
        Rule::Refuse(errno) => vec![ending(refuse(errno))],
        Rule::NoNamespaces => vec![
            instruction(LOAD, 0, 0, argument(0)),
            instruction(AND, 0, 0, NEW_NAMESPACES),
            instruction(JUMP_EQUAL, 0, 1, 0),
            ending(ALLOW),
            ending(refused),
        ],
        Rule::Threads => vec![
            instruction(LOAD, 0, 0, argument(0)),
            instruction(AND, 0, 0, NEW_NAMESPACES | libc::CLONE_THREAD as u32),
            instruction(JUMP_EQUAL, 0, 1, libc::CLONE_THREAD as u32),
            ending(ALLOW),
            ending(refused),
        ],
        Rule::OwnProcess => one_of(0, &[own_process], ALLOW, refused),
        Rule::OwnLimits => one_of(0, &[0, own_process], ALLOW, refused),
        Rule::Commands => one_of(1, COMMANDS, refused, ALLOW),
        Rule::FileCommands => {
            let mut code = vec![
                instruction(LOAD, 0, 0, argument(1)),
                instruction(JUMP_EQUAL, 0, 5, libc::F_SETFL as u32),
                instruction(LOAD, 0, 0, argument(2)),
                instruction(AND, 0, 0, libc::O_DIRECT as u32),
                instruction(JUMP_EQUAL, 0, 1, 0),
                ending(ALLOW),
                ending(refused),
            ];
            code.extend(one_of(1, FILE_COMMANDS, refused, ALLOW));
            code
        }
        Rule::UnixPair => one_of(0, &[libc::AF_UNIX as u32], ALLOW, refused),
    }
}

/// Stretches of calls with one rule, by binary search: every call of the monitor goes through this.
fn search(stretches: &[(u32, Rule)], own_process: u32) -> Vec<Instruction> {
    if let [(_, rule)] = stretches {
        return body(*rule, own_process);
    }
    let (low, high) = stretches.split_at(stretches.len() / 2);
    let low_code = search(low, own_process);
    let mut code = vec![instruction(JUMP_AT_LEAST, low_code.len(), 0, high[0].0)];
    code.extend(low_code);
    code.extend(search(high, own_process));
    code
}

fn filter(subject: Subject) -> Vec<Instruction> {
    let own_process = match subject {
        Subject::Monitor(number) => number,
        Subject::Zygote | Subject::Clone => OWN_PROCESS,
    };
    let mut stretches = Vec::new();
    for number in 0..=NEWEST {
        let rule = rule_of(number, subject);
        if stretches.last().is_none_or(|(_, last)| *last != rule) {
            stretches.push((number, rule));
        }
    }
    // Those of the x32 ABI among them.
    stretches.push((NEWEST + 1, Rule::Refuse(libc::ENOSYS)));
    let mut code = vec![
        instruction(LOAD, 0, 0, ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, X86_64),
        ending(refuse(libc::ENOSYS)),
        instruction(LOAD, 0, 0, NUMBER),
    ];
    code.extend(search(&stretches, own_process));
    code
}

/// A clone's filter, as the kernel wants it, for the process that [`OWN_PROCESS`] is replaced by.
pub fn for_clone() -> Vec<u8> {
    let code = filter(Subject::Clone);
    code.iter().flat_map(|one| [one.code.to_ne_bytes().as_slice(), &[one.jt, one.jf], &one.k.to_ne_bytes()].concat()).collect()
}

/// From here on, for this process and what it becomes. Needs `no_new_privs`.
pub fn install(is_zygote: bool) -> Result<(), Failure> {
    let mut code = filter(if is_zygote { Subject::Zygote } else { Subject::Monitor(std::process::id()) });
    let program = libc::sock_fprog { len: code.len() as libc::c_ushort, filter: code.as_mut_ptr() };
    // SAFETY: the program points to `code`, which lives until the call has copied it.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).step("filter", "seccomp") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 4711;

    fn verdict<const COUNT: usize>(architecture: u32, number: u32, arguments: [u32; COUNT]) -> u32 {
        verdict_on(Subject::Monitor(OWN), architecture, number, arguments)
    }

    fn verdict_on<const COUNT: usize>(
        subject: Subject,
        architecture: u32,
        number: u32,
        arguments: [u32; COUNT],
    ) -> u32 {
        let filter = filter(subject);
        let (mut accumulator, mut at) = (0u32, 0usize);
        loop {
            let step = filter[at];
            at += 1;
            let jump = |condition: bool| usize::from(if condition { step.jt } else { step.jf });
            match u32::from(step.code) {
                LOAD => {
                    accumulator = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        other => arguments[(other as usize - 16) / 8],
                    }
                }
                AND => accumulator &= step.k,
                JUMP_EQUAL => at += jump(accumulator == step.k),
                JUMP_AT_LEAST => at += jump(accumulator >= step.k),
                RETURN => return step.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn of(call: libc::c_long, arguments: [u32; 2]) -> u32 {
        verdict(X86_64, call as u32, arguments)
    }

    const REFUSAL: u32 = refuse(libc::EPERM);
    const ABSENT: u32 = refuse(libc::ENOSYS);

    #[test]
    fn every_call_gets_the_verdict_of_its_rule() {
        for number in 0..=NEWEST {
            let expected = match rule_of(number, Subject::Monitor(OWN)) {
                Rule::Allow => ALLOW,
                Rule::Refuse(errno) => refuse(errno),
                _ => continue,
            };
            assert_eq!(verdict(X86_64, number, [0, 0]), expected, "call {number}");
        }
        for call in REFUSED {
            assert_eq!(of(*call, [0, 0]), REFUSAL, "call {call}");
        }
        assert_eq!(of(libc::SYS_clone3, [0, 0]), ABSENT);
    }

    #[test]
    fn what_a_monitor_lives_on_is_allowed() {
        for call in [
            libc::SYS_read,
            libc::SYS_pwritev,
            libc::SYS_fallocate,
            libc::SYS_fdatasync,
            libc::SYS_mmap,
            libc::SYS_mbind,
            libc::SYS_futex,
            libc::SYS_ppoll,
            libc::SYS_accept4,
            libc::SYS_recvmsg,
            libc::SYS_eventfd2,
            libc::SYS_memfd_create,
            libc::SYS_execve,
            libc::SYS_seccomp,
            libc::SYS_membarrier,
        ] {
            assert_eq!(of(call, [0, 0]), ALLOW, "call {call}");
        }
    }

    #[test]
    fn arguments_decide_where_only_a_part_is_needed() {
        assert_eq!(of(libc::SYS_clone, [0x003d_0f00, 0]), ALLOW, "a thread");
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNET, libc::CLONE_NEWNS] {
            assert_eq!(of(libc::SYS_clone, [flag as u32, 0]), REFUSAL);
        }
        for call in [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo] {
            assert_eq!(of(call, [OWN, 0]), ALLOW);
            for other in [0, 1, OWN + 1, u32::MAX] {
                assert_eq!(of(call, [other, 0]), REFUSAL);
            }
        }
        assert_eq!([0, OWN, 1].map(|process| of(libc::SYS_prlimit64, [process, 0])), [ALLOW, ALLOW, REFUSAL]);
        for command in COMMANDS {
            assert_eq!(of(libc::SYS_ioctl, [9, *command]), REFUSAL);
        }
        // KVM_RUN, TUNSETOFFLOAD, TUNGETIFF.
        for command in [0xae80, 0x4004_54d0, 0x8004_54d2] {
            assert_eq!(of(libc::SYS_ioctl, [9, command]), ALLOW);
        }
        for command in FILE_COMMANDS {
            assert_eq!(of(libc::SYS_fcntl, [9, *command]), REFUSAL);
        }
        assert_eq!(of(libc::SYS_fcntl, [9, libc::F_GETFL as u32]), ALLOW);
        for (flags, expected) in [(libc::O_RDWR | libc::O_NONBLOCK, ALLOW), (libc::O_RDONLY | libc::O_DIRECT, REFUSAL)] {
            assert_eq!(verdict(X86_64, libc::SYS_fcntl as u32, [9, libc::F_SETFL as u32, flags as u32]), expected);
        }
        assert_eq!(of(libc::SYS_socketpair, [libc::AF_UNIX as u32, 0]), ALLOW);
        assert_eq!(of(libc::SYS_socketpair, [libc::AF_VSOCK as u32, 0]), REFUSAL);
    }

    #[test]
    fn a_clone_makes_threads_and_nothing_else() {
        let of = |call: libc::c_long, first: u32| verdict_on(Subject::Clone, X86_64, call as u32, [first, 0]);
        assert_eq!(of(libc::SYS_clone, 0x003d_0f00), ALLOW, "a thread");
        for flags in [0, libc::SIGCHLD as u32, libc::CLONE_VFORK as u32, (libc::CLONE_THREAD | libc::CLONE_NEWNS) as u32] {
            assert_eq!(of(libc::SYS_clone, flags), REFUSAL, "{flags:#x}");
        }
        for call in REFUSED.iter().chain(REFUSED_TO_CLONES) {
            assert_eq!(of(*call, 0), REFUSAL, "call {call}");
        }
        assert_eq!(of(libc::SYS_tgkill, OWN_PROCESS), ALLOW);
        assert_eq!(of(libc::SYS_tgkill, OWN), REFUSAL);
        assert_eq!(for_clone().len(), filter(Subject::Clone).len() * 8);
    }

    #[test]
    fn a_zygote_may_do_what_making_a_clone_takes() {
        let of = |call: libc::c_long, first: u32| verdict_on(Subject::Zygote, X86_64, call as u32, [first, 0]);
        for (call, first) in [
            (libc::SYS_clone, libc::SIGCHLD as u32),
            (libc::SYS_tgkill, OWN),
            (libc::SYS_prlimit64, 0),
            (libc::SYS_setresuid, 7),
            (libc::SYS_capset, 0),
            (libc::SYS_prctl, libc::PR_SET_SECCOMP as u32),
            (libc::SYS_getdents64, 7),
        ] {
            assert_eq!(of(call, first), ALLOW, "call {call}");
        }
        assert_eq!(of(libc::SYS_socket, 0), REFUSAL);
    }

    #[test]
    fn newer_calls_and_other_architectures_do_not_exist() {
        for number in [NEWEST + 1, 600, 0x4000_0000, u32::MAX] {
            assert_eq!(verdict(X86_64, number, [0, 0]), ABSENT);
        }
        assert_eq!(verdict(0x4000_0003, 1, [0, 0]), ABSENT);
    }
}
