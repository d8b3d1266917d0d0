//! What Docker's default profile refuses, as a filter for this kernel.
//!
//! Docker lists what it allows; the guest's kernel is ours and fixed (x86-64 only), so the complement is listed, which
//! is far shorter: installing a filter runs it once for each of the 450 calls, and under emulation that counts. Calls
//! are looked up by binary search for the same reason.

use crate::capabilities::Capabilities;
use crate::sys::filter::FilterInstruction;

const ALLOW: u32 = 0x7fff_0000;
const fn refuse(errno: i32) -> u32 {
    0x0005_0000 | errno as u32
}

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT_0: u32 = 16;
const X86_64: u32 = 0xc000_003e;
const X32_BIT: u32 = 0x4000_0000;

const AF_VSOCK: u32 = 40;
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: 0x7E020000 as in Docker's profile.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Refused to everybody.
const NEVER: &[libc::c_long] = &[
    libc::SYS_add_key,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_pivot_root,
    libc::SYS_request_key,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    libc::SYS_userfaultfd,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_vserver,
];

/// Refused to those who lack every capability named.
const UNLESS: &[(&[&str], &[libc::c_long])] = &[
    (&["DAC_READ_SEARCH"], &[libc::SYS_open_by_handle_at]),
    (
        &["SYS_ADMIN"],
        &[
            libc::SYS_fanotify_init,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fsopen,
            libc::SYS_fspick,
            libc::SYS_lookup_dcookie,
            libc::SYS_mount,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_setdomainname,
            libc::SYS_sethostname,
            libc::SYS_setns,
            libc::SYS_umount2,
            libc::SYS_unshare,
        ],
    ),
    (&["SYS_ADMIN", "BPF"], &[libc::SYS_bpf]),
    (&["SYS_ADMIN", "PERFMON"], &[libc::SYS_perf_event_open]),
    (&["SYS_ADMIN", "SYSLOG"], &[libc::SYS_syslog]),
    (&["SYS_BOOT"], &[libc::SYS_reboot]),
    (&["SYS_CHROOT"], &[libc::SYS_chroot]),
    (&["SYS_MODULE"], &[libc::SYS_delete_module, libc::SYS_init_module, libc::SYS_finit_module]),
    (&["SYS_PACCT"], &[libc::SYS_acct]),
    (&["SYS_PTRACE"], &[libc::SYS_kcmp]),
    (&["SYS_RAWIO"], &[libc::SYS_iopl, libc::SYS_ioperm]),
    (&["SYS_TIME"], &[libc::SYS_settimeofday, libc::SYS_clock_settime]),
    (&["SYS_TTY_CONFIG"], &[libc::SYS_vhangup]),
    (&["SYS_NICE"], &[libc::SYS_get_mempolicy, libc::SYS_mbind, libc::SYS_set_mempolicy, SYS_SET_MEMPOLICY_HOME_NODE]),
];
const SYS_SET_MEMPOLICY_HOME_NODE: libc::c_long = 450;

/// What happens to a call that is not simply allowed.
#[derive(Clone, Copy)]
enum Rule {
    Refuse(i32),
    RefuseNamespaces,
    RefuseVsock,
    KnownPersonalities,
}

fn rules(capabilities: Capabilities) -> Vec<(u32, Rule)> {
    let mut rules: Vec<(u32, Rule)> = NEVER.iter().map(|number| (*number as u32, Rule::Refuse(libc::EPERM))).collect();
    for (names, numbers) in UNLESS {
        if !names.iter().any(|name| capabilities.has(name)) {
            rules.extend(numbers.iter().map(|number| (*number as u32, Rule::Refuse(libc::EPERM))));
        }
    }
    if !capabilities.has("SYS_ADMIN") {
        rules.push((libc::SYS_clone as u32, Rule::RefuseNamespaces));
        // Its flags are behind a pointer; libc falls back to clone when it does not exist.
        rules.push((libc::SYS_clone3 as u32, Rule::Refuse(libc::ENOSYS)));
    }
    rules.push((libc::SYS_socket as u32, Rule::RefuseVsock));
    rules.push((libc::SYS_personality as u32, Rule::KnownPersonalities));
    rules.sort_unstable_by_key(|(number, _)| *number);
    rules
}

fn instruction(code: u16, jump_true: usize, jump_false: usize, value: u32) -> FilterInstruction {
    debug_assert!(jump_true < 256 && jump_false < 256);
    FilterInstruction { code, jump_true: jump_true as u8, jump_false: jump_false as u8, value }
}

fn ending(verdict: u32) -> FilterInstruction {
    instruction(RETURN, 0, 0, verdict)
}

fn body(rule: Rule) -> Vec<FilterInstruction> {
    let load = instruction(LOAD, 0, 0, ARGUMENT_0);
    match rule {
        Rule::Refuse(errno) => vec![ending(refuse(errno))],
        Rule::RefuseNamespaces => vec![
            load,
            instruction(AND, 0, 0, NEW_NAMESPACES),
            instruction(JUMP_EQUAL, 0, 1, 0),
            ending(ALLOW),
            ending(refuse(libc::EPERM)),
        ],
        Rule::RefuseVsock => {
            vec![load, instruction(JUMP_EQUAL, 1, 0, AF_VSOCK), ending(ALLOW), ending(refuse(libc::EPERM))]
        }
        Rule::KnownPersonalities => {
            let mut code = vec![load];
            let count = PERSONALITIES.len();
            code.extend(
                PERSONALITIES.iter().enumerate().map(|(i, known)| instruction(JUMP_EQUAL, count - i, 0, *known)),
            );
            code.extend([ending(refuse(libc::EPERM)), ending(ALLOW)]);
            code
        }
    }
}

fn search(rules: &[(u32, Rule)]) -> Vec<FilterInstruction> {
    match rules {
        [] => vec![ending(ALLOW)],
        [(number, rule)] => {
            let body = body(*rule);
            let mut code = vec![instruction(JUMP_EQUAL, 0, body.len(), *number)];
            code.extend(body);
            code.push(ending(ALLOW));
            code
        }
        _ => {
            let (low, high) = rules.split_at(rules.len() / 2);
            let (low_code, high_code) = (search(low), search(high));
            let mut code = vec![instruction(JUMP_AT_LEAST, low_code.len(), 0, high[0].0)];
            code.extend(low_code);
            code.extend(high_code);
            code
        }
    }
}

pub fn default_filter(capabilities: Capabilities) -> Vec<FilterInstruction> {
    let mut code = vec![
        instruction(LOAD, 0, 0, ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, X86_64),
        ending(refuse(libc::ENOSYS)),
        instruction(LOAD, 0, 0, NUMBER),
        instruction(JUMP_AT_LEAST, 0, 1, X32_BIT),
        ending(refuse(libc::ENOSYS)),
    ];
    code.extend(search(&rules(capabilities)));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(filter: &[FilterInstruction], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut accumulator, mut at) = (0u32, 0usize);
        loop {
            let step = filter[at];
            at += 1;
            let jump = |condition: bool| usize::from(if condition { step.jump_true } else { step.jump_false });
            match step.code {
                LOAD => {
                    accumulator = match step.value {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        ARGUMENT_0 => argument,
                        other => panic!("load at {other}"),
                    }
                }
                AND => accumulator &= step.value,
                JUMP_EQUAL => at += jump(accumulator == step.value),
                JUMP_AT_LEAST => at += jump(accumulator >= step.value),
                RETURN => return step.value,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn with(names: &[&str]) -> Vec<FilterInstruction> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        default_filter(Capabilities::from_names(&names).unwrap())
    }

    #[test]
    fn every_call_gets_the_verdict_of_its_rule() {
        let filter = with(&["CHOWN"]);
        let refused: Vec<u32> =
            NEVER.iter().chain(UNLESS.iter().flat_map(|(_, numbers)| *numbers)).map(|n| *n as u32).collect();
        let conditional = [libc::SYS_clone3 as u32];
        for number in 0..600 {
            let expected = if conditional.contains(&number) {
                refuse(libc::ENOSYS)
            } else if refused.contains(&number) {
                refuse(libc::EPERM)
            } else {
                ALLOW
            };
            assert_eq!(verdict(&filter, X86_64, number, 0), expected, "call {number}");
        }
    }

    #[test]
    fn arguments_decide_where_the_profile_says_so() {
        let filter = with(&[]);
        let of = |number: libc::c_long, argument| verdict(&filter, X86_64, number as u32, argument);
        assert_eq!(of(libc::SYS_clone, libc::SIGCHLD as u32), ALLOW);
        assert_eq!(of(libc::SYS_clone, libc::CLONE_NEWUSER as u32), refuse(libc::EPERM));
        assert_eq!(of(libc::SYS_socket, libc::AF_INET as u32), ALLOW);
        assert_eq!(of(libc::SYS_socket, AF_VSOCK), refuse(libc::EPERM));
        assert_eq!(of(libc::SYS_personality, 0xffff_ffff), ALLOW);
        assert_eq!(of(libc::SYS_personality, 0x40_0000), refuse(libc::EPERM));
    }

    #[test]
    fn capabilities_open_their_calls() {
        let filter = with(&["SYS_ADMIN"]);
        for number in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_clone3, libc::SYS_bpf] {
            assert_eq!(verdict(&filter, X86_64, number as u32, 0), ALLOW);
        }
        assert_eq!(verdict(&filter, X86_64, libc::SYS_clone as u32, libc::CLONE_NEWUSER as u32), ALLOW);
        assert_eq!(verdict(&with(&["BPF"]), X86_64, libc::SYS_bpf as u32, 0), ALLOW);
        assert_eq!(verdict(&filter, X86_64, libc::SYS_reboot as u32, 0), refuse(libc::EPERM));
    }

    #[test]
    fn other_architectures_do_not_exist() {
        let filter = with(&[]);
        assert_eq!(verdict(&filter, 0x4000_0003, 1, 0), refuse(libc::ENOSYS));
        assert_eq!(verdict(&filter, X86_64, X32_BIT | 1, 0), refuse(libc::ENOSYS));
    }
}
