//! Commands that are refused, of the calls that are needed for others.

/// Commands of `ioctl`: of a tap, those that change which interface it is, whose, and with which filter; of files, what
/// shares or marks them; of terminals, what types into them.
pub const COMMANDS: &[u32] = &[
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
pub const FILE_COMMANDS: &[u32] = &[
    libc::F_SETLK as u32,
    libc::F_SETLKW as u32,
    libc::F_OFD_GETLK as u32,
    libc::F_OFD_SETLK as u32,
    libc::F_OFD_SETLKW as u32,
    libc::F_SETLEASE as u32,
    libc::F_NOTIFY as u32,
];
