//! What a monitor asks of the kernel, less what it never needs: the launcher's own filter, below the one QEMU installs
//! later. It holds whatever QEMU is told, and takes away what is dangerous between machines that share files.
//!
//! What is refused is listed (`refused.rs`, `commands.rs`), not what is allowed: QEMU and the C library change with the
//! distribution. Calls newer than these lists do not exist at all.

mod commands;
mod program;
mod refused;
mod rules;

use crate::failure::{Failure, Step};
use program::filter;
use rules::Subject;

/// A clone's filter, as the kernel wants it, for the process that `OWN_PROCESS` is replaced by.
pub fn for_clone() -> Vec<u8> {
    let code = filter(Subject::Clone);
    code.iter()
        .flat_map(|one| [one.code.to_ne_bytes().as_slice(), &[one.jt, one.jf], &one.k.to_ne_bytes()].concat())
        .collect()
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
    use super::commands::{COMMANDS, FILE_COMMANDS};
    use super::program::{ALLOW, AND, ARCHITECTURE, JUMP_AT_LEAST, JUMP_EQUAL, LOAD, NUMBER, RETURN, X86_64, refuse};
    use super::refused::{REFUSED, REFUSED_TO_CLONES};
    use super::rules::{NEWEST, Rule, rule_of};
    use super::*;
    use crate::protocol::OWN_PROCESS;

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
        for (flags, expected) in [(libc::O_RDWR | libc::O_NONBLOCK, ALLOW), (libc::O_RDONLY | libc::O_DIRECT, REFUSAL)]
        {
            assert_eq!(verdict(X86_64, libc::SYS_fcntl as u32, [9, libc::F_SETFL as u32, flags as u32]), expected);
        }
        assert_eq!(of(libc::SYS_socketpair, [libc::AF_UNIX as u32, 0]), ALLOW);
        assert_eq!(of(libc::SYS_socketpair, [libc::AF_VSOCK as u32, 0]), REFUSAL);
    }

    #[test]
    fn a_clone_makes_threads_and_nothing_else() {
        let of = |call: libc::c_long, first: u32| verdict_on(Subject::Clone, X86_64, call as u32, [first, 0]);
        assert_eq!(of(libc::SYS_clone, 0x003d_0f00), ALLOW, "a thread");
        for flags in
            [0, libc::SIGCHLD as u32, libc::CLONE_VFORK as u32, (libc::CLONE_THREAD | libc::CLONE_NEWNS) as u32]
        {
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
