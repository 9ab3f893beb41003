//! What `cargo xtask reproduce` found out: the content of `results.json`, from which every report is rendered.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::experiment::Experiment;
use crate::provenance::Provenance;
use crate::report::tables::{Compared, compared};
use crate::repository;
use crate::runs::{Failure, Run, inherit};

/// A set of runs, model x variant x seed, and how they were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Name of the experiment.
    pub experiment: String,
    /// Of the command that wrote this last; each run has its own.
    pub provenance: Provenance,
    pub data: DataSet,
    pub scale: String,
    /// What the scale means, in words.
    pub setting: String,
    /// Runs that were asked for; fewer are in `runs` while they are being made.
    pub planned: usize,
    pub runs: Vec<Run>,
    /// Runs that led nowhere.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// Differences from FP32, tested: computed from the runs when this is written.
    #[serde(default)]
    pub compared: Vec<Compared>,
}

/// What the runs saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSet {
    pub name: String,
    /// Whether these are the data of the paper's own experiment.
    pub is_papers: bool,
    /// How many examples there are for training and for validation, in words.
    pub counts: String,
    /// What an example is like, in words.
    pub examples: String,
    /// Examples for validation.
    pub validation: usize,
    /// The figure of who knows nothing of the example.
    pub chance: f64,
}

impl Results {
    /// Reads `results.json` of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut results: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is not a results file", path.display()))?;
        inherit(&results.provenance, &mut results.runs, &mut results.failures);
        Ok(results)
    }

    /// Writes `results.json` into a folder.
    pub fn write(&mut self, folder: &Path) -> Result<()> {
        self.compared = compared(Experiment::named(&self.experiment)?, self);
        repository::write_json(&folder.join("results.json"), self)
    }
}
