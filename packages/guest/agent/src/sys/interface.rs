//! Network interfaces.

use super::{check_int, owned};
use std::io::Result;
use std::os::fd::{OwnedFd, RawFd};

/// A route netlink socket.
pub fn netlink() -> Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(libc::c_long::from(unsafe {
        libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE)
    }))
}

/// Sets the hardware address of an Ethernet interface, by any socket.
pub fn set_mac(socket: RawFd, interface: &str, mac: [u8; 6]) -> Result<()> {
    const SIOCSIFHWADDR: libc::Ioctl = 0x8924;
    const ARPHRD_ETHER: u16 = 1;
    // struct ifreq: name, then a sockaddr of the kind of hardware.
    let mut request = [0u8; 40];
    let name = request.get_mut(..interface.len().min(15)).unwrap_or_default();
    name.copy_from_slice(&interface.as_bytes()[..name.len()]);
    request[16..18].copy_from_slice(&ARPHRD_ETHER.to_ne_bytes());
    request[18..24].copy_from_slice(&mac);
    // SAFETY: the layout and size of `struct ifreq`.
    check_int(unsafe { libc::ioctl(socket, SIOCSIFHWADDR, request.as_ptr()) }).map(drop)
}
