//! Builds the libraries that monitors are loaded with, for the launcher to carry.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=preload");
    build("template_memory", "preload/template_memory.rs");
    build("zygote", "preload/zygote/lib.rs");
}

/// By itself, as nothing of how the launcher is built fits a library: that is static and not to be moved.
fn build(name: &str, source: &str) {
    let directory = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let built = Command::new(std::env::var_os("RUSTC").expect("cargo sets RUSTC"))
        .args(["--crate-type", "cdylib", "--edition", "2024", "--crate-name", name])
        .args(["-C", "opt-level=z", "-C", "panic=abort", "-C", "strip=symbols"])
        .args(["-C", "link-arg=-nostartfiles", "-C", "link-arg=-Wl,--build-id=none", "-C", "link-arg=-Wl,-z,now"])
        .arg("-o")
        .arg(directory.join(format!("{name}.so")))
        .arg(Path::new(source))
        .status()
        .expect("rustc runs");
    assert!(built.success(), "{source} does not compile");
}
