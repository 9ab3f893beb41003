//! The files of a run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::metrics::Record;
use crate::translate::TOKENIZER;
use crate::{Config, Error, FolderLock, Result, checkpoint, files};

const METRICS: &str = "metrics.jsonl";
const WEIGHTS: &str = "weights.safetensors";

/// The files that tell a run.
const RUN: [&str; 4] = [METRICS, checkpoint::NAME, checkpoint::PREVIOUS, WEIGHTS];

/// The files that a run writes beside their place.
const WRITTEN: [&str; 6] = [METRICS, checkpoint::NAME, WEIGHTS, "config.toml", "provenance.toml", TOKENIZER];

/// The folder of one run:
///
/// | file | content |
/// |---|---|
/// | `config.toml` | the resolved configuration |
/// | `provenance.toml` | machine, device, versions, date |
/// | `metrics.jsonl` | one [`Record`] a line |
/// | `checkpoint`, `checkpoint.previous` | to go on from |
/// | `checkpoint.damaged` | one that could not be read |
/// | `weights.safetensors` | the final weights |
/// | `tokenizer.json` | of translation: the vocabulary, whose digest stands in the weights' metadata |
/// | `.lock` | empty; locked while the run is under way |
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    _lock: FolderLock,
}

impl RunFolder {
    /// Begins a new run in a folder. With `resume`, the metrics of a run that was ended before its first checkpoint go.
    ///
    /// # Errors
    /// [`Error::Folder`] when a run is in it already, or what is left of one, or a configuration of another's; [`Error::File`] when it cannot
    /// be written.
    pub fn create(path: &Path, lock: FolderLock, resume: bool, config: &Config) -> Result<Self> {
        let metrics = path.join(METRICS);
        if resume {
            nothing_is_lost(path, config)?;
        } else if let Some(name) = RUN.into_iter().find(|name| path.join(name).exists()) {
            let reason = format!("holds a run already ({name}): resume it (--resume), or choose another folder");
            return refuse(path, reason);
        }
        if !metrics.exists() && holds_another(&path.join("config.toml"), config) {
            return refuse(path, "config.toml would be replaced: move it, or choose another folder for the run".into());
        }
        files::write(&metrics, b"")?;
        Self::open(path, lock)
    }

    /// Opens the folder of a run that has made so many steps and epochs; lines of metrics of later ones, which will be made again,
    /// are removed. Returns the others, too.
    ///
    /// Where the metrics are missing, they begin here, with a warning.
    pub fn resume(path: &Path, lock: FolderLock, steps: u64, epochs: u32) -> Result<(Self, Vec<Record>)> {
        let metrics = path.join(METRICS);
        if !metrics.exists() {
            tracing::warn!("{} is missing: it begins anew with step {steps}", metrics.display());
            files::write(&metrics, b"")?;
        }
        let is_before = |record: &Record| match record {
            Record::Step(record) => record.step < steps,
            Record::Epoch(record) => record.epoch <= epochs,
        };
        let mut records = read(&metrics)?;
        records.retain(is_before);
        let lines = records.iter().map(line).collect::<Result<String>>()?;
        files::write(&metrics, lines.as_bytes())?;
        Ok((Self::open(path, lock)?, records))
    }

    fn open(path: &Path, lock: FolderLock) -> Result<Self> {
        files::remove_parts(path, &WRITTEN)?;
        let metrics = path.join(METRICS);
        let file = OpenOptions::new().append(true).open(&metrics).map_err(Error::file("opening", &metrics))?;
        Ok(Self { path: path.into(), metrics: file, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line to the metrics.
    pub fn log(&mut self, record: &Record) -> Result<()> {
        let line = line(record)?;
        self.metrics.write_all(line.as_bytes()).map_err(Error::file("writing", &self.path.join(METRICS)))
    }

    /// Writes a file of this folder.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        files::write(&self.path.join(name), bytes)
    }
}

/// Refuses to begin anew where a run has made what only its checkpoint, which is gone, would let go on.
fn nothing_is_lost(path: &Path, config: &Config) -> Result<()> {
    let found = if path.join(WEIGHTS).exists() {
        Some(WEIGHTS.into())
    } else {
        let records = if path.join(METRICS).exists() { read(&path.join(METRICS))? } else { Vec::new() };
        let ends = |record: &Record| match record {
            Record::Epoch(record) if record.epoch >= config.log.checkpoint_every_epochs => Some(record.epoch),
            _ => None,
        };
        records.iter().find_map(ends).map(|epoch| format!("epoch {epoch} in {METRICS}"))
    };
    found.map_or(Ok(()), |found| {
        refuse(
            path,
            format!("holds a run ({found}) but no checkpoint to go on from: choose another folder, or empty this one"),
        )
    })
}

/// Whether there is a configuration that is not this one as it would be written.
fn holds_another(file: &Path, config: &Config) -> bool {
    file.exists() && files::read(file).map_or(true, |text| text != config.to_toml().as_bytes())
}

fn refuse<T>(folder: &Path, reason: String) -> Result<T> {
    Err(Error::Folder { folder: folder.into(), reason })
}

/// The records of a file. Only a half written last line, which has no end, is left out.
///
/// # Errors
/// [`Error::Content`] names another line that is no record.
fn read(metrics: &Path) -> Result<Vec<Record>> {
    let text = files::read(metrics)?;
    let mut records = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive(|&byte| byte == b'\n')) {
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) if line.trim_ascii().is_empty() || !line.ends_with(b"\n") => {}
            Err(error) => {
                let reason = format!("line {number} is no line of metrics ({error}): mend it, or remove it");
                return Err(Error::content(metrics, reason));
            }
        }
    }
    Ok(records)
}

fn line(record: &Record) -> Result<String> {
    let json = serde_json::to_string(record).map_err(|error| Error::content(Path::new(METRICS), error))?;
    Ok(json + "\n")
}
