//! What a container sees: built in its own mount namespace by the forked child, before it becomes the program.
//!
//! Sources are opened as detached mounts while the agent's tree is still in sight; then the image becomes `/`, and from
//! there on every path is the container's own, so that no link in an image leads anywhere else.

use crate::boot;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::sys;
use std::ffi::{CStr, CString};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

pub struct Root {
    /// Directory of the mounted image.
    pub image: String,
    /// Directory on the scratch disk with `upper` and `work`.
    pub writable: String,
    pub is_read_only: bool,
    pub binds: Vec<Bind>,
    /// The container's own devpts, still detached.
    pub terminals: OwnedFd,
    /// Number of the terminal that becomes /dev/console.
    pub console: Option<u32>,
}

pub struct Bind {
    /// A directory or file of the agent's.
    pub source: String,
    /// Below `source`, made as a directory when absent.
    pub sub_path: Option<String>,
    pub target: String,
    pub is_read_only: bool,
}

const QUIET: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// Docker's masked paths; most do not exist in this kernel.
const HIDDEN_FILES: [&CStr; 7] = [
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    c"/proc/sched_debug",
    c"/proc/interrupts",
];
const HIDDEN_DIRECTORIES: [&CStr; 5] =
    [c"/proc/asound", c"/proc/acpi", c"/proc/scsi", c"/sys/firmware", c"/sys/devices/virtual/powercap"];
const READ_ONLY: [&CStr; 5] = [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"];

const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"/dev/null", 1, 3),
    (c"/dev/zero", 1, 5),
    (c"/dev/full", 1, 7),
    (c"/dev/random", 1, 8),
    (c"/dev/urandom", 1, 9),
    (c"/dev/tty", 5, 0),
];
const DEVICE_LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"/dev/fd"),
    (c"/proc/self/fd/0", c"/dev/stdin"),
    (c"/proc/self/fd/1", c"/dev/stdout"),
    (c"/proc/self/fd/2", c"/dev/stderr"),
    (c"pts/ptmx", c"/dev/ptmx"),
];

fn path(text: &str) -> Outcome<CString> {
    sys::c_string(text).step(Code::BadRequest, &format!("path {text:?}"))
}

/// A new devpts, whose terminals only this container has.
pub fn new_terminals() -> Outcome<OwnedFd> {
    let options = [(c"ptmxmode", Some(c"0666")), (c"mode", Some(c"0620")), (c"gid", Some(c"5"))];
    sys::new_mount(c"devpts", &options, sys::MOUNT_ATTR_NOSUID).step(Code::MountFailed, "make a devpts")
}

impl Root {
    /// Called in the child; afterwards `/` is the container's. `after_root` is told when the image is there.
    pub fn enter(&self, mut after_root: impl FnMut()) -> Outcome<()> {
        self.mount_overlay()?;
        after_root();
        let trees: Vec<(OwnedFd, &Bind)> =
            self.binds.iter().map(|bind| Ok((bind.open()?, bind))).collect::<Outcome<_>>()?;
        let shm = sys::open_tree_clone(libc::AT_FDCWD, &path(boot::SHM)?).step(Code::MountFailed, "share /dev/shm")?;
        let mqueue =
            sys::open_tree_clone(libc::AT_FDCWD, &path(boot::MQUEUE)?).step(Code::MountFailed, "share /dev/mqueue")?;
        sys::chdir(boot::ROOT).and_then(|()| sys::pivot_root_here()).step(Code::MountFailed, "change the root")?;
        sys::unshare(libc::CLONE_NEWCGROUP).step(Code::Internal, "make a cgroup namespace")?;
        for directory in [c"/proc", c"/sys", c"/dev"] {
            own_directory(directory)?;
        }
        mount(c"proc", c"/proc", QUIET, c"")?;
        mount(c"sysfs", c"/sys", QUIET | libc::MS_RDONLY, c"")?;
        mount(c"cgroup2", c"/sys/fs/cgroup", QUIET | libc::MS_RDONLY, c"")?;
        self.fill_dev(&shm, &mqueue)?;
        mask()?;
        for (tree, bind) in &trees {
            bind.place(tree)?;
        }
        if self.is_read_only {
            sys::mount_set(libc::AT_FDCWD, c"/", sys::MOUNT_ATTR_RDONLY).step(Code::MountFailed, "make / read-only")?;
        }
        Ok(())
    }

    fn mount_overlay(&self) -> Outcome<()> {
        for name in ["upper", "work"] {
            sys::mkdir(&path(&format!("{}/{name}", self.writable))?, 0o755)
                .step(Code::MountFailed, "make the writable layer")?;
        }
        // Volatile: the writable layer never outlives the container, so it is never synced to disk.
        let Root { image, writable, .. } = self;
        let lower = boot::MOUNT_POINTS;
        let options = format!("lowerdir={image}:{lower},upperdir={writable}/upper,workdir={writable}/work,volatile");
        mount(c"overlay", boot::ROOT, 0, &path(&options)?)
    }

    fn fill_dev(&self, shm: &OwnedFd, mqueue: &OwnedFd) -> Outcome<()> {
        mount(c"tmpfs", c"/dev", libc::MS_NOSUID | libc::MS_STRICTATIME, c"mode=755,size=65536k")?;
        let failed = |error| Err::<(), _>(error).step(Code::MountFailed, "fill /dev");
        for (name, major, minor) in DEVICES {
            sys::mknod(name, libc::S_IFCHR | 0o666, major, minor).or_else(failed)?;
        }
        for (target, name) in DEVICE_LINKS {
            sys::symlink(target, name).or_else(failed)?;
        }
        for (tree, name) in [(&self.terminals, c"/dev/pts"), (shm, c"/dev/shm"), (mqueue, c"/dev/mqueue")] {
            sys::mkdir(name, 0o755).or_else(failed)?;
            sys::move_mount(tree.as_raw_fd(), name).or_else(failed)?;
        }
        if let Some(number) = self.console {
            let slave = path(&format!("/dev/pts/{number}"))?;
            let tree = sys::open_tree_clone(libc::AT_FDCWD, &slave).step(Code::MountFailed, "open the console")?;
            sys::open(c"/dev/console", libc::O_CREAT | libc::O_WRONLY | libc::O_EXCL, 0o600)
                .map(drop)
                .or_else(failed)?;
            sys::move_mount(tree.as_raw_fd(), c"/dev/console").or_else(failed)?;
        }
        Ok(())
    }
}

fn mount(kind: &CStr, target: &CStr, flags: libc::c_ulong, options: &CStr) -> Outcome<()> {
    sys::mount(kind, target, kind, flags, options)
        .step(Code::MountFailed, &format!("mount {} at {}", kind.to_string_lossy(), target.to_string_lossy()))
}

/// A real directory: a link there would put the kernel's files where the masks do not reach.
fn own_directory(directory: &CStr) -> Outcome<()> {
    if let Err(error) = sys::mkdir(directory, 0o755) {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        if error.kind() != ErrorKind::AlreadyExists {
            return Err(error).step(Code::MountFailed, &format!("make {}", directory.to_string_lossy()));
        }
        sys::open(directory, flags, 0)
            .step(Code::MountFailed, &format!("the image's {} is not a directory", directory.to_string_lossy()))?;
    }
    Ok(())
}

fn mask() -> Outcome<()> {
    let ignore_missing = |result: std::io::Result<()>, target: &CStr| match result {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(()),
        result => result.step(Code::MountFailed, &format!("mask {}", target.to_string_lossy())),
    };
    for target in HIDDEN_FILES {
        ignore_missing(sys::mount(c"/dev/null", target, c"", libc::MS_BIND, c""), target)?;
    }
    for target in HIDDEN_DIRECTORIES {
        ignore_missing(sys::mount(c"tmpfs", target, c"tmpfs", QUIET | libc::MS_RDONLY, c"size=0"), target)?;
    }
    for target in READ_ONLY {
        let bound = sys::mount(target, target, c"", libc::MS_BIND, c"");
        let is_bound = bound.is_ok();
        ignore_missing(bound, target)?;
        if is_bound {
            let attributes = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
            ignore_missing(sys::mount_set(libc::AT_FDCWD, target, attributes), target)?;
        }
    }
    Ok(())
}

impl Bind {
    fn open(&self) -> Outcome<OwnedFd> {
        let failed = || format!("open what is mounted at {}", self.target);
        let tree = match &self.sub_path {
            None => sys::open_tree_clone(libc::AT_FDCWD, &path(&self.source)?).step(Code::MountFailed, &failed())?,
            Some(sub_path) => {
                let below = open_or_make(&self.source, sub_path)?;
                sys::open_tree_clone(below.as_raw_fd(), c"").step(Code::MountFailed, &failed())?
            }
        };
        if self.is_read_only {
            sys::mount_set(tree.as_raw_fd(), c"", sys::MOUNT_ATTR_RDONLY).step(Code::MountFailed, &failed())?;
        }
        Ok(tree)
    }

    fn place(&self, tree: &OwnedFd) -> Outcome<()> {
        let target = path(&self.target)?;
        let first = sys::move_mount(tree.as_raw_fd(), &target);
        if !matches!(&first, Err(error) if error.kind() == ErrorKind::NotFound) {
            return first.step(Code::MountFailed, &format!("mount at {}", self.target));
        }
        self.make_target(tree).step(Code::MountFailed, &format!("make the mount point {}", self.target))?;
        sys::move_mount(tree.as_raw_fd(), &target).step(Code::MountFailed, &format!("mount at {}", self.target))
    }

    fn make_target(&self, tree: &OwnedFd) -> std::io::Result<()> {
        let is_directory = sys::open_at(tree.as_raw_fd(), c".", libc::O_PATH | libc::O_DIRECTORY, 0).is_ok();
        if is_directory {
            return fs::create_dir_all(&self.target);
        }
        if let Some(parent) = Path::new(&self.target).parent() {
            fs::create_dir_all(parent)?;
        }
        fs::OpenOptions::new().create(true).append(true).open(&self.target).map(drop)
    }
}

/// Opens `sub_path` below `base`, making directories that are absent; a link may not lead out of `base`.
fn open_or_make(base: &str, sub_path: &str) -> Outcome<OwnedFd> {
    const RESOLVE_BENEATH: u64 = 0x08;
    const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
    let failed = || format!("open {sub_path:?} of a volume");
    let base = sys::open(&path(base)?, libc::O_PATH | libc::O_DIRECTORY, 0).step(Code::MountFailed, &failed())?;
    let open = |below: &str| {
        let below = sys::c_string(below)?;
        sys::open_within(base.as_raw_fd(), &below, libc::O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    };
    match open(sub_path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => return result.step(Code::MountFailed, &failed()),
    }
    let mut walked = String::new();
    let mut current: Option<OwnedFd> = None;
    for part in sub_path.split('/').filter(|part| !part.is_empty()) {
        let parent = current.as_ref().map_or(base.as_raw_fd(), AsRawFd::as_raw_fd);
        let name = path(part)?;
        match sys::mkdir_at(parent, &name, 0o755) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).step(Code::MountFailed, &failed());
            }
            _ => {}
        }
        walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}/{part}") };
        current = Some(open(&walked).step(Code::MountFailed, &failed())?);
    }
    current.ok_or_else(|| Failure::bad("a subPath is empty"))
}
