//! The one interface of an instance, by route netlink in a single message batch.
//!
//! The address is a /32; the gateway is link-local and the same on every tap, reached by a host route and a permanent
//! neighbour entry, so that the guest never sends ARP.

use crate::failure::{Code, Failure, Outcome, Step};
use crate::spec::Network;
use crate::sys;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

const REQUEST_ACK: u16 = 0x5;
const CREATE_REPLACE: u16 = 0x500;

/// Messages for one `write`, each with its own acknowledgement.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    count: u32,
    start: usize,
}

impl Batch {
    fn begin(&mut self, kind: u16, flags: u16, fixed: &[u8]) {
        self.count += 1;
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(REQUEST_ACK | flags).to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.append(fixed);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.append(&[&length.to_ne_bytes()[..], &kind.to_ne_bytes()[..], value].concat());
    }

    fn append(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

/// `struct ifinfomsg` with the flag IFF_UP changed to on.
fn link_up(index: u32) -> [u8; 16] {
    let mut out = [0; 16];
    out[4..8].copy_from_slice(&index.to_ne_bytes());
    out[8] = 1;
    out[12] = 1;
    out
}

/// `struct rtmsg` in the main table, by protocol boot, unicast.
fn route(prefix: u8, scope: u8) -> [u8; 12] {
    [libc::AF_INET as u8, prefix, 0, 0, 254, 3, scope, 1, 0, 0, 0, 0]
}

fn batch(network: &Parsed, loopback: u32, index: u32) -> Batch {
    let mut batch = Batch::default();
    batch.begin(libc::RTM_NEWLINK, 0, &link_up(loopback));
    batch.begin(libc::RTM_NEWLINK, 0, &link_up(index));
    batch.attribute(libc::IFLA_ADDRESS, &network.mac);
    batch.attribute(libc::IFLA_MTU, &network.mtu.to_ne_bytes());
    // struct ifaddrmsg: family, prefix, flags, scope, index.
    let mut address = vec![libc::AF_INET as u8, 32, 0, 0];
    address.extend_from_slice(&index.to_ne_bytes());
    batch.begin(libc::RTM_NEWADDR, CREATE_REPLACE, &address);
    batch.attribute(libc::IFA_LOCAL, &network.address);
    batch.attribute(libc::IFA_ADDRESS, &network.address);
    // struct ndmsg: family, index, state permanent, flags, type.
    let mut neighbour = vec![libc::AF_INET as u8, 0, 0, 0];
    neighbour.extend_from_slice(&index.to_ne_bytes());
    neighbour.extend_from_slice(&[0x80, 0, 0, 0]);
    batch.begin(libc::RTM_NEWNEIGH, CREATE_REPLACE, &neighbour);
    batch.attribute(libc::NDA_DST, &network.gateway);
    batch.attribute(libc::NDA_LLADDR, &network.gateway_mac);
    batch.begin(libc::RTM_NEWROUTE, CREATE_REPLACE, &route(32, libc::RT_SCOPE_LINK));
    batch.attribute(libc::RTA_DST, &network.gateway);
    batch.attribute(libc::RTA_OIF, &index.to_ne_bytes());
    batch.begin(libc::RTM_NEWROUTE, CREATE_REPLACE, &route(0, libc::RT_SCOPE_UNIVERSE));
    batch.attribute(libc::RTA_GATEWAY, &network.gateway);
    batch.attribute(libc::RTA_OIF, &index.to_ne_bytes());
    batch.attribute(libc::RTA_PREFSRC, &network.address);
    batch
}

struct Parsed {
    mac: [u8; 6],
    gateway_mac: [u8; 6],
    address: [u8; 4],
    gateway: [u8; 4],
    mtu: u32,
}

fn parse_mac(text: &str) -> Outcome<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None }).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Failure::bad(format!("{text:?} is not a MAC address")))
}

fn parse_address(text: &str) -> Outcome<[u8; 4]> {
    text.parse::<Ipv4Addr>().map(|a| a.octets()).map_err(|_| Failure::bad(format!("{text:?} is not an IPv4 address")))
}

impl Parsed {
    fn new(network: &Network) -> Outcome<Parsed> {
        if !(576..=65535).contains(&network.mtu) {
            return Err(Failure::bad(format!("an MTU of {} is out of range", network.mtu)));
        }
        Ok(Parsed {
            mac: parse_mac(&network.mac_address)?,
            gateway_mac: parse_mac(&network.gateway_mac_address)?,
            address: parse_address(&network.address)?,
            gateway: parse_address(&network.gateway_address)?,
            mtu: network.mtu,
        })
    }
}

fn index_of(name: &str) -> Outcome<u32> {
    std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| Failure::new(Code::Internal, format!("the VM has no network interface {name}")))
}

const STEPS: [&str; 6] = ["loopback up", "eth0 up", "address", "gateway neighbour", "gateway route", "default route"];

fn send(batch: &Batch) -> Outcome<()> {
    let socket = sys::netlink().step(Code::Internal, "open netlink")?;
    sys::write(socket.as_raw_fd(), &batch.bytes).step(Code::Internal, "send to netlink")?;
    let mut buffer = [0; 8192];
    let mut acknowledged = 0;
    while acknowledged < batch.count {
        let count = sys::read(socket.as_raw_fd(), &mut buffer).step(Code::Internal, "read from netlink")?;
        let mut rest = &buffer[..count];
        while let Some(&[a, b, c, d]) = rest.first_chunk::<4>() {
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            // struct nlmsgerr behind the header: the negative errno.
            let (true, Some(error)) = (length >= 20, rest.get(16..20)) else { break };
            let error = error.iter().rev().fold(0i32, |all, byte| (all << 8) | i32::from(*byte));
            if error != 0 {
                let step = STEPS.get(acknowledged as usize).copied().unwrap_or("netlink");
                let error = std::io::Error::from_raw_os_error(-error);
                return Err(Failure::new(Code::Internal, format!("set up the network: {step}: {error}")));
            }
            acknowledged += 1;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }
    Ok(())
}

pub fn configure(network: &Network) -> Outcome<()> {
    let parsed = Parsed::new(network)?;
    send(&batch(&parsed, index_of("lo")?, index_of("eth0")?))
}

/// An instance without an interface still has a loopback.
pub fn configure_loopback() -> Outcome<()> {
    let mut batch = Batch::default();
    batch.begin(libc::RTM_NEWLINK, 0, &link_up(index_of("lo")?));
    send(&batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed() -> Parsed {
        Parsed::new(&Network {
            mac_address: "02:00:00:00:00:2a".into(),
            address: "10.0.0.42".into(),
            gateway_address: "169.254.1.1".into(),
            gateway_mac_address: "02:ff:00:00:00:01".into(),
            mtu: 1450,
        })
        .unwrap()
    }

    #[test]
    fn messages_say_their_own_length_and_there_is_one_for_each_step() {
        let batch = batch(&parsed(), 1, 2);
        let mut rest = batch.bytes.as_slice();
        let mut sequence = 0;
        while !rest.is_empty() {
            sequence += 1;
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            assert_eq!(u32::from_ne_bytes(rest[8..12].try_into().unwrap()), sequence);
            assert_eq!(length % 4, 0);
            rest = &rest[length..];
        }
        assert_eq!(sequence as usize, STEPS.len());
    }

    #[test]
    fn bad_addresses_are_refused() {
        assert!(parse_mac("02:00:00:00:00").is_err());
        assert!(parse_mac("02:00:00:00:00:zz").is_err());
        assert!(parse_mac("02:00:00:00:00:1").is_err());
        assert!(parse_address("10.0.0").is_err());
        assert!(parse_address("fe80::1").is_err());
    }
}
