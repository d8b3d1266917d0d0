//! Resource limits of a process, by name (`nofile` or `RLIMIT_NOFILE`).

use crate::failure::{Failure, Outcome};
use crate::spec::Rlimit;

const NAMES: [(&str, u32); 16] = [
    ("CPU", 0),
    ("FSIZE", 1),
    ("DATA", 2),
    ("STACK", 3),
    ("CORE", 4),
    ("RSS", 5),
    ("NPROC", 6),
    ("NOFILE", 7),
    ("MEMLOCK", 8),
    ("AS", 9),
    ("LOCKS", 10),
    ("SIGPENDING", 11),
    ("MSGQUEUE", 12),
    ("NICE", 13),
    ("RTPRIO", 14),
    ("RTTIME", 15),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// What a container has when it asks for nothing: containerd's and Docker's file limit, and no core files.
const DEFAULTS: [Numbered; 2] =
    [Numbered { resource: 7, soft: 1_048_576, hard: 1_048_576 }, Numbered { resource: 4, soft: 0, hard: u64::MAX }];

pub fn numbered(limits: &[Rlimit]) -> Outcome<Vec<Numbered>> {
    let mut all = DEFAULTS.to_vec();
    for limit in limits {
        let upper = limit.name.to_ascii_uppercase();
        let name = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
        let resource = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let resource = resource.ok_or_else(|| Failure::bad(format!("there is no resource limit {:?}", limit.name)))?;
        if limit.soft > limit.hard {
            return Err(Failure::bad(format!("the soft limit of {} is above its hard limit", limit.name)));
        }
        all.retain(|other| other.resource != resource);
        all.push(Numbered { resource, soft: limit.soft, hard: limit.hard });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_limit_replaces_the_default() {
        let limits = numbered(&[Rlimit { name: "RLIMIT_NOFILE".into(), soft: 10, hard: 20 }]).unwrap();
        assert!(limits.contains(&Numbered { resource: 7, soft: 10, hard: 20 }));
        assert_eq!(limits.iter().filter(|limit| limit.resource == 7).count(), 1);
        assert!(numbered(&[Rlimit { name: "bogus".into(), soft: 0, hard: 0 }]).is_err());
        assert!(numbered(&[Rlimit { name: "cpu".into(), soft: 2, hard: 1 }]).is_err());
    }
}
