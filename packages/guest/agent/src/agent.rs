//! What the agent knows of its VM.

use crate::boot;
use crate::cgroup::Group;
use crate::container::{Container, Fresh};
use crate::disks::{self, Disks};
use crate::failure::{Code, Failure, Outcome, Step};
use crate::network::Network;
use crate::prepared::Prepared;
use crate::spec::{Configuration, ContainerStats, Info, Limits, Reidentification, State, Stats};
use crate::stages::Stages;
use crate::sys::{file, machine};
use crate::trash;
use crate::volumes::Volumes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
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
    pod: Group,
    /// Open before the instance is known, as opening is what costs.
    random: OwnedFd,
    pod_files: Vec<PodFile>,
    prepared: RefCell<Option<Prepared>>,
    /// Whether that could be prepared when the machine booted.
    has_first: bool,
    /// What the kernel is called before it is told otherwise.
    first_hostname: String,
    /// Of the containers' holdings: names are not used again.
    next_number: Cell<u64>,
    limits: RefCell<Option<Limits>>,
    is_cpu_limited: Cell<bool>,
    is_configuring: Cell<bool>,
}

impl Agent {
    /// Does before a fork what can be done.
    pub fn prepare(started_micros: u64) -> Outcome<Agent> {
        let mut disks = Disks::prepare()?;
        let network = Network::prepare()?;
        // Without a scratch disk or an image behind the slot, the first container is made like all others.
        let prepared = prepare_first(&mut disks);
        Ok(Agent {
            started_micros,
            ready_micros: machine::monotonic_micros(),
            disks: RefCell::new(disks),
            network: RefCell::new(network),
            pod: Group::pod()?,
            random: file::open(c"/dev/urandom", libc::O_RDWR, 0).step(Code::Internal, "open /dev/urandom")?,
            pod_files: boot::POD_FILES.iter().map(PodFile::make).collect::<Outcome<_>>()?,
            has_first: prepared.is_ok(),
            prepared: RefCell::new(prepared.ok()),
            first_hostname: machine::hostname(),
            next_number: Cell::new(1),
            volumes: RefCell::default(),
            containers: RefCell::default(),
            limits: RefCell::default(),
            is_cpu_limited: Cell::new(false),
            is_configuring: Cell::new(false),
        })
    }

    pub fn info(&self) -> Info {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kilobytes = memory.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        Info {
            version: env!("CARGO_PKG_VERSION"),
            started_micros: self.started_micros,
            ready_micros: self.ready_micros,
            kernel_release: machine::kernel_release(),
            vcpus: machine::processors(),
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
    pub fn configure(&self, configuration: &Configuration) -> Outcome<Stages> {
        if self.is_configuring.replace(true) {
            return Err(Failure::new(Code::AlreadyExists, "the VM is configured already"));
        }
        let mut stages = Stages::new();
        self.seed(&configuration.entropy)?;
        stages.done("entropy");
        set_clock_and_name(configuration.epoch_micros, &configuration.hostname)?;
        self.network.borrow_mut().configure(configuration.network.as_ref())?;
        stages.done("network");
        self.write_pod_files(&configuration.hostname, &configuration.resolv_conf, &configuration.hosts)?;
        stages.done("files");
        self.disks.borrow_mut().mount_scratch(&configuration.scratch.disk_serial)?;
        stages.done("scratch");
        self.pod.limit(&configuration.limits)?;
        *self.limits.borrow_mut() = Some(configuration.limits.clone());
        stages.done("cgroup");
        Ok(stages)
    }

    /// Makes a running instance that was restored from a snapshot another one: its containers go on. Doing it again
    /// with the same changes nothing but the clock and the random state.
    pub fn reidentify(&self, new: &Reidentification) -> Outcome<()> {
        self.check_configured()?;
        self.seed(&new.entropy)?;
        set_clock_and_name(new.epoch_micros, &new.hostname)?;
        self.network.borrow_mut().configure(new.network.as_ref())?;
        self.write_pod_files(&new.hostname, &new.resolv_conf, &new.hosts)
    }

    /// Makes an instance a VM again that was never configured, but for its clock and its random state. A failure is
    /// final: the VM is then thrown away.
    pub async fn reset(&self) -> Outcome<()> {
        self.check_configured()?;
        if let Some(id) = self.containers.borrow().keys().next() {
            return Err(Failure::bad(format!("there is a container {id:?} still: remove it before the reset")));
        }
        // From here on neither a container nor a volume can come.
        self.limits.take();
        self.next_number.set(1);
        let unused = self.prepared.take();
        if let Some(prepared) = unused {
            prepared.discard().await;
        }
        machine::set_hostname(&self.first_hostname).step(Code::Internal, "set the host name")?;
        self.network.borrow_mut().reset()?;
        for file in &self.pod_files {
            file.replace(NOTHING_YET).step(Code::Internal, "empty a file of the pod")?;
        }
        self.volumes.take();
        boot::renew_what_is_the_pods().step(Code::Internal, "empty what the containers shared")?;
        self.pod.unlimit()?;
        self.is_cpu_limited.set(false);
        let mut disks = self.disks.borrow_mut();
        // Volumes on disk.
        trash::empty(Path::new(boot::POD)).step(Code::Internal, "empty the scratch disk")?;
        disks.reset()?;
        let prepared = prepare_first(&mut disks);
        *self.prepared.borrow_mut() = if self.has_first { Some(prepared?) } else { prepared.ok() };
        boot::settle().step(Code::Internal, "settle")?;
        disks.make_placeholder()?;
        self.is_configuring.set(false);
        Ok(())
    }

    /// The pod's CPU quota begins with its first program, so that it does not slow the start.
    pub fn limit_pod_cpu(&self) -> Outcome<()> {
        match &*self.limits.borrow() {
            Some(limits) if !self.is_cpu_limited.replace(true) => self.pod.limit_cpu(limits),
            _ => Ok(()),
        }
    }

    /// The container that was prepared for the image on this disk, or a new one.
    pub fn take_prepared(&self, serial: &str) -> Outcome<Prepared> {
        let mut disks = self.disks.borrow_mut();
        if serial == disks::IMAGE_SERIAL {
            disks.take_in_image()?;
            if let Some(prepared) = self.prepared.take() {
                return Ok(prepared);
            }
        }
        let image = disks.mount_image(serial)?;
        Prepared::begin(self.next_number.replace(self.next_number.get() + 1), &image)
    }

    /// Two forks of a template share the kernel's random state until this is done.
    fn seed(&self, entropy: &str) -> Outcome<()> {
        let entropy = BASE64_STANDARD.decode(entropy).map_err(|_| Failure::bad("entropy is not base64"))?;
        if !(MIN_ENTROPY_BYTES..=MAX_ENTROPY_BYTES).contains(&entropy.len()) {
            return Err(Failure::bad(format!("{} bytes of entropy are not between 32 and 4096", entropy.len())));
        }
        machine::reseed_random(self.random.as_raw_fd(), &entropy).step(Code::Internal, "reseed the kernel")
    }

    /// In place, as containers have these very files mounted.
    fn write_pod_files(&self, hostname: &str, resolv_conf: &str, hosts: &str) -> Outcome<()> {
        let hostname = format!("{hostname}\n");
        for (file, text) in self.pod_files.iter().zip([resolv_conf, hosts, &hostname]) {
            file.replace(text).step(Code::Internal, "write a file of the pod")?;
        }
        Ok(())
    }

    pub fn reserve(&self, id: &str) -> Outcome<()> {
        let mut containers = self.containers.borrow_mut();
        if containers.contains_key(id) {
            return Err(Failure::new(Code::AlreadyExists, format!("there is a container {id:?} already")));
        }
        containers.insert(id.to_owned(), None);
        Ok(())
    }

    /// Ends what `reserve` began.
    pub fn settle(&self, id: String, outcome: Outcome<Fresh>) -> Outcome<Fresh> {
        let mut containers = self.containers.borrow_mut();
        match &outcome {
            Ok(fresh) => containers.insert(id, Some(fresh.container.clone())),
            Err(_) => containers.remove(&id),
        };
        outcome
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
            file::space_of(c"/scratch").step(Code::Internal, "measure the scratch disk")?;
        let containers: Vec<ContainerStats> = self
            .containers
            .borrow()
            .values()
            .flatten()
            .map(|container| container.holdings.group.stats(&container.id))
            .collect();
        Ok(Stats { containers, scratch_total_bytes, scratch_free_bytes })
    }
}

/// The container that a fork starts first. Its number is one that `next_number` never has.
fn prepare_first(disks: &mut Disks) -> Outcome<Prepared> {
    let image = disks.prepare_image()?;
    Prepared::begin(0, &image)?.finish()
}

/// The host name is that of all containers: they share the agent's UTS namespace.
fn set_clock_and_name(epoch_micros: u64, hostname: &str) -> Outcome<()> {
    machine::set_wall_clock(epoch_micros).step(Code::Internal, "set the clock")?;
    check_hostname(hostname)?;
    machine::set_hostname(hostname).step(Code::Internal, "set the host name")
}

/// A byte, so that writing the first text need not make a page.
const NOTHING_YET: &str = "\n";

/// A file of /etc that all containers have mounted.
struct PodFile {
    file: File,
    length: Cell<u64>,
}

impl PodFile {
    fn make(name: &&str) -> Outcome<PodFile> {
        let path = format!("{}/{name}", boot::FILES);
        let file = std::fs::OpenOptions::new().write(true).open(path).step(Code::Internal, "open a file of the pod")?;
        let file = PodFile { file, length: Cell::new(0) };
        file.replace(NOTHING_YET).step(Code::Internal, "write a file of the pod")?;
        Ok(file)
    }

    fn replace(&self, text: &str) -> std::io::Result<()> {
        let length = text.len() as u64;
        self.file.write_all_at(text.as_bytes(), 0)?;
        if length < self.length.replace(length) { self.file.set_len(length) } else { Ok(()) }
    }
}

fn check_hostname(name: &str) -> Outcome<()> {
    let is_good =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if is_good { Ok(()) } else { Err(Failure::bad(format!("{name:?} is not a host name"))) }
}
