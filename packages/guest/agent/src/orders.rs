//! What a prepared container's first process is told through a pipe: how to become the program.
//!
//! Numbers are little-endian, texts and lists behind their length. Descriptors are named by their number in the agent,
//! from which the process takes them.

use crate::capabilities::Capabilities;
use crate::failure::{Failure, Outcome};
use crate::identity::Identity;
use crate::program::Program;
use crate::rlimits::Numbered;
use std::os::fd::RawFd;

#[derive(Debug, PartialEq, Eq)]
pub struct Orders {
    pub program: Program,
    pub is_terminal: bool,
    /// None: what the process was made with, which for stdin is /dev/null.
    pub stdin: Option<RawFd>,
    pub stdout: Option<RawFd>,
    /// Number of the terminal that becomes /dev/console.
    pub console: Option<u32>,
    pub is_root_read_only: bool,
    /// Which of the pod's files (`boot::POD_FILES`) are not covered by a mount.
    pub pod_files: [bool; 3],
    pub binds: Vec<Bind>,
    /// Where the file with the termination message is; "" for nowhere.
    pub termination_path: String,
}

/// A tree that the agent has opened, and where it belongs.
#[derive(Debug, PartialEq, Eq)]
pub struct Bind {
    pub tree: RawFd,
    pub target: String,
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn option(&mut self, number: Option<u64>) {
        self.number(number.map_or(u64::MAX, |number| number));
    }

    fn list<T>(&mut self, list: &[T], mut write: impl FnMut(&mut Writer, &T)) {
        self.number(list.len() as u64);
        for item in list {
            write(self, item);
        }
    }
}

struct Reader<'a>(&'a [u8]);

fn damaged() -> Failure {
    Failure::new(crate::failure::Code::Internal, "the orders of a container are damaged")
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Outcome<u64> {
        Ok(u64::from_le_bytes(*self.take(8)?.first_chunk().ok_or_else(damaged)?))
    }

    fn flag(&mut self) -> Outcome<bool> {
        Ok(self.take(1)? != [0])
    }

    fn text(&mut self) -> Outcome<String> {
        let length = self.number()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| damaged())
    }

    fn option(&mut self) -> Outcome<Option<u64>> {
        Ok(Some(self.number()?).filter(|number| *number != u64::MAX))
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Reader<'a>) -> Outcome<T>) -> Outcome<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| read(self)).collect()
    }
}

/// The length of what follows, in front of every order.
pub const HEADER: usize = 8;

impl Orders {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(4096));
        out.number(0);
        let program = &self.program;
        out.list(&program.args, |out, text| out.text(text));
        out.list(&program.env, |out, text| out.text(text));
        out.text(&program.working_directory);
        out.text(&program.user);
        out.list(&program.groups, |out, group| out.number(u64::from(*group)));
        out.flag(program.identity.is_some());
        if let Some(identity) = &program.identity {
            out.number(u64::from(identity.uid));
            out.number(u64::from(identity.gid));
            out.list(&identity.groups, |out, group| out.number(u64::from(*group)));
            out.text(&identity.home);
        }
        out.number(program.capabilities.mask());
        out.flag(program.no_new_privileges);
        out.flag(program.is_filtered);
        out.list(&program.rlimits, |out, limit| {
            out.number(u64::from(limit.resource));
            out.number(limit.soft);
            out.number(limit.hard);
        });
        out.flag(self.is_terminal);
        out.option(self.stdin.map(|fd| fd as u64));
        out.option(self.stdout.map(|fd| fd as u64));
        out.option(self.console.map(u64::from));
        out.flag(self.is_root_read_only);
        for is_bound in self.pod_files {
            out.flag(is_bound);
        }
        out.list(&self.binds, |out, bind| {
            out.number(bind.tree as u64);
            out.text(&bind.target);
        });
        out.text(&self.termination_path);
        let length = (out.0.len() - HEADER) as u64;
        out.0[..HEADER].copy_from_slice(&length.to_le_bytes());
        out.0
    }

    /// `told` is what follows the header.
    pub fn decode(told: &[u8]) -> Outcome<Orders> {
        let input = &mut Reader(told);
        let program = Program {
            args: input.list(Reader::text)?,
            env: input.list(Reader::text)?,
            working_directory: input.text()?,
            user: input.text()?,
            groups: input.list(|input| Ok(input.number()? as u32))?,
            identity: match input.flag()? {
                false => None,
                true => Some(Identity {
                    uid: input.number()? as u32,
                    gid: input.number()? as u32,
                    groups: input.list(|input| Ok(input.number()? as u32))?,
                    home: input.text()?,
                }),
            },
            capabilities: Capabilities::from_mask(input.number()?),
            no_new_privileges: input.flag()?,
            is_filtered: input.flag()?,
            rlimits: input.list(|input| {
                Ok(Numbered { resource: input.number()? as u32, soft: input.number()?, hard: input.number()? })
            })?,
        };
        Ok(Orders {
            program,
            is_terminal: input.flag()?,
            stdin: input.option()?.map(|fd| fd as RawFd),
            stdout: input.option()?.map(|fd| fd as RawFd),
            console: input.option()?.map(|number| number as u32),
            is_root_read_only: input.flag()?,
            pod_files: [input.flag()?, input.flag()?, input.flag()?],
            binds: input.list(|input| Ok(Bind { tree: input.number()? as RawFd, target: input.text()? }))?,
            termination_path: input.text()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Orders {
        Orders {
            program: Program {
                args: vec!["sh".into(), "-c".into(), String::new()],
                env: vec!["A=ü".into()],
                working_directory: "/w".into(),
                user: "web".into(),
                groups: vec![7],
                identity: Some(Identity { uid: 33, gid: 34, groups: vec![34, 50], home: "/srv".into() }),
                capabilities: Capabilities::from_mask(0xa804_25fb),
                no_new_privileges: true,
                is_filtered: false,
                rlimits: vec![Numbered { resource: 4, soft: 0, hard: u64::MAX }],
            },
            is_terminal: true,
            stdin: Some(5),
            stdout: None,
            console: Some(0),
            is_root_read_only: false,
            pod_files: [true, false, true],
            binds: vec![Bind { tree: 9, target: "/data".into() }],
            termination_path: "/dev/termination-log".into(),
        }
    }

    #[test]
    fn orders_arrive_as_they_were_given() {
        let told = orders().encode();
        assert_eq!(u64::from_le_bytes(told[..HEADER].try_into().unwrap()) as usize, told.len() - HEADER);
        assert_eq!(Orders::decode(&told[HEADER..]).unwrap(), orders());
    }

    #[test]
    fn orders_that_are_cut_off_are_refused() {
        let told = orders().encode();
        for end in HEADER..told.len() {
            assert!(Orders::decode(&told[HEADER..end]).is_err(), "{end}");
        }
    }
}
