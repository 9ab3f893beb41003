//! The manifests of `datasets/`: what a data set is, and where it comes from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use fp8_autograd::nearest;
use fp8_data::text::{Files, Source};
use serde::Deserialize;

/// `datasets/NAME.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub title: String,
    pub about: String,
    pub homepage: String,
    pub licence: String,
    /// What lies in the data set's folder.
    pub layout: Vec<String>,
    /// Number of classes, of images.
    pub classes: Option<usize>,
    /// Number of training images, or pairs of sentences; where it is known.
    pub training: Option<usize>,
    /// As `training`, for validation.
    pub validation: Option<usize>,
    /// Which files hold sentences; nothing, of images.
    pub text: Option<Text>,
    /// What to download; nothing, where the user must.
    #[serde(default, rename = "file")]
    pub files: Vec<File>,
}

/// Files of a text, by their place in the data set's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub training: Vec<Files>,
    pub validation: Vec<Files>,
}

/// A file to download.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    /// Where size and digest are published.
    pub digest_source: String,
    /// Whether it is a tar.gz archive: what is in its topmost folders, or in none, becomes the data set's.
    #[serde(default)]
    pub unpack: bool,
}

impl Manifest {
    /// That of the data set `name`.
    pub fn named(folder: &Path, name: &str) -> Result<Self> {
        let mut known = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?.file_name();
            known.extend(entry.to_str().and_then(|file| file.strip_suffix(".toml")).map(String::from));
        }
        known.sort();
        if !known.iter().any(|known| known == name) {
            let meant = nearest(name, &known).map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
            bail!("unknown data set {name:?}{meant}; choose one of {}", known.join(", "));
        }
        let path = folder.join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Reads and checks a manifest.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        for file in &manifest.files {
            let is_digest = file.sha256.len() == 64 && file.sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
            ensure!(is_digest, "{}: sha256 is not 64 lower-case hexadecimal digits", file.url);
            ensure!(file.digest_source.starts_with("https://"), "{}: digest_source is no address", file.url);
            let name = file.name();
            ensure!(!name.is_empty() && !name.starts_with('.'), "{}: it ends in no file name", file.url);
        }
        Ok(manifest)
    }
}

impl Text {
    /// The text in this folder.
    pub fn source(&self, folder: &Path) -> Source {
        let within = |files: &[Files]| {
            let join = |files: &Files| Files { source: folder.join(&files.source), target: folder.join(&files.target) };
            files.iter().map(join).collect()
        };
        Source::parallel(within(&self.training), within(&self.validation))
    }
}

impl File {
    /// The last part of its address.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}
