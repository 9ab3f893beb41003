//! Checkpoints: everything that the next step depends on, to the bit.
//!
//! A file is `fp8 checkpoint 2`, the SHA-256 digest of the rest, and the rest. Two are kept: `checkpoint` and the one before it,
//! `checkpoint.previous`, which serves when the newer one is damaged; that is then `checkpoint.damaged`, so that it never takes the place of
//! one that is whole.

use std::fs;
use std::path::{Path, PathBuf};

use fp8_autograd::{ParametersState, ScalerState};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::metrics::Tally;
use crate::{Error, Result, files};

/// The newest in a run's folder.
pub const NAME: &str = "checkpoint";
/// The one before it.
pub const PREVIOUS: &str = "checkpoint.previous";
/// One that could not be read.
const DAMAGED: &str = "checkpoint.damaged";

/// The first bytes of a checkpoint; the number changes with the layout.
const MAGIC: &[u8; 16] = b"fp8 checkpoint 2";
const DIGEST: usize = 32;

/// A run between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The resolved configuration as far as it changes the result, TOML.
    pub config: String,
    /// Masters, moments, numbers of updates, running statistics.
    pub parameters: ParametersState,
    /// The loss scaler.
    pub scaler: ScalerState,
    /// Where in the data the run stands, and what it has counted.
    pub progress: Progress,
}

/// Where in the data a run stands, and what it has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs done.
    pub epoch: u32,
    /// Batches done of the epoch under way.
    pub batch: u64,
    /// Over the training batches of the epoch under way.
    pub tally: Tally,
    /// Skipped steps of the epoch under way.
    pub skipped: u64,
    /// Examples of the epoch under way that were left out.
    pub left_out: u64,
    /// Steps skipped in a row at the same loss scale.
    pub stuck: u32,
    /// Time spent.
    pub seconds: f64,
}

/// Writes `folder/checkpoint`; the one that was there becomes the previous one.
pub fn save(folder: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let [path, previous] = paths(folder);
    let bytes = encode(checkpoint).map_err(|reason| Error::content(&path, reason))?;
    if path.exists() {
        // The newer one is missing until it is written: loading then finds the previous one.
        fs::rename(&path, &previous).map_err(Error::file("renaming", &path))?;
    }
    files::write(&path, &bytes)
}

/// Reads `folder/checkpoint`, or the previous one where that is missing or damaged; `None` where there is neither. A damaged one that the
/// previous one stands in for is renamed to `checkpoint.damaged`.
///
/// # Errors
/// [`Error::Content`] when what there is is damaged.
pub fn load(folder: &Path) -> Result<Option<Checkpoint>> {
    let read_or = |path: &Path, advice: &str| {
        let damaged = |reason| Error::content(path, format!("{reason}{advice}"));
        files::read(path).and_then(|bytes| decode(&bytes).map_err(damaged))
    };
    let read = |path: &Path| read_or(path, "; begin anew in another folder, or delete this one");
    let [path, previous] = paths(folder);
    match (path.exists(), previous.exists()) {
        (false, false) => Ok(None),
        (true, false) => read(&path).map(Some),
        (false, true) => read(&previous).map(Some),
        (true, true) => read_or(&path, "")
            .or_else(|error| {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "going on from {}", previous.display());
                let checkpoint = read(&previous)?;
                fs::rename(&path, folder.join(DAMAGED)).map_err(Error::file("renaming", &path))?;
                Ok(checkpoint)
            })
            .map(Some),
    }
}

fn paths(folder: &Path) -> [PathBuf; 2] {
    [NAME, PREVIOUS].map(|name| folder.join(name))
}

/// The one place that makes a checkpoint's bytes.
fn encode(checkpoint: &Checkpoint) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = [&MAGIC[..], &[0; DIGEST]].concat();
    let body = bincode::serde::encode_to_vec(checkpoint, bincode::config::standard());
    bytes.extend(body.map_err(|error| error.to_string())?);
    let (head, body) = bytes.split_at_mut(MAGIC.len() + DIGEST);
    head[MAGIC.len()..].copy_from_slice(&Sha256::digest(body));
    Ok(bytes)
}

/// The one place that reads a checkpoint's bytes.
fn decode(bytes: &[u8]) -> std::result::Result<Checkpoint, String> {
    let Some((head, body)) = bytes.split_at_checked(MAGIC.len() + DIGEST) else {
        return Err(format!("a checkpoint cut short: {} bytes", bytes.len()));
    };
    let (magic, digest) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("not a checkpoint of this version".into());
    }
    if *digest != *Sha256::digest(body) {
        return Err("a damaged checkpoint: its digest does not fit its content".into());
    }
    let decoded = bincode::serde::decode_from_slice(body, bincode::config::standard());
    decoded.map(|(checkpoint, _)| checkpoint).map_err(|error| format!("a checkpoint that cannot be read: {error}"))
}
