//! What the agent knows of its VM.

use crate::boot;
use crate::cgroup;
use crate::container::Container;
use crate::disks::Disks;
use crate::failure::{Code, Failure, Outcome, Step};
use crate::network::Network;
use crate::spec::{Configuration, Configured, ContainerStats, Info, Limits, Reidentification, State, Stats};
use crate::stages::Stages;
use crate::sys;
use crate::volumes::Volumes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::rc::Rc;

const MIN_ENTROPY_BYTES: usize = 32;
const MAX_ENTROPY_BYTES: usize = 4096;

pub struct Agent {
    pub started_micros: u64,
    pub ready_micros: u64,
    pub disks: RefCell<Disks>,
    network: RefCell<Network>,
    pub volumes: RefCell<Volumes>,
    /// None while one of that name is starting.
    pub containers: RefCell<BTreeMap<String, Option<Rc<Container>>>>,
    limits: RefCell<Option<Limits>>,
    is_cpu_limited: Cell<bool>,
    is_configuring: Cell<bool>,
}

impl Agent {
    pub fn new(started_micros: u64, ready_micros: u64, disks: Disks, network: Network) -> Agent {
        Agent {
            started_micros,
            ready_micros,
            disks: RefCell::new(disks),
            network: RefCell::new(network),
            volumes: RefCell::default(),
            containers: RefCell::default(),
            limits: RefCell::default(),
            is_cpu_limited: Cell::new(false),
            is_configuring: Cell::new(false),
        }
    }

    pub fn info(&self) -> Info {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kilobytes = memory.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        Info {
            version: env!("CARGO_PKG_VERSION"),
            started_micros: self.started_micros,
            ready_micros: self.ready_micros,
            kernel_release: sys::kernel_release(),
            vcpus: sys::processors(),
            memory_bytes: kilobytes * 1024,
            is_configured: self.limits.borrow().is_some(),
        }
    }

    pub fn check_configured(&self) -> Outcome<()> {
        match self.limits.borrow().is_some() {
            true => Ok(()),
            false => Err(Failure::bad("the VM is not configured yet")),
        }
    }

    /// Makes a booted VM this instance. A failure is final: the VM is then thrown away.
    pub fn configure(&self, configuration: &Configuration) -> Outcome<Configured> {
        if self.is_configuring.replace(true) {
            return Err(Failure::new(Code::AlreadyExists, "the VM is configured already"));
        }
        let mut stages = Stages::new();
        seed(&configuration.entropy)?;
        stages.done("entropy");
        set_clock_and_name(configuration.epoch_micros, &configuration.hostname)?;
        self.network.borrow_mut().configure(configuration.network.as_ref())?;
        stages.done("network");
        write_pod_files(&configuration.hostname, &configuration.resolv_conf, &configuration.hosts)?;
        stages.done("files");
        self.disks.borrow_mut().mount_scratch(&configuration.scratch.disk_serial)?;
        stages.done("scratch");
        cgroup::limit_pod(&configuration.limits)?;
        *self.limits.borrow_mut() = Some(configuration.limits.clone());
        stages.done("cgroup");
        Ok(Configured { stage_micros: stages.into_micros() })
    }

    /// Makes a running instance that was restored from a snapshot another one: its containers go on. Doing it again
    /// with the same changes nothing but the clock and the random state.
    pub fn reidentify(&self, new: &Reidentification) -> Outcome<()> {
        self.check_configured()?;
        seed(&new.entropy)?;
        set_clock_and_name(new.epoch_micros, &new.hostname)?;
        self.network.borrow_mut().configure(new.network.as_ref())?;
        write_pod_files(&new.hostname, &new.resolv_conf, &new.hosts)
    }

    /// The pod's CPU quota begins with its first program, so that it does not slow the start.
    pub fn limit_pod_cpu(&self) -> Outcome<()> {
        match &*self.limits.borrow() {
            Some(limits) if !self.is_cpu_limited.replace(true) => cgroup::limit_pod_cpu(limits),
            _ => Ok(()),
        }
    }

    pub fn reserve(&self, id: &str) -> Outcome<()> {
        let mut containers = self.containers.borrow_mut();
        if containers.contains_key(id) {
            return Err(Failure::new(Code::AlreadyExists, format!("there is a container {id:?} already")));
        }
        containers.insert(id.to_owned(), None);
        Ok(())
    }

    pub fn container(&self, id: &str) -> Outcome<Rc<Container>> {
        let found = self.containers.borrow().get(id).cloned().flatten();
        found.ok_or_else(|| Failure::new(Code::NotFound, format!("there is no container {id:?}")))
    }

    pub fn has(&self, id: &str, container: &Rc<Container>) -> bool {
        self.container(id).is_ok_and(|found| Rc::ptr_eq(&found, container))
    }

    pub fn states(&self) -> Vec<State> {
        self.containers.borrow().values().flatten().map(|container| container.state()).collect()
    }

    pub fn stats(&self) -> Outcome<Stats> {
        self.check_configured()?;
        let (scratch_total_bytes, scratch_free_bytes) =
            sys::space_of(c"/scratch").step(Code::Internal, "measure the scratch disk")?;
        let containers: Vec<ContainerStats> =
            self.containers.borrow().values().flatten().map(|container| cgroup::stats(&container.id)).collect();
        Ok(Stats { containers, scratch_total_bytes, scratch_free_bytes })
    }
}

/// Two forks of a template share the kernel's random state until this is done.
fn seed(entropy: &str) -> Outcome<()> {
    let entropy = BASE64_STANDARD.decode(entropy).map_err(|_| Failure::bad("entropy is not base64"))?;
    if !(MIN_ENTROPY_BYTES..=MAX_ENTROPY_BYTES).contains(&entropy.len()) {
        return Err(Failure::bad(format!("{} bytes of entropy are not between 32 and 4096", entropy.len())));
    }
    let random = sys::open(c"/dev/urandom", libc::O_RDWR, 0).step(Code::Internal, "open /dev/urandom")?;
    sys::reseed_random(random.as_raw_fd(), &entropy).step(Code::Internal, "reseed the kernel")
}

/// The host name is that of all containers: they share the agent's UTS namespace.
fn set_clock_and_name(epoch_micros: u64, hostname: &str) -> Outcome<()> {
    sys::set_wall_clock(epoch_micros).step(Code::Internal, "set the clock")?;
    check_hostname(hostname)?;
    sys::set_hostname(hostname).step(Code::Internal, "set the host name")
}

/// In place, as containers have these very files mounted.
fn write_pod_files(hostname: &str, resolv_conf: &str, hosts: &str) -> Outcome<()> {
    for (name, text) in [("resolv.conf", resolv_conf), ("hosts", hosts), ("hostname", &format!("{hostname}\n"))] {
        std::fs::write(format!("{}/{name}", boot::FILES), text).step(Code::Internal, &format!("write {name}"))?;
    }
    Ok(())
}

fn check_hostname(name: &str) -> Outcome<()> {
    let is_good =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if is_good { Ok(()) } else { Err(Failure::bad(format!("{name:?} is not a host name"))) }
}
