//! The files of a run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::metrics::Record;
use crate::{Error, FolderLock, Result, files};

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
    /// Begins a new run in a folder. With `replace`, the metrics of a run that has left no checkpoint go.
    ///
    /// # Errors
    /// [`Error::Folder`] when a run is in it already; [`Error::File`] when it cannot be written.
    pub fn create(path: &Path, lock: FolderLock, replace: bool) -> Result<Self> {
        let metrics = path.join("metrics.jsonl");
        if metrics.exists() && !replace {
            let reason = "holds a run already: resume it (--resume), or choose another folder".into();
            return Err(Error::Folder { folder: path.into(), reason });
        }
        files::write(&metrics, b"")?;
        Self::open(path, lock)
    }

    /// Opens the folder of a run that has made `steps` steps; lines of metrics of later steps, which will be made again,
    /// are removed. Returns the others, too.
    pub fn resume(path: &Path, lock: FolderLock, steps: u64) -> Result<(Self, Vec<Record>)> {
        let metrics = path.join("metrics.jsonl");
        let text = String::from_utf8_lossy(&files::read(&metrics)?).into_owned();
        let is_before = |record: &Record| match record {
            Record::Step(record) => record.step < steps,
            Record::Epoch(record) => record.steps <= steps,
        };
        // The last line may be half written.
        let records: Vec<Record> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_before).collect();
        let lines = records.iter().map(line).collect::<Result<String>>()?;
        files::write(&metrics, lines.as_bytes())?;
        Ok((Self::open(path, lock)?, records))
    }

    fn open(path: &Path, lock: FolderLock) -> Result<Self> {
        let metrics = path.join("metrics.jsonl");
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
        self.metrics.write_all(line.as_bytes()).map_err(Error::file("writing", &self.path.join("metrics.jsonl")))
    }

    /// Writes a file of this folder.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        files::write(&self.path.join(name), bytes)
    }
}

fn line(record: &Record) -> Result<String> {
    let json = serde_json::to_string(record).map_err(|error| Error::content(Path::new("metrics.jsonl"), error))?;
    Ok(json + "\n")
}
