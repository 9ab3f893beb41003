//! Where figures come from: kept beside every one that is written down.

use std::fs;
use std::process::Command;

use fp8_trainer::provenance;
use serde::{Deserialize, Serialize};

use crate::repository;

/// What made some figures, when and on what machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// As [`provenance::command`] writes it.
    pub command: String,
    /// UTC, RFC 3339.
    pub date: String,
    /// That of [`provenance::commit`], or `unknown`.
    pub commit: String,
    pub machine: String,
    /// Name of the backend, e.g. `cpu (avx512, 2 threads)`.
    pub backend: String,
    pub compiler: String,
}

impl Provenance {
    /// Of this process, on this machine, now.
    pub fn here(backend: String) -> Self {
        let root = repository::root().unwrap_or_else(|_| ".".into());
        let compiler = Command::new("rustc").arg("--version").current_dir(root).output();
        Self {
            command: provenance::command("cargo xtask", std::env::args().skip(1)),
            date: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
            commit: provenance::commit().unwrap_or("unknown").into(),
            machine: machine(),
            backend,
            compiler: compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().into()).unwrap_or_default(),
        }
    }

    /// Names and values, for reports.
    pub fn lines(&self) -> [(&'static str, String); 6] {
        [
            ("Command", format!("`{}`", self.command)),
            ("Date", self.date.clone()),
            ("Commit", self.commit.clone()),
            ("Machine", self.machine.clone()),
            ("Backend", self.backend.clone()),
            ("Compiler", self.compiler.clone()),
        ]
    }
}

/// Processor, number of cores, memory, operating system.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = first_value("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let kibibytes =
        first_value("/proc/meminfo", "MemTotal").and_then(|total| total.split(' ').next()?.parse::<f64>().ok());
    let memory = kibibytes.map(|kibibytes| format!(", {:.0} GiB", kibibytes / (1 << 20) as f64)).unwrap_or_default();
    format!("{processor}, {cores} logical cores{memory}, {}", std::env::consts::OS)
}

/// The value of the first `name : value` line of a file.
fn first_value(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_string())
    })
}
