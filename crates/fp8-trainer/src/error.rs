//! What can go wrong in a run.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::FieldError;

/// Origin of a configuration that is not known to be from a file.
pub const UNNAMED: &str = "configuration";

/// Something that a run cannot go on with. Files that were to be written are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that makes no sense.
    #[error("{origin}")]
    Config {
        /// The file.
        origin: String,
        /// The field and what is wrong with it.
        source: FieldError,
    },
    /// A file that cannot be read or written.
    #[error("{action} {}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file with a content that it should not have.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights that the model cannot take.
    #[error("{}", .path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: fp8_models::Error,
    },
    /// A training step that failed.
    #[error("step {step}")]
    Step {
        /// The step, from 0.
        step: u64,
        /// Why.
        source: fp8_autograd::Error,
    },
    /// A step that cannot be made with a batch.
    #[error("{}", .path.display())]
    Batch {
        /// The batch's file.
        path: PathBuf,
        /// Why not.
        source: fp8_autograd::Error,
    },
    /// A run that leads nowhere.
    #[error("step {step}: {reason}")]
    Diverged {
        /// The step, from 0.
        step: u64,
        /// What was seen, and what may help.
        reason: String,
    },
    /// A folder that cannot take this run.
    #[error("{}: {reason}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Translations that cannot be scored.
    #[error("{lines} translations and {reference_lines} references: as many are needed, and at least one")]
    References {
        /// Translations.
        lines: usize,
        /// References of one set.
        reference_lines: usize,
    },
    /// A line that cannot be translated.
    #[error("line {line}")]
    Line {
        /// From 1.
        line: usize,
        /// Why.
        source: fp8_data::Error,
    },
    /// A tokenizer that does not belong here, or is none.
    #[error("{}", .path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: fp8_data::Error,
    },
    /// Data that cannot be had.
    #[error("data")]
    Data(#[from] fp8_data::Error),
    /// A call of a model failed.
    #[error(transparent)]
    Model(#[from] fp8_models::Error),
    /// A call of a tensor operation failed.
    #[error(transparent)]
    Autograd(#[from] fp8_autograd::Error),
    /// A call of a kernel failed.
    #[error(transparent)]
    Kernel(#[from] fp8_kernels::Error),
}

impl Error {
    /// Of a run of a configuration that was read from `file`: names it where the configuration is at fault.
    #[must_use]
    pub fn of_configuration(mut self, file: &Path) -> Self {
        if let Self::Config { origin, .. } = &mut self
            && origin == UNNAMED
        {
            *origin = file.display().to_string();
        }
        self
    }

    /// For `map_err`: what was tried with which file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.into(), source }
    }

    /// A file's content is wrong.
    pub(crate) fn content(path: &Path, reason: impl ToString) -> Self {
        Self::Content { path: path.into(), reason: reason.to_string() }
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;
