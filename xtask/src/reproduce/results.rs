//! What `cargo xtask reproduce` found out: the content of `results.json`, from which every report is rendered.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::provenance::Provenance;
use crate::repository;
use crate::runs::{Failure, Run};

/// A set of runs, model x recipe x seed, and how they were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
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
}

/// The images that the runs saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSet {
    pub name: String,
    /// Whether these are the images of the paper's own experiment.
    pub is_imagenet: bool,
    pub training_images: usize,
    pub validation_images: usize,
    /// Training and validation images that the data set has, of which the runs may see a part.
    pub available: [usize; 2],
    pub classes: usize,
    /// Height and width.
    pub size: usize,
}

impl DataSet {
    /// Top-1 accuracy of guessing, percent.
    pub fn chance(&self) -> f64 {
        100.0 / self.classes.max(1) as f64
    }
}

impl Results {
    /// Reads `results.json` of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a results file", path.display()))
    }

    /// Writes `results.json` into a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        repository::write_json(&folder.join("results.json"), self)
    }
}
