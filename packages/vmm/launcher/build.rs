//! Builds the library that a fork's monitor is loaded with, for the launcher to carry.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let source = "preload/template_memory.rs";
    println!("cargo::rerun-if-changed={source}");
    let target = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("template_memory.so");
    // By itself, as nothing of how the launcher is built fits a library: that is static and not to be moved.
    let built = Command::new(std::env::var_os("RUSTC").expect("cargo sets RUSTC"))
        .args(["--crate-type", "cdylib", "--edition", "2024", "--crate-name", "template_memory"])
        .args(["-C", "opt-level=z", "-C", "panic=abort", "-C", "strip=symbols"])
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-Wl,--build-id=none", "-C", "link-arg=-Wl,-z,now"])
        .arg("-o")
        .arg(&target)
        .arg(source)
        .status()
        .expect("rustc runs");
    assert!(built.success(), "{source} does not compile");
}
