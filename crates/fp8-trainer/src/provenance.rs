//! Where a result comes from: kept beside every run.

use std::process::Command;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// What made a run, when and on what machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this crate.
    pub version: String,
    /// See [`commit`].
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
            commit: commit().map(String::from),
            date: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
            processor: processor().unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            backend,
            seed,
        }
    }
}

/// Commit of the sources that this was built from, where they still are; it ends in `+changes` when the working tree differs from it. Elsewhere what
/// `$FP8_COMMIT` says, for programs that are carried to other machines. Asked once in a process: what is checked out later made no run of it.
pub fn commit() -> Option<&'static str> {
    static COMMIT: LazyLock<Option<String>> =
        LazyLock::new(|| checked_out().or_else(|| std::env::var("FP8_COMMIT").ok()));
    COMMIT.as_deref()
}

fn checked_out() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
    Some(commit + if changes { "+changes" } else { "" })
}

/// What git prints in the folder of the sources.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments).output().ok()?;
    output.status.success().then_some(())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().into())
}

/// A command to be pasted into a shell, with `FP8_ISA` where it is set, as it chooses kernels.
pub fn command(program: &str, arguments: impl IntoIterator<Item = String>) -> String {
    with_isa(std::env::var("FP8_ISA").ok(), program, arguments)
}

fn with_isa(isa: Option<String>, program: &str, arguments: impl IntoIterator<Item = String>) -> String {
    let isa = isa.map(|isa| format!("FP8_ISA={} ", quoted(&isa))).unwrap_or_default();
    let arguments: String = arguments.into_iter().map(|argument| format!(" {}", quoted(&argument))).collect();
    format!("{isa}{program}{arguments}")
}

/// A word as a shell takes it: in quotes, if it holds anything that a shell has a use for.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=,+%@".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The first `model name` that Linux gives.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let arguments = ["bench", "--only", "in cache", "--vary=a=1,2", "it's", ""].map(String::from);
        let pasted = r"FP8_ISA=amx cargo xtask bench --only 'in cache' --vary=a=1,2 'it'\''s' ''";
        assert_eq!(with_isa(Some("amx".into()), "cargo xtask", arguments), pasted);
        assert_eq!(with_isa(None, "fp8-trainer", ["train".into()]), "fp8-trainer train");
    }
}
