//! Which devices a container may use: an eBPF program on the pod's cgroup, the rules of Docker's default.
//!
//! A node may be made of any device (CAP_MKNOD decides); opening is for the list below. Without this a container with
//! CAP_MKNOD could make a node of the scratch disk and read what other containers write.

use crate::sys::filter;
use std::io::Result;
use std::os::fd::RawFd;

const CHARACTER: i32 = 2;
const MKNOD: i32 = 1;
/// Character devices: major, minor (None: all).
const ALLOWED: [(i32, Option<i32>); 9] = [
    (1, Some(3)), // null
    (1, Some(5)), // zero
    (1, Some(7)), // full
    (1, Some(8)), // random
    (1, Some(9)), // urandom
    (5, Some(0)), // tty
    (5, Some(1)), // console
    (5, Some(2)), // ptmx
    (136, None),  // pts
];

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    code as u64
        | ((destination as u64) << 8)
        | ((source as u64) << 12)
        | ((offset as u16 as u64) << 16)
        | ((immediate as u32 as u64) << 32)
}

const fn load_word(destination: u8, offset: i16) -> u64 {
    instruction(0x61, destination, 1, offset, 0)
}
const fn move_immediate(destination: u8, value: i32) -> u64 {
    instruction(0xb7, destination, 0, 0, value)
}
const fn jump_not_equal(register: u8, value: i32, offset: i16) -> u64 {
    instruction(0x55, register, 0, offset, value)
}
const EXIT: u64 = instruction(0x95, 0, 0, 0, 0);

/// `struct bpf_cgroup_dev_ctx`: access_type (access << 16 | type), major, minor.
fn program() -> Vec<u64> {
    let mut code = vec![
        load_word(2, 0),                    // r2 = access_type
        instruction(0xbf, 3, 2, 0, 0),      // r3 = r2
        instruction(0x77, 3, 0, 0, 16),     // r3 >>= 16: what is asked
        instruction(0x57, 2, 0, 0, 0xffff), // r2 &= 0xffff: block or character
        load_word(4, 4),                    // r4 = major
        load_word(5, 8),                    // r5 = minor
        jump_not_equal(3, MKNOD, 2),
        move_immediate(0, 1),
        EXIT,
        instruction(0x15, 2, 0, 2, CHARACTER), // if r2 == CHARACTER skip the refusal
        move_immediate(0, 0),
        EXIT,
    ];
    for (major, minor) in ALLOWED {
        code.push(jump_not_equal(4, major, if minor.is_some() { 3 } else { 2 }));
        if let Some(minor) = minor {
            code.push(jump_not_equal(5, minor, 2));
        }
        code.extend([move_immediate(0, 1), EXIT]);
    }
    code.extend([move_immediate(0, 0), EXIT]);
    code
}

pub fn attach(cgroup: RawFd) -> Result<()> {
    filter::attach_device_filter(cgroup, &program())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the few instructions the program uses.
    fn allows(kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let code = program();
        let context = [(access << 16) | kind, major, minor];
        let mut registers = [0i64; 11];
        let mut at = 0usize;
        loop {
            let word = code[at];
            let (destination, source) = ((word >> 8 & 15) as usize, (word >> 12 & 15) as usize);
            let (offset, immediate) = ((word >> 16) as u16 as i16, i64::from((word >> 32) as u32 as i32));
            at += 1;
            let mut skip = false;
            match word as u8 {
                0x61 => registers[destination] = i64::from(context[offset as usize / 4]),
                0xb7 => registers[destination] = immediate,
                0xbf => registers[destination] = registers[source],
                0x77 => registers[destination] >>= immediate,
                0x57 => registers[destination] &= immediate,
                0x15 => skip = registers[destination] == immediate,
                0x55 => skip = registers[destination] != immediate,
                0x95 => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
            if skip {
                at = (at as i64 + i64::from(offset)) as usize;
            }
        }
    }

    #[test]
    fn the_usual_character_devices_open_and_disks_do_not() {
        for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, 0), (136, 77)] {
            assert!(allows(2, 6, major, minor), "{major}:{minor}");
            assert!(!allows(1, 6, major, minor), "block {major}:{minor}");
        }
        for (major, minor) in [(1, 1), (1, 2), (1, 4), (1, 11), (4, 64), (10, 1), (10, 200), (254, 0), (8, 0)] {
            assert!(!allows(2, 6, major, minor), "{major}:{minor}");
            assert!(!allows(1, 2, major, minor), "block {major}:{minor}");
        }
    }

    #[test]
    fn any_node_may_be_made_but_not_made_and_read_at_once() {
        assert!(allows(1, 1, 254, 0));
        assert!(!allows(1, 3, 254, 0));
    }
}
