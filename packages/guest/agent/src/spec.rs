//! The JSON of the contract (`packages/guest/src/contract.ts`). Unknown fields are refused: host and agent ship together.

use crate::identity::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    pub hostname: String,
    pub entropy: String,
    pub epoch_micros: u64,
    pub network: Option<Network>,
    pub resolv_conf: String,
    pub hosts: String,
    pub scratch: Scratch,
    pub limits: Limits,
}

/// The body of START: everything up to the first container, at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    pub configuration: Configuration,
    pub volumes: Vec<Volume>,
    pub container: ContainerSpec,
}

/// What is new about a running guest that was restored from a snapshot.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reidentification {
    pub hostname: String,
    pub entropy: String,
    pub epoch_micros: u64,
    pub network: Option<Network>,
    pub resolv_conf: String,
    pub hosts: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    pub mac_address: String,
    pub address: String,
    pub gateway_address: String,
    pub gateway_mac_address: String,
    pub mtu: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scratch {
    pub disk_serial: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    pub memory_bytes: Option<u64>,
    pub cpu_milli: Option<u64>,
    pub pids: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Seccomp {
    Default,
    Unconfined,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerSpec {
    pub id: String,
    pub image_disk_serial: String,
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: String,
    pub user: String,
    pub supplemental_groups: Vec<u32>,
    pub identity: Option<Identity>,
    pub capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub is_root_read_only: bool,
    pub is_terminal: bool,
    pub has_stdin: bool,
    pub is_stdin_once: bool,
    pub limits: Limits,
    pub rlimits: Vec<Rlimit>,
    pub mounts: Vec<Mount>,
    pub termination_message_path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    pub volume: String,
    pub path: String,
    pub sub_path: Option<String>,
    pub is_read_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    pub name: String,
    pub source: VolumeSource,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum VolumeSource {
    Empty { medium: Medium, size_limit_bytes: Option<u64> },
    Files { files: Vec<VolumeFile>, gid: Option<u32> },
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Medium {
    Disk,
    Memory,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeFile {
    pub path: String,
    pub mode: u32,
    pub content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecSpec {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: String,
    pub user: String,
    pub is_terminal: bool,
    pub has_stdin: bool,
    pub columns: Option<u16>,
    pub rows: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    pub columns: u16,
    pub rows: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    pub signal: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    pub version: &'static str,
    pub started_micros: u64,
    pub ready_micros: u64,
    pub kernel_release: String,
    pub vcpus: u32,
    pub memory_bytes: u64,
    pub is_configured: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configured {
    pub stage_micros: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    pub id: String,
    pub started_micros: u64,
    pub stage_micros: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitStatus {
    pub exit_code: i32,
    pub signal: i32,
    pub is_oom_killed: bool,
    pub started_micros: u64,
    pub finished_micros: u64,
    pub termination_message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub id: String,
    pub phase: &'static str,
    pub started_micros: u64,
    pub output_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    pub epoch_micros: u64,
    pub next_offset: u64,
    pub dropped_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub containers: Vec<ContainerStats>,
    pub scratch_total_bytes: u64,
    pub scratch_free_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStats {
    pub id: String,
    pub cpu_micros: u64,
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub pids: u64,
    pub oom_kills: u64,
}
