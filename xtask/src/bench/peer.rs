//! The PyTorch side, as a process that does one piece of work a request.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::repository;

/// A running `tools/peer/cpu.py`; ends when dropped.
pub struct Peer {
    /// What it is, e.g. `torch 2.9.0, 2 threads`.
    pub name: String,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts the peer with the Python of `$FP8_PYTHON`, or `python3`.
    pub fn start(threads: usize) -> Result<Self> {
        let python = std::env::var_os("FP8_PYTHON").unwrap_or_else(|| OsString::from("python3"));
        let mut process = Command::new(&python)
            .arg(repository::root().join("tools/peer/cpu.py"))
            .args(["--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {} (set FP8_PYTHON to a Python with torch)", python.display()))?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("the peer's output")?);
        let mut peer = Self { name: String::new(), process, requests, answers };
        peer.name = peer.answer().context("set FP8_PYTHON to a Python that has torch and torchvision")?;
        Ok(peer)
    }

    /// Does `request` once; the seconds that it took.
    pub fn seconds(&mut self, request: &str) -> Result<f64> {
        let requests = self.requests.as_mut().context("the peer has ended")?;
        writeln!(requests, "{request}").with_context(|| format!("asking the peer for `{request}`"))?;
        let answer = self.answer().with_context(|| format!("the peer failed at `{request}`"))?;
        answer.parse().with_context(|| format!("the peer answered `{answer}` to `{request}`"))
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line).context("reading from the peer")? == 0 {
            bail!("the peer ended: see its message above");
        }
        Ok(line.trim().to_string())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its requests ends it.
        self.requests = None;
        let _ = self.process.wait();
    }
}
