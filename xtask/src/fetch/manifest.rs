//! The manifests of `datasets/`: what a data set is, and where it comes from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
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
    pub classes: usize,
    /// Number of training images.
    pub training: usize,
    /// Number of validation images.
    pub validation: usize,
    /// What to download; nothing, where the user must.
    #[serde(default, rename = "file")]
    pub files: Vec<File>,
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
    /// Whether it is a tar.gz archive, whose topmost folder's content becomes the data set's.
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
            bail!("unknown data set {name:?}: choose one of {}", known.join(", "));
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

impl File {
    /// The last part of its address.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}
