//! Everything the monitor is handed is opened here, outside the jail and as root, and crosses as a number.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::{dup2, fcntl_dupfd_cloexec};

use crate::control;
use crate::failure::{Failure, Step};
use crate::network;
use crate::plan::{Descriptor, Source};

/// Nothing the caller had open, by accident or not, reaches the monitor.
pub fn close_inherited() -> std::io::Result<()> {
    let first = (control::DESCRIPTOR + 1) as libc::c_uint;
    // SAFETY: plain numbers; no descriptor above the control socket is owned by anything in this process yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Standard error goes to a file in memory that cannot grow: a guest that provokes messages fills only that.
/// The caller reads it through /proc while the process lives, and keeps its own descriptor beyond.
pub fn bound_stderr(size_bytes: u64) -> Result<(), Failure> {
    let step = "stderr";
    let file = memfd_create("stderr", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).step(step, "memfd")?;
    ftruncate(&file, size_bytes).step(step, "memfd")?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL).step(step, "memfd")?;
    rustix::stdio::dup2_stderr(&file).step(step, "memfd")
}

pub fn open(wanted: &[Descriptor]) -> Result<Vec<(i32, OwnedFd)>, Failure> {
    // Sockets are for the owner (root) alone.
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let outside = wanted.iter().filter(|one| !matches!(one.source, Source::PlaceholderTap));
    let opened = outside.map(|one| Ok((one.number, open_outside(&one.source)?))).collect();
    rustix::process::umask(before);
    opened
}

/// What can only be opened in the monitor's own network namespace.
pub fn open_inside(wanted: &[Descriptor]) -> Result<Vec<(i32, OwnedFd)>, Failure> {
    let inside = wanted.iter().filter(|one| matches!(one.source, Source::PlaceholderTap));
    inside.map(|one| Ok((one.number, network::make_tap("placeholder")?))).collect()
}

fn open_outside(source: &Source) -> Result<OwnedFd, Failure> {
    match source {
        Source::File { path, is_writable } => {
            let file = OpenOptions::new().read(true).write(*is_writable).open(path);
            Ok(file.step("open-file", &path.to_string_lossy())?.into())
        }
        Source::Bytes(content) => sealed_bytes(content),
        Source::TemplateMemory => sealed_bytes(include_bytes!(concat!(env!("OUT_DIR"), "/template_memory.so"))),
        Source::ZygoteLibrary => sealed_bytes(include_bytes!(concat!(env!("OUT_DIR"), "/zygote.so"))),
        Source::Requests(path) => Ok(UnixDatagram::bind(path).step("listen", &path.to_string_lossy())?.into()),
        Source::Threads => {
            // By number: the monitor has this process's.
            let path = format!("/proc/{}/task", std::process::id());
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .step("open-file", &path)
        }
        Source::Listen(path) => Ok(UnixListener::bind(path).step("listen", &path.to_string_lossy())?.into()),
        Source::Tap { namespace, name } => network::open_tap(namespace, name),
        Source::PlaceholderTap => Err(Failure::new("open-tap", "a placeholder is opened inside the namespace")),
    }
}

fn sealed_bytes(content: &[u8]) -> Result<OwnedFd, Failure> {
    let step = "memory-file";
    let file = memfd_create("content", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).step(step, "memfd")?;
    let mut file = File::from(file);
    file.write_all(content).step(step, "memfd")?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::WRITE | SealFlags::SEAL)
        .step(step, "memfd")?;
    // QEMU takes a descriptor of a set only if it was opened the way it would open the file itself: read-only.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step(step, "memfd")
}

/// Puts each descriptor under its number, where it survives the exec.
pub fn install(opened: Vec<(i32, OwnedFd)>) -> Result<(), Failure> {
    // First out of the way of all numbers wanted, so that none is overwritten before it is copied. Not further: there
    // are twice as many descriptors as disks have files for a moment, and a process may have 1024.
    let beyond = opened.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
    let moved: Vec<(i32, OwnedFd)> = opened
        .into_iter()
        .map(|(number, descriptor)| {
            Ok((number, fcntl_dupfd_cloexec(&descriptor, beyond).step("install", "descriptor")?))
        })
        .collect::<Result<_, Failure>>()?;
    for (number, descriptor) in moved {
        // SAFETY: the number is within 4..1000, where nothing else of this process is open any more; it is given up
        // again below for the monitor to own.
        let mut target = unsafe { OwnedFd::from_raw_fd(number) };
        let result = dup2(&descriptor, &mut target);
        let _ = target.into_raw_fd();
        result.step("install", "descriptor")?;
    }
    Ok(())
}
