//! How long the steps of a start take, for the start-time table.

use crate::sys::machine;
use std::collections::BTreeMap;

pub struct Stages {
    last_micros: u64,
    micros: BTreeMap<&'static str, u64>,
}

impl Stages {
    pub fn new() -> Stages {
        Stages { last_micros: machine::monotonic_micros(), micros: BTreeMap::new() }
    }

    /// The step that began with the one before has ended now.
    pub fn done(&mut self, name: &'static str) {
        self.done_at(name, machine::monotonic_micros());
    }

    /// The same, for a time that somebody else took.
    pub fn done_at(&mut self, name: &'static str, micros: u64) {
        self.micros.insert(name, micros.saturating_sub(self.last_micros));
        self.last_micros = micros;
    }

    pub fn into_micros(self) -> BTreeMap<&'static str, u64> {
        self.micros
    }
}
