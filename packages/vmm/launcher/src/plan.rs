//! What to build and run, as a sequence of NUL-terminated fields: a directive's name, then its values, up to `end`.
//!
//! Neither arguments nor paths can contain NUL, so nothing needs quoting. Unknown directives are refused.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::failure::Failure;

#[derive(Default)]
pub struct Plan {
    /// `program <path>`: inside the jail.
    pub program: PathBuf,
    /// `argument <value>`, in order.
    pub arguments: Vec<OsString>,
    /// `environment <name> <value>`: all there is.
    pub environment: Vec<(OsString, OsString)>,
    /// `user <number>`: user and group; never root, but for a zygote.
    pub user_id: u32,
    /// `bind <source> <target>`: files shown read-only in the jail's root, beside the system's libraries.
    pub binds: Vec<(PathBuf, String)>,
    /// `descriptors-at <name>`: a directory of the jail's root with the monitor's own descriptors in it, by number.
    pub descriptors_at: Option<String>,
    /// `file-bytes <number>`: no file the monitor writes may grow beyond it.
    pub file_bytes: Option<u64>,
    /// `kvm`: shows /dev/kvm.
    pub has_kvm: bool,
    /// `cgroup <directory>`: joined, in order.
    pub cgroups: Vec<PathBuf>,
    /// `stderr-bytes <number>`: how much of the monitor's standard error is kept.
    pub stderr_bytes: u64,
    /// `oom-score <number>`.
    pub out_of_memory_score: i32,
    pub descriptors: Vec<Descriptor>,
    /// `zygote`: the monitor is to be cloned. It keeps the right to become another user, so its guest has to be ours.
    pub is_zygote: bool,
    /// `clone-of <path>`: no program is run; the zygote that takes requests there makes a clone of itself, with
    /// `descriptors` in the place of its own, and as `user`.
    pub clone_of: Option<PathBuf>,
    /// `name <text>`: of a clone, what lists of processes show in the place of the zygote's name.
    pub name: String,
    /// Of a clone, what becomes of the zygote's other descriptors.
    pub changes: Vec<Change>,
}

/// What becomes of a descriptor of the zygote in a clone.
pub struct Change {
    pub number: i32,
    pub kind: ChangeKind,
}

pub enum ChangeKind {
    /// `copy <number> <other>`: the same as the descriptor that is given under the number `other`.
    Copy(i32),
    /// `new-event <number>`: an event descriptor of its own.
    NewEvent,
    /// `new-poll <number>`: an epoll descriptor of its own.
    NewPoll,
    /// `new-signals <number> <mask>`: a signal descriptor of its own, for the same signals.
    NewSignals(u32),
}

/// Something opened outside the jail that the monitor finds under a number.
pub struct Descriptor {
    pub number: i32,
    pub source: Source,
}

pub enum Source {
    /// `file-read <number> <path>`, `file-write <number> <path>`: must exist.
    File {
        path: PathBuf,
        is_writable: bool,
    },
    /// `bytes <number> <content>`: a sealed file in memory.
    Bytes(Vec<u8>),
    /// `listen <number> <path>`: a Unix stream socket that listens there.
    Listen(PathBuf),
    /// `tap <number> <namespace> <name>`: must exist in that network namespace. A namespace that was mounted after this
    /// process began is not seen here: the caller names it by a descriptor of its own.
    Tap {
        namespace: PathBuf,
        name: String,
    },
    /// `template-memory <number>`, `zygote-library <number>`: a library of `preload/`, which the environment has to name
    /// too.
    TemplateMemory,
    ZygoteLibrary,
    /// `requests <number> <path>`: a Unix datagram socket that is bound there.
    Requests(PathBuf),
    /// `threads <number>`: the directory of the monitor's threads.
    Threads,
    /// `tap-placeholder <number>`: leads nowhere, and goes with the monitor.
    PlaceholderTap,
}

impl Plan {
    pub fn parse(bytes: &[u8]) -> Result<Plan, Failure> {
        let mut fields = Fields { rest: bytes };
        let mut plan = Plan::default();
        loop {
            match fields.text()?.as_str() {
                "program" => plan.program = fields.path()?,
                "argument" => plan.arguments.push(fields.os_string()?),
                "environment" => plan.environment.push((fields.os_string()?, fields.os_string()?)),
                "user" => plan.user_id = fields.number()?,
                "bind" => plan.binds.push((fields.path()?, fields.text()?)),
                "descriptors-at" => plan.descriptors_at = Some(fields.text()?),
                "file-bytes" => plan.file_bytes = Some(fields.number()?),
                "kvm" => plan.has_kvm = true,
                "cgroup" => plan.cgroups.push(fields.path()?),
                "stderr-bytes" => plan.stderr_bytes = fields.number()?,
                "oom-score" => plan.out_of_memory_score = fields.number()?,
                "file-read" => {
                    fields.descriptor(&mut plan, |f| Ok(Source::File { path: f.path()?, is_writable: false }))?
                }
                "file-write" => {
                    fields.descriptor(&mut plan, |f| Ok(Source::File { path: f.path()?, is_writable: true }))?
                }
                "bytes" => fields.descriptor(&mut plan, |f| Ok(Source::Bytes(f.next()?.to_vec())))?,
                "listen" => fields.descriptor(&mut plan, |f| Ok(Source::Listen(f.path()?)))?,
                "tap" => fields.descriptor(&mut plan, |f| Ok(Source::Tap { namespace: f.path()?, name: f.text()? }))?,
                "template-memory" => fields.descriptor(&mut plan, |_| Ok(Source::TemplateMemory))?,
                "zygote-library" => fields.descriptor(&mut plan, |_| Ok(Source::ZygoteLibrary))?,
                "requests" => fields.descriptor(&mut plan, |f| Ok(Source::Requests(f.path()?)))?,
                "threads" => fields.descriptor(&mut plan, |_| Ok(Source::Threads))?,
                "tap-placeholder" => fields.descriptor(&mut plan, |_| Ok(Source::PlaceholderTap))?,
                "name" => plan.name = fields.text()?,
                "zygote" => plan.is_zygote = true,
                "clone-of" => plan.clone_of = Some(fields.path()?),
                "copy" => fields.change(&mut plan, |f| Ok(ChangeKind::Copy(f.number()?)))?,
                "new-event" => fields.change(&mut plan, |_| Ok(ChangeKind::NewEvent))?,
                "new-poll" => fields.change(&mut plan, |_| Ok(ChangeKind::NewPoll))?,
                "new-signals" => fields.change(&mut plan, |f| Ok(ChangeKind::NewSignals(f.number()?)))?,
                "end" => break,
                unknown => return Err(invalid(format!("unknown directive {unknown}"))),
            }
        }
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), Failure> {
        // A machine that would run as root is a mistake of the caller, never a wish.
        if (self.user_id == 0) != self.is_zygote {
            return Err(invalid("the user must be given and not be root, or the monitor be a zygote and have none"));
        }
        if self.clone_of.is_some() == self.program.is_absolute() {
            return Err(invalid("either a program must be given, by an absolute path, or a zygote"));
        }
        if self.clone_of.is_none() && !self.changes.is_empty() {
            return Err(invalid("only a clone has descriptors that change"));
        }
        if self.stderr_bytes == 0 {
            return Err(invalid("stderr-bytes must be given"));
        }
        for (index, one) in self.descriptors.iter().enumerate() {
            if self.descriptors[..index].iter().any(|other| other.number == one.number) {
                return Err(invalid(format!("descriptor {} is given twice", one.number)));
            }
        }
        let targets = self.binds.iter().map(|(_, target)| target).chain(&self.descriptors_at);
        if let Some(target) = targets.into_iter().find(|t| t.is_empty() || t.contains('/') || t.starts_with('.')) {
            return Err(invalid(format!("bind target {target:?} is not a plain file name")));
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new("read-plan", message)
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<&'a [u8], Failure> {
        let end = self.rest.iter().position(|&byte| byte == 0).ok_or_else(|| invalid("the plan is cut short"))?;
        let field = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(field)
    }

    fn text(&mut self) -> Result<String, Failure> {
        String::from_utf8(self.next()?.to_vec()).map_err(|_| invalid("a field is not UTF-8"))
    }

    fn os_string(&mut self) -> Result<OsString, Failure> {
        Ok(OsStr::from_bytes(self.next()?).to_owned())
    }

    fn path(&mut self) -> Result<PathBuf, Failure> {
        Ok(PathBuf::from(self.os_string()?))
    }

    fn number<N: FromStr>(&mut self) -> Result<N, Failure> {
        let text = self.text()?;
        text.parse().map_err(|_| invalid(format!("{text:?} is not a number in range")))
    }

    fn change(
        &mut self,
        plan: &mut Plan,
        kind: impl FnOnce(&mut Self) -> Result<ChangeKind, Failure>,
    ) -> Result<(), Failure> {
        let number = self.number()?;
        // Also the standard streams, which a clone has of its zygote.
        if !(0..1000).contains(&number) {
            return Err(invalid(format!("descriptor {number} is not between 0 and 999")));
        }
        plan.changes.push(Change { number, kind: kind(self)? });
        Ok(())
    }

    fn descriptor(
        &mut self,
        plan: &mut Plan,
        source: impl FnOnce(&mut Self) -> Result<Source, Failure>,
    ) -> Result<(), Failure> {
        let number = self.number()?;
        // 0 to 3 are the standard streams and the control socket.
        if !(4..1000).contains(&number) {
            return Err(invalid(format!("descriptor {number} is not between 4 and 999")));
        }
        plan.descriptors.push(Descriptor { number, source: source(self)? });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "program\0/bin/q\0user\07\0stderr-bytes\01\0";

    fn parse(extra: &str) -> Result<Plan, String> {
        Plan::parse(format!("{LEAST}{extra}end\0").as_bytes()).map_err(|failure| failure.message)
    }

    #[test]
    fn reads_every_directive() {
        let plan = parse("argument\0-x\0argument\0\0tap\010\0/run/netns/a\0t0\0bytes\011\0a\nb\0kvm\0").unwrap();
        assert_eq!(plan.arguments, ["-x", ""]);
        assert_eq!(plan.descriptors.len(), 2);
        assert!(plan.has_kvm);
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for (extra, expected) in [
            ("shell\0x\0", "unknown directive"),
            ("user\00\0", "not be root"),
            ("user\0-1\0", "not a number"),
            ("listen\03\0/s\0", "not between"),
            ("listen\04\0/s\0listen\04\0/t\0", "twice"),
            ("bind\0/k\0../k\0", "plain file name"),
        ] {
            let message = parse(extra).err().unwrap_or_default();
            assert!(message.contains(expected), "{extra:?}: {message}");
        }
        assert!(Plan::parse(b"program\0/bin/q\0end").is_err());
    }

    #[test]
    fn a_clone_has_a_zygote_for_a_program_and_a_zygote_no_user() {
        let of = |text: &str| {
            Plan::parse(format!("stderr-bytes\01\0{text}end\0").as_bytes()).map_err(|failure| failure.message)
        };
        let plan = of("user\07\0clone-of\0/z\0name\0isopod-a\0listen\010\0/s\0copy\012\010\0new-event\05\0new-poll\06\0new-signals\07\09\0").unwrap();
        assert_eq!((plan.changes.len(), plan.name.as_str()), (4, "isopod-a"));
        assert!(of("program\0/bin/q\0zygote\0requests\08\0/r\0threads\07\0").is_ok());
        for (text, expected) in [
            ("user\07\0clone-of\0/z\0program\0/bin/q\0", "either a program"),
            ("user\07\0program\0/bin/q\0new-poll\05\0", "only a clone"),
            ("user\07\0zygote\0program\0/bin/q\0", "not be root"),
            ("clone-of\0/z\0", "not be root"),
            ("user\07\0clone-of\0/z\0new-poll\0-1\0", "not between"),
        ] {
            let message = of(text).err().unwrap_or_default();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }
}
