//! The rules as a program of the kernel's packet filter machine.

use super::commands::{COMMANDS, FILE_COMMANDS};
use super::rules::{NEWEST, Rule, Subject, rule_of};
use crate::protocol::OWN_PROCESS;

type Instruction = libc::sock_filter;

/// All CLONE_NEW flags that `clone` knows.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

pub const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
pub const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
pub const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
pub const JUMP_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
pub const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

pub const NUMBER: u32 = 0;
pub const ARCHITECTURE: u32 = 4;
/// The lower half of an argument: none that is looked at has an upper one.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}
pub const X86_64: u32 = 0xc000_003e;

pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
pub const fn refuse(errno: i32) -> u32 {
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

pub fn filter(subject: Subject) -> Vec<Instruction> {
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
