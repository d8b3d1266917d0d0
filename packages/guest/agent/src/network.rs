//! The one interface of an instance, by route netlink.
//!
//! The address is a /32; the gateway is link-local and the same on every tap, reached by a host route and a permanent
//! neighbour entry, so that the guest never sends ARP. All of that but the entry is
//! there before a fork; an instance adds its MAC, which would take the entry away, then the entry and its address.
//! No route names a source address, so that routes outlive a change of it.

use crate::failure::{Code, Failure, Outcome, Step};
use crate::spec;
use crate::sys::{descriptor, interface};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE_REPLACE: u16 = 0x500;
const INTERFACE: &str = "eth0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gateway {
    address: [u8; 4],
    mac: [u8; 6],
    mtu: u32,
}

/// What `packages/network` gives every instance. Another gateway replaces it when it is named.
const USUAL: Gateway = Gateway { address: [169, 254, 1, 1], mac: [0x02, 0, 0xa9, 0xfe, 1, 1], mtu: 1450 };

/// Messages for one `write`; only the last one is acknowledged, a failure of any is told.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// What each message does, in order: its sequence number less one.
    steps: Vec<&'static str>,
    start: usize,
}

impl Batch {
    fn begin(&mut self, step: &'static str, kind: u16, flags: u16, fixed: &[u8]) {
        self.steps.push(step);
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        self.bytes.extend_from_slice(&(self.steps.len() as u32).to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.append(fixed);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.append(value);
    }

    fn append(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    fn acknowledge_last(&mut self) {
        self.bytes[self.start + 6] |= ACK as u8;
    }

    fn link(&mut self, step: &'static str, index: u32, is_up: bool) {
        // struct ifinfomsg with a change of the flag IFF_UP.
        let mut fixed = [0; 16];
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        fixed[8] = u8::from(is_up);
        fixed[12] = 1;
        self.begin(step, libc::RTM_NEWLINK, 0, &fixed);
    }

    fn address(&mut self, step: &'static str, kind: u16, flags: u16, index: u32, address: [u8; 4]) {
        // struct ifaddrmsg: family, prefix, flags, scope, index.
        let mut fixed = [libc::AF_INET as u8, 32, 0, 0, 0, 0, 0, 0];
        fixed[4..].copy_from_slice(&index.to_ne_bytes());
        self.begin(step, kind, flags, &fixed);
        self.attribute(libc::IFA_LOCAL, &address);
        self.attribute(libc::IFA_ADDRESS, &address);
    }

    fn neighbour(&mut self, step: &'static str, kind: u16, flags: u16, index: u32, gateway: &Gateway) {
        // struct ndmsg: family, index, state permanent, flags, type.
        let mut fixed = [libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0];
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        self.begin(step, kind, flags, &fixed);
        self.attribute(libc::NDA_DST, &gateway.address);
        self.attribute(libc::NDA_LLADDR, &gateway.mac);
    }

    fn route(&mut self, step: &'static str, kind: u16, flags: u16, prefix: u8, scope: u8) {
        // struct rtmsg in the main table, by protocol boot, unicast.
        let fixed = [libc::AF_INET as u8, prefix, 0, 0, 254, 3, scope, 1, 0, 0, 0, 0];
        self.begin(step, kind, flags, &fixed);
    }

    fn add_gateway(&mut self, index: u32, gateway: &Gateway) {
        self.link("eth0 up", index, true);
        self.attribute(libc::IFLA_MTU, &gateway.mtu.to_ne_bytes());
        self.route("gateway route", libc::RTM_NEWROUTE, CREATE_REPLACE, 32, libc::RT_SCOPE_LINK);
        self.attribute(libc::RTA_DST, &gateway.address);
        self.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.route("default route", libc::RTM_NEWROUTE, CREATE_REPLACE, 0, libc::RT_SCOPE_UNIVERSE);
        self.attribute(libc::RTA_GATEWAY, &gateway.address);
        self.attribute(libc::RTA_OIF, &index.to_ne_bytes());
    }

    fn remove_gateway(&mut self, index: u32, gateway: &Gateway) {
        self.route("old gateway route", libc::RTM_DELROUTE, 0, 32, libc::RT_SCOPE_LINK);
        self.attribute(libc::RTA_DST, &gateway.address);
        self.attribute(libc::RTA_OIF, &index.to_ne_bytes());
    }
}

/// What an instance was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    mac: [u8; 6],
    address: [u8; 4],
    gateway: Gateway,
}

fn parse_mac(text: &str) -> Outcome<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2).and_then(|part| u8::from_str_radix(part, 16).ok());
        *byte = part.ok_or_else(|| Failure::bad(format!("{text:?} is not a MAC address")))?;
    }
    match parts.next() {
        None => Ok(mac),
        Some(_) => Err(Failure::bad(format!("{text:?} is not a MAC address"))),
    }
}

fn parse_address(text: &str) -> Outcome<[u8; 4]> {
    text.parse::<Ipv4Addr>().map(|a| a.octets()).map_err(|_| Failure::bad(format!("{text:?} is not an IPv4 address")))
}

impl Own {
    fn new(network: &spec::Network) -> Outcome<Own> {
        if !(576..=65535).contains(&network.mtu) {
            return Err(Failure::bad(format!("an MTU of {} is out of range", network.mtu)));
        }
        let gateway = Gateway {
            address: parse_address(&network.gateway_address)?,
            mac: parse_mac(&network.gateway_mac_address)?,
            mtu: network.mtu,
        };
        Ok(Own { mac: parse_mac(&network.mac_address)?, address: parse_address(&network.address)?, gateway })
    }
}

fn index_of(name: &str) -> Option<u32> {
    std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}

fn mac_of(name: &str) -> Option<[u8; 6]> {
    parse_mac(std::fs::read_to_string(format!("/sys/class/net/{name}/address")).ok()?.trim()).ok()
}

/// What of the above the kernel has.
pub struct Network {
    socket: OwnedFd,
    /// None where the VM has no network card.
    interface: Option<u32>,
    /// The MAC that the card came with.
    first_mac: Option<[u8; 6]>,
    gateway: Option<Gateway>,
    own: Option<Own>,
}

impl Network {
    /// All that needs no address of an instance.
    pub fn prepare() -> Outcome<Network> {
        let socket = interface::netlink().step(Code::Internal, "open netlink")?;
        let interface = index_of(INTERFACE);
        let mut network = Network { socket, interface, first_mac: mac_of(INTERFACE), gateway: None, own: None };
        let mut batch = Batch::default();
        if let Some(index) = index_of("lo") {
            batch.link("loopback up", index, true);
        }
        network.send(batch)?;
        network.wait_for_an_address()?;
        Ok(network)
    }

    fn wait_for_an_address(&mut self) -> Outcome<()> {
        let Some(index) = self.interface else { return Ok(()) };
        let mut batch = Batch::default();
        batch.add_gateway(index, &USUAL);
        self.send(batch)?;
        self.gateway = Some(USUAL);
        Ok(())
    }

    /// Back to what `prepare` left.
    pub fn reset(&mut self) -> Outcome<()> {
        let Some(index) = self.interface else { return Ok(()) };
        // Its neighbours go with the MAC, its routes with its only address.
        if let Some(mac) = self.first_mac {
            interface::set_mac(self.socket.as_raw_fd(), INTERFACE, mac).step(Code::Internal, "set the MAC address")?;
        }
        let mut batch = Batch::default();
        if let Some(own) = self.own.take() {
            batch.address("old address", libc::RTM_DELADDR, 0, index, own.address);
        }
        self.send(batch)?;
        self.wait_for_an_address()
    }

    /// Makes the interface that of an instance; what an earlier instance had goes. The same again changes nothing.
    pub fn configure(&mut self, network: Option<&spec::Network>) -> Outcome<()> {
        let own = network.map(Own::new).transpose()?;
        match (self.interface, own) {
            (Some(index), Some(own)) => self.set(index, own),
            (None, Some(_)) => {
                Err(Failure::new(Code::Internal, format!("the VM has no network interface {INTERFACE}")))
            }
            // An instance without an interface has a loopback still.
            (Some(index), None) => self.take_away(index),
            (None, None) => Ok(()),
        }
    }

    fn set(&mut self, index: u32, own: Own) -> Outcome<()> {
        let old = self.own;
        // With it the kernel forgets all neighbours of the interface, permanent ones too.
        let has_new_mac = old.map(|old| old.mac) != Some(own.mac);
        if has_new_mac {
            interface::set_mac(self.socket.as_raw_fd(), INTERFACE, own.mac)
                .step(Code::Internal, "set the MAC address")?;
        }
        let mut batch = Batch::default();
        if self.gateway != Some(own.gateway) {
            batch.add_gateway(index, &own.gateway);
        }
        if has_new_mac || self.gateway != Some(own.gateway) {
            batch.neighbour("gateway neighbour", libc::RTM_NEWNEIGH, CREATE_REPLACE, index, &own.gateway);
        }
        if old.map(|old| old.address) != Some(own.address) {
            batch.address("address", libc::RTM_NEWADDR, CREATE_REPLACE, index, own.address);
            // Not before: with the last address of an interface its routes go.
            if let Some(old) = old {
                batch.address("old address", libc::RTM_DELADDR, 0, index, old.address);
            }
        }
        if let Some(gateway) = self.gateway.filter(|gateway| gateway.address != own.gateway.address) {
            batch.remove_gateway(index, &gateway);
            if !has_new_mac {
                batch.neighbour("old gateway neighbour", libc::RTM_DELNEIGH, 0, index, &gateway);
            }
        }
        self.send(batch)?;
        self.gateway = Some(own.gateway);
        self.own = Some(own);
        Ok(())
    }

    fn take_away(&mut self, index: u32) -> Outcome<()> {
        let mut batch = Batch::default();
        if let Some(own) = self.own.take() {
            batch.address("old address", libc::RTM_DELADDR, 0, index, own.address);
        }
        if self.gateway.take().is_some() {
            batch.link("eth0 down", index, false);
        }
        self.send(batch)
    }

    fn send(&self, mut batch: Batch) -> Outcome<()> {
        if batch.steps.is_empty() {
            return Ok(());
        }
        batch.acknowledge_last();
        descriptor::write(self.socket.as_raw_fd(), &batch.bytes).step(Code::Internal, "send to netlink")?;
        let mut buffer = [0; 2048];
        let mut failure = None;
        loop {
            let count =
                descriptor::read(self.socket.as_raw_fd(), &mut buffer).step(Code::Internal, "read from netlink")?;
            // struct nlmsghdr (sequence number at 8), then struct nlmsgerr: the negative errno.
            let word = |at: usize| Some(u32::from_ne_bytes(*buffer[..count].get(at..)?.first_chunk()?));
            let (Some(sequence), Some(error)) = (word(8), word(16)) else {
                return Err(Failure::new(Code::Internal, "netlink answers oddly"));
            };
            let error = error as i32;
            if error != 0 && failure.is_none() {
                let step = batch.steps.get(sequence as usize - 1).copied().unwrap_or("netlink");
                let error = std::io::Error::from_raw_os_error(-error);
                failure = Some(Failure::new(Code::Internal, format!("set up the network: {step}: {error}")));
            }
            if sequence as usize >= batch.steps.len() {
                return failure.map_or(Ok(()), Err);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> spec::Network {
        spec::Network {
            mac_address: "02:00:00:00:00:2a".into(),
            address: "10.0.0.42".into(),
            gateway_address: "169.254.1.1".into(),
            gateway_mac_address: "02:00:a9:fe:01:01".into(),
            mtu: 1450,
        }
    }

    #[test]
    fn messages_say_their_own_length_and_number_and_only_the_last_is_acknowledged() {
        let mut batch = Batch::default();
        batch.add_gateway(2, &USUAL);
        batch.address("address", libc::RTM_NEWADDR, CREATE_REPLACE, 2, [10, 0, 0, 42]);
        batch.acknowledge_last();
        let mut rest = batch.bytes.as_slice();
        let mut sequence = 0;
        while !rest.is_empty() {
            sequence += 1;
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            assert_eq!(u32::from_ne_bytes(rest[8..12].try_into().unwrap()), sequence);
            assert_eq!(rest[6] & ACK as u8 != 0, sequence as usize == batch.steps.len());
            assert_eq!(length % 4, 0);
            rest = &rest[length..];
        }
        assert_eq!(sequence as usize, batch.steps.len());
    }

    #[test]
    fn the_usual_gateway_is_the_one_hosts_name() {
        assert_eq!(Own::new(&network()).unwrap().gateway, USUAL);
    }

    #[test]
    fn bad_addresses_are_refused() {
        for mac in ["02:00:00:00:00", "02:00:00:00:00:zz", "02:00:00:00:00:1", "02:00:00:00:00:01:02", ""] {
            assert!(parse_mac(mac).is_err(), "{mac}");
        }
        assert!(parse_address("10.0.0").is_err());
        assert!(parse_address("fe80::1").is_err());
        assert!(Own::new(&spec::Network { mtu: 68, ..network() }).is_err());
    }
}
