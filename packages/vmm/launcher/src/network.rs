//! The tap comes from the VPC's network namespace; the monitor itself runs in an empty one.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::failure::{Failure, Step};

/// Opens one queue of a tap that exists in the given namespace, and comes back out.
pub fn open_tap(namespace: &Path, name: &str) -> Result<OwnedFd, Failure> {
    let own = File::open("/proc/self/ns/net").step("open-tap", "/proc/self/ns/net")?;
    let path = namespace.to_string_lossy();
    let there =
        rustix::fs::open(namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open-namespace", &path)?;
    move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).step("enter-namespace", &path)?;
    let tap = attach(name);
    move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)).step("leave-namespace", &path)?;
    tap
}

fn attach(name: &str) -> Result<OwnedFd, Failure> {
    let mut request = interface_request(name)?;
    // TUNSETIFF would make a missing device; a device nobody set up has no addresses and no filter.
    let probe = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
        .step("open-tap", name)?;
    ioctl(&probe, libc::SIOCGIFINDEX as libc::c_ulong, &mut request).step("find-tap", name)?;
    make_tap(name)
}

/// Opens a tap of the network namespace this process is in, which is made if it is not there.
pub fn make_tap(name: &str) -> Result<OwnedFd, Failure> {
    let mut request = interface_request(name)?;
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun").step("open-tap", "/dev/net/tun")?;
    // Packet headers with offload information (VNET_HDR) are part of the device's saved state, so they are always on.
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    ioctl(&tun, libc::TUNSETIFF as libc::c_ulong, &mut request).step("open-tap", name)?;
    Ok(tun.into())
}

fn interface_request(name: &str) -> Result<libc::ifreq, Failure> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return Err(Failure::new("open-tap", format!("{name:?} is not an interface name")));
    }
    // SAFETY: ifreq is a plain C structure for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

fn ioctl(descriptor: &impl AsRawFd, number: libc::c_ulong, request: &mut libc::ifreq) -> std::io::Result<()> {
    // SAFETY: both requests used here read and write exactly one ifreq.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), number as _, request as *mut libc::ifreq) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A network namespace without any interface up, and no System V objects, host name or mounts shared with the host.
pub fn enter_empty_namespaces() -> Result<(), Failure> {
    let flags = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWNS;
    // SAFETY: none of these flags unshares the descriptor table, which is what makes the call unsafe.
    unsafe { rustix::thread::unshare_unsafe(flags) }.step("unshare", "namespaces")
}
