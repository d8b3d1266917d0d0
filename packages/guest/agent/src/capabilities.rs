//! Capability names and sets.

use crate::failure::{Failure, Outcome};
use crate::sys::privileges;
use std::io::Result;

/// In the kernel's order: the position is the number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Docker's default.
    pub const USUAL: Capabilities = Capabilities(0xa804_25fb);

    pub fn from_names(names: &[String]) -> Outcome<Capabilities> {
        let mut mask = 0;
        for name in names {
            let number = NAMES.iter().position(|known| known == name);
            mask |= 1 << number.ok_or_else(|| Failure::bad(format!("there is no capability {name:?}")))?;
        }
        Ok(Capabilities(mask))
    }

    pub fn from_mask(mask: u64) -> Capabilities {
        Capabilities(mask)
    }

    pub fn mask(self) -> u64 {
        self.0
    }

    pub fn has(self, name: &str) -> bool {
        NAMES.iter().position(|known| *known == name).is_some_and(|number| self.0 & (1 << number) != 0)
    }

    pub fn narrow_bounding(self) -> Result<()> {
        for number in 0..NAMES.len() as u32 {
            if self.0 & (1 << number) == 0 {
                privileges::drop_bounding(number)?;
            }
        }
        Ok(())
    }

    /// Called after the change of user. Only root keeps any: without ambient ones, exec takes the others away.
    pub fn apply(self, uid: u32) -> Result<()> {
        privileges::set_capabilities(if uid == 0 { self.0 } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        for (name, number) in [
            ("CHOWN", 0),
            ("NET_RAW", 13),
            ("SYS_ADMIN", 21),
            ("MKNOD", 27),
            ("SETFCAP", 31),
            ("CHECKPOINT_RESTORE", 40),
        ] {
            assert_eq!(Capabilities::from_names(&[name.to_owned()]).unwrap(), Capabilities(1 << number));
        }
        assert!(Capabilities::from_names(&["CAP_CHOWN".to_owned()]).is_err());
    }
}
