//! The PyTorch side, as a process that answers requests, one JSON object a line each way.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use fp8_trainer::Device;
use serde_json::{Value, json};

use crate::repository;

/// What to do when there is no peer to be had.
const ADVICE: &str = "the peer needs a Python with PyTorch: `pip install torch torchvision numpy`, then --peer=PYTHON or FP8_PYTHON names that Python";

/// A running program of `tools/peer`; ends when dropped.
pub struct Peer {
    /// What it is, e.g. `PyTorch 2.9.0, 2 threads`.
    pub name: String,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the peer for a device with this Python.
    pub fn start(python: &OsStr, device: Device, threads: usize) -> Result<Self> {
        let (program, card) = match device {
            Device::Cpu => ("cpu.py", None),
            Device::Cuda { ordinal, .. } => ("gpu.py", Some(ordinal.to_string())),
        };
        let mut process = Command::new(python)
            .arg(repository::root()?.join("tools/peer").join(program))
            .args(["--threads", &threads.to_string()])
            .args(card.iter().flat_map(|card| ["--card", card]))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}: {ADVICE}", python.display()))?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("the peer's output")?);
        let mut peer = Self { name: String::new(), process, requests, answers };
        let hello = peer.answer().with_context(|| format!("{}: {ADVICE}", python.display()))?;
        peer.name = hello["name"].as_str().with_context(|| format!("the peer began with {hello}"))?.into();
        Ok(peer)
    }

    /// Does the work of `request` `repeats` times; the mean seconds of one, and the most memory held, where it tells.
    pub fn time(&mut self, request: &Value, repeats: usize) -> Result<(f64, Option<usize>)> {
        let answer = self.ask(&json!({ "run": request, "repeats": repeats }))?;
        let seconds = answer["seconds"].as_f64().with_context(|| format!("the peer answered {answer} to {request}"))?;
        Ok((seconds, answer["peak_bytes"].as_u64().map(|bytes| bytes as usize)))
    }

    /// Drops the operands of all requests so far.
    pub fn forget(&mut self) -> Result<()> {
        self.ask(&json!({ "forget": true })).map(drop)
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        let requests = self.requests.as_mut().context("the peer has ended")?;
        writeln!(requests, "{request}").with_context(|| format!("asking the peer for {request}"))?;
        let answer = self.answer().with_context(|| format!("the peer failed at {request}"))?;
        match answer["error"].as_str() {
            Some(error) => bail!("the peer failed at {request}: {error}"),
            None => Ok(answer),
        }
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).context("reading from the peer")? == 0 {
            bail!("the peer ended: its message is above");
        }
        serde_json::from_str(&line).with_context(|| format!("the peer answered {:?}", line.trim()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its requests ends it.
        self.requests = None;
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_is_not_there_is_named_with_advice() {
        let error = Peer::start(OsStr::new("no-such-python"), Device::Cpu, 1).err().map(|error| format!("{error:#}"));
        let error = error.unwrap_or_default();
        assert!(error.contains("no-such-python") && error.contains("pip install torch"), "{error}");
    }
}
