//! What a container sees: built in its own mount namespace by its first process, before that becomes the program.
//!
//! Sources are opened as detached mounts by the agent, or while the agent's tree is still in sight; then the image
//! becomes `/`, and from there on every path is the container's own, so that no link in an image leads anywhere else.

use crate::boot;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::orders::Bind;
use crate::report::{self, Stamps};
use crate::sys::{self, file, mount, process};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Where Kubernetes has containers leave their termination message, unless they say otherwise.
const USUAL_TERMINATION_PATH: &str = "/dev/termination-log";

pub struct Root {
    /// Directory of the mounted image.
    pub image: String,
    /// The container's own devpts, still detached.
    pub terminals: OwnedFd,
}

/// What is ready to be mounted in a container that has its root.
pub struct Rooms {
    /// As `boot::POD_FILES`.
    pod_files: Vec<OwnedFd>,
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

fn open_tree(source: &str, what: &str) -> Outcome<OwnedFd> {
    mount::open_tree_clone(libc::AT_FDCWD, &path(source)?).step(Code::MountFailed, what)
}

/// Opens what is to be mounted in a container: a directory or file of the agent's, or what is below it at `sub_path`,
/// made as a directory when absent.
pub fn open_source(source: &str, sub_path: Option<&str>, is_read_only: bool) -> Outcome<OwnedFd> {
    let tree = match sub_path {
        None => open_tree(source, "open what is to be mounted")?,
        Some(sub_path) => {
            let below = open_or_make(source, sub_path)?;
            mount::open_tree_clone(below.as_raw_fd(), c"").step(Code::MountFailed, "open what is to be mounted")?
        }
    };
    if is_read_only {
        mount::set_attributes(tree.as_raw_fd(), c"", mount::MOUNT_ATTR_RDONLY)
            .step(Code::MountFailed, "mount read-only")?;
    }
    Ok(tree)
}

impl Root {
    /// A new devpts, whose terminals only this container has.
    pub fn new_terminals() -> Outcome<OwnedFd> {
        let options = [(c"ptmxmode", Some(c"0666")), (c"mode", Some(c"0620")), (c"gid", Some(c"5"))];
        mount::new_mount(c"devpts", &options, mount::MOUNT_ATTR_NOSUID).step(Code::MountFailed, "make a devpts")
    }

    /// Called in the first process; afterwards `/` is the container's. `writable` has the directories `upper` and `work`.
    pub fn enter(&self, writable: &str, termination_file: &str, stages: &mut Stamps) -> Outcome<Rooms> {
        self.mount_overlay(writable)?;
        stages.stamp(report::OVERLAY);
        let pod_files = boot::POD_FILES
            .iter()
            .map(|name| open_tree(&format!("{}/{name}", boot::FILES), "open the pod's files"))
            .collect::<Outcome<Vec<OwnedFd>>>()?;
        let termination_file = open_tree(termination_file, "open the termination message file")?;
        let shm = open_tree(boot::SHM, "share /dev/shm")?;
        let mqueue = open_tree(boot::MQUEUE, "share /dev/mqueue")?;
        file::chdir(boot::ROOT).and_then(|()| mount::pivot_root_here()).step(Code::MountFailed, "change the root")?;
        process::unshare(libc::CLONE_NEWCGROUP).step(Code::Internal, "make a cgroup namespace")?;
        for directory in [c"/proc", c"/sys", c"/dev"] {
            own_directory(directory)?;
        }
        mount(c"proc", c"/proc", QUIET, c"")?;
        mount(c"sysfs", c"/sys", QUIET | libc::MS_RDONLY, c"")?;
        mount(c"cgroup2", c"/sys/fs/cgroup", QUIET | libc::MS_RDONLY, c"")?;
        self.fill_dev(&shm, &mqueue)?;
        mask()?;
        Rooms::place(&termination_file, USUAL_TERMINATION_PATH)?;
        Ok(Rooms { pod_files })
    }

    fn mount_overlay(&self, writable: &str) -> Outcome<()> {
        // Volatile: the writable layer never outlives the container, so it is never synced to disk.
        let (image, lower) = (&self.image, boot::MOUNT_POINTS);
        let options = format!("lowerdir={image}:{lower},upperdir={writable}/upper,workdir={writable}/work,volatile");
        mount(c"overlay", boot::ROOT, 0, &path(&options)?)
    }

    fn fill_dev(&self, shm: &OwnedFd, mqueue: &OwnedFd) -> Outcome<()> {
        mount(c"tmpfs", c"/dev", libc::MS_NOSUID | libc::MS_STRICTATIME, c"mode=755,size=65536k")?;
        let failed = |error| Err::<(), _>(error).step(Code::MountFailed, "fill /dev");
        // For everybody, whatever the agent's mask is.
        file::set_umask(0);
        for (name, major, minor) in DEVICES {
            file::mknod(name, libc::S_IFCHR | 0o666, major, minor).or_else(failed)?;
        }
        file::set_umask(0o022);
        for (target, name) in DEVICE_LINKS {
            file::symlink(target, name).or_else(failed)?;
        }
        for (tree, name) in [(&self.terminals, c"/dev/pts"), (shm, c"/dev/shm"), (mqueue, c"/dev/mqueue")] {
            file::mkdir(name, 0o755).or_else(failed)?;
            mount::move_mount(tree.as_raw_fd(), name).or_else(failed)?;
        }
        Ok(())
    }
}

impl Rooms {
    pub fn place_pod_file(&self, index: usize, is_read_only: bool) -> Outcome<()> {
        let (Some(tree), Some(name)) = (self.pod_files.get(index), boot::POD_FILES.get(index)) else { return Ok(()) };
        if is_read_only {
            mount::set_attributes(tree.as_raw_fd(), c"", mount::MOUNT_ATTR_RDONLY)
                .step(Code::MountFailed, "mount a file of the pod read-only")?;
        }
        Rooms::place(tree, &format!("/etc/{name}"))
    }

    /// The file of the termination message is mounted at its usual place. Where it belongs to another one, or a volume
    /// will cover the usual one, it is taken away from there, to be mounted last; it is dropped when `wanted` is "".
    pub fn take_termination_file(&self, wanted: &str, binds: &[Bind]) -> Outcome<Option<OwnedFd>> {
        let is_covered = binds.iter().any(|bind| Path::new(USUAL_TERMINATION_PATH).starts_with(&bind.target));
        if wanted == USUAL_TERMINATION_PATH && !is_covered {
            return Ok(None);
        }
        let usual = path(USUAL_TERMINATION_PATH)?;
        let tree = open_tree(USUAL_TERMINATION_PATH, "move the termination message file")?;
        mount::unmount_lazily(&usual)
            .and_then(|()| fs::remove_file(USUAL_TERMINATION_PATH))
            .step(Code::MountFailed, "move the termination message file")?;
        Ok(Some(tree).filter(|_| !wanted.is_empty()))
    }

    pub fn place_console(number: u32) -> Outcome<()> {
        let tree = open_tree(&format!("/dev/pts/{number}"), "open the console")?;
        Rooms::place(&tree, "/dev/console")
    }

    /// Of the mounts only the root's becomes read-only.
    pub fn close_root() -> Outcome<()> {
        mount::set_attributes(libc::AT_FDCWD, c"/", mount::MOUNT_ATTR_RDONLY)
            .step(Code::MountFailed, "make / read-only")
    }

    /// Mounts `tree` at a path of the container, which is made when it is not there.
    pub fn place(tree: &OwnedFd, target: &str) -> Outcome<()> {
        let mount_point = path(target)?;
        let first = mount::move_mount(tree.as_raw_fd(), &mount_point);
        if !matches!(&first, Err(error) if error.kind() == ErrorKind::NotFound) {
            return first.step(Code::MountFailed, &format!("mount at {target}"));
        }
        make_mount_point(tree, target).step(Code::MountFailed, &format!("make the mount point {target}"))?;
        mount::move_mount(tree.as_raw_fd(), &mount_point).step(Code::MountFailed, &format!("mount at {target}"))
    }
}

fn make_mount_point(tree: &OwnedFd, target: &str) -> std::io::Result<()> {
    let is_directory = file::open_at(tree.as_raw_fd(), c".", libc::O_PATH | libc::O_DIRECTORY, 0).is_ok();
    if is_directory {
        return fs::create_dir_all(target);
    }
    if let Some(parent) = Path::new(target).parent() {
        fs::create_dir_all(parent)?;
    }
    fs::OpenOptions::new().create(true).append(true).open(target).map(drop)
}

fn mount(kind: &CStr, target: &CStr, flags: libc::c_ulong, options: &CStr) -> Outcome<()> {
    mount::mount(kind, target, kind, flags, options)
        .step(Code::MountFailed, &format!("mount {} at {}", kind.to_string_lossy(), target.to_string_lossy()))
}

/// A real directory: a link there would put the kernel's files where the masks do not reach.
fn own_directory(directory: &CStr) -> Outcome<()> {
    if let Err(error) = file::mkdir(directory, 0o755) {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        if error.kind() != ErrorKind::AlreadyExists {
            return Err(error).step(Code::MountFailed, &format!("make {}", directory.to_string_lossy()));
        }
        file::open(directory, flags, 0)
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
        ignore_missing(mount::mount(c"/dev/null", target, c"", libc::MS_BIND, c""), target)?;
    }
    for target in HIDDEN_DIRECTORIES {
        ignore_missing(mount::mount(c"tmpfs", target, c"tmpfs", QUIET | libc::MS_RDONLY, c"size=0"), target)?;
    }
    for target in READ_ONLY {
        let bound = mount::mount(target, target, c"", libc::MS_BIND, c"");
        let is_bound = bound.is_ok();
        ignore_missing(bound, target)?;
        if is_bound {
            let attributes = mount::MOUNT_ATTR_RDONLY | mount::MOUNT_ATTR_NOSUID | mount::MOUNT_ATTR_NODEV;
            ignore_missing(mount::set_attributes(libc::AT_FDCWD, target, attributes), target)?;
        }
    }
    Ok(())
}

/// Opens `sub_path` below `base`, making directories that are absent; a link may not lead out of `base`.
fn open_or_make(base: &str, sub_path: &str) -> Outcome<OwnedFd> {
    const RESOLVE_BENEATH: u64 = 0x08;
    const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
    let failed = || format!("open {sub_path:?} of a volume");
    let base = file::open(&path(base)?, libc::O_PATH | libc::O_DIRECTORY, 0).step(Code::MountFailed, &failed())?;
    let open = |below: &str| {
        let below = sys::c_string(below)?;
        file::open_within(base.as_raw_fd(), &below, libc::O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
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
        match file::mkdir_at(parent, &name, 0o755) {
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
