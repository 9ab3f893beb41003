//! Which data a reproduction sees: what `--data` asks for.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use fp8_autograd::nearest;

use crate::repository;

/// What `--data` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The paper's data where they are found, else generated ones.
    Auto,
    /// Generated data.
    Synthetic,
    /// A data set by its name, or a folder.
    Other(String),
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "synthetic" => Self::Synthetic,
            other => Self::Other(other.into()),
        })
    }
}

/// A data set with a name, as `cargo xtask fetch` leaves it.
pub struct Known {
    pub name: &'static str,
    pub title: &'static str,
    /// Folders within its own in which it may lie.
    pub inside: &'static [&'static str],
}

impl Choice {
    /// Opens what is asked for by `open`, which is given a folder; nothing where data are to be generated. `papers` is looked for by `auto`.
    ///
    /// # Errors
    /// Says where it was looked for, and how to get it.
    pub fn open<T>(&self, papers: &Known, others: &[Known], open: impl Fn(&Path) -> Result<T>) -> Result<Option<T>> {
        let name = match self {
            Self::Synthetic => return Ok(None),
            Self::Auto => {
                let found = papers.found(&open);
                return found.map_err(|error| anyhow!("{error:#}; --data synthetic does without it"));
            }
            Self::Other(name) => name,
        };
        if let Some(known) = others.iter().find(|known| known.name == name) {
            let Some(found) = known.found(&open)? else {
                bail!(
                    "no {} in {}: `cargo xtask fetch {name}` downloads it or says where it is to be had, and --data PATH takes it from \
                     elsewhere",
                    known.title,
                    repository::data()?.join(name).display()
                )
            };
            return Ok(Some(found));
        }
        let folder = PathBuf::from(name);
        if folder.is_file() {
            bail!("--data {name}: it is no folder")
        }
        if !folder.is_dir() {
            let words: Vec<&str> =
                ["auto", "synthetic"].into_iter().chain(others.iter().map(|known| known.name)).collect();
            let meant = nearest(name, &words).map(|word| format!(" (did you mean {word}?)")).unwrap_or_default();
            bail!("--data {name}: no such folder{meant}; choose {} or a folder", words.join(", "))
        }
        absolute(&folder, &open).map(Some)
    }
}

impl Known {
    /// The first of the folders `NAME/INSIDE` that exists with the data set in it.
    fn found<T>(&self, open: &impl Fn(&Path) -> Result<T>) -> Result<Option<T>> {
        let data = repository::data()?;
        let folders = self.inside.iter().map(|inside| data.join(self.name).join(inside));
        let mut opened = folders.filter(|folder| folder.is_dir()).map(|folder| absolute(&folder, open));
        let Some(first) = opened.next() else { return Ok(None) };
        if first.is_ok() { first } else { opened.find(Result::is_ok).unwrap_or(first) }.map(Some)
    }
}

/// What is resumed from another directory must be found again.
fn absolute<T>(folder: &Path, open: &impl Fn(&Path) -> Result<T>) -> Result<T> {
    open(&std::path::absolute(folder).with_context(|| format!("{}", folder.display()))?)
}

/// The last part of a path.
pub fn last(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
