//! Where a result comes from: kept beside every run.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// What made a run, when and on what machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this crate.
    pub version: String,
    /// Commit of the sources that this was built from, where they still are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// UTC, RFC 3339.
    pub date: String,
    /// Name of the processor.
    pub processor: String,
    /// Logical cores.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Name of the backend, with instruction set and threads, e.g. `cpu (avx512, 2 threads)`.
    pub backend: String,
    /// Seed of the run.
    pub seed: u64,
}

impl Provenance {
    /// Of this process, on this machine, now.
    pub fn here(backend: String, seed: u64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: commit(),
            date: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
            processor: processor().unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            backend,
            seed,
        }
    }
}

fn commit() -> Option<String> {
    let arguments = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty=+changes", "--abbrev=12"];
    let output = Command::new("git").args(arguments).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_string();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

/// The first `model name` that Linux gives.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}
