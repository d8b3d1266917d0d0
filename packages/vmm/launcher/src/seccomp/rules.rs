//! Which rule a call comes under, by its number and by who makes it.

use super::refused::{REFUSED, REFUSED_TO_CLONES};

/// `mseal` of Linux 6.10. Newer calls do not exist for a monitor.
pub const NEWEST: u32 = 462;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rule {
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
pub enum Subject {
    /// The monitor that this process becomes, whose number it then has.
    Monitor(u32),
    /// A monitor that is to be cloned: a filter holds for all that come of a process, so it names none.
    Zygote,
    /// A clone, in whose number's place there is `OWN_PROCESS` until the library in `preload/zygote` knows it.
    Clone,
}

pub fn rule_of(number: u32, subject: Subject) -> Rule {
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
