//! `cargo xtask fetch NAME`: brings a data set of `datasets/NAME.toml` here, checked to the byte, or checks the one that is here.

mod download;
pub mod manifest;
#[cfg(test)]
mod tests;
mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};
use fp8_data::{Source, Split};

use crate::repository;
use crate::terminal::say;
use download::Origin;
use manifest::{Manifest, Text};

/// Options of `cargo xtask fetch`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Name of a manifest in datasets/: cifar10, cifar100, fashion-mnist, imagenet, imagenette, multi30k, wmt16
    name: String,
    /// Take the files from this folder, or from below this address, in place of their own
    #[arg(long, value_name = "URL|DIR")]
    mirror: Option<String>,
    /// Folder to put the data set into [default: NAME in $FP8_DATA, or data/NAME]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// Fetches, unpacks and checks a data set; what is already there and whole is left alone.
pub fn run(arguments: &Arguments) -> Result<()> {
    let manifest = Manifest::named(&repository::root()?.join("datasets"), &arguments.name)?;
    let into = arguments.into.clone().map_or_else(|| Ok(repository::data()?.join(&arguments.name)), Ok::<_, Error>)?;
    let into = std::path::absolute(&into).with_context(|| format!("{}", into.display()))?;
    fetch(&manifest, arguments.mirror.as_deref(), &into)
}

fn fetch(manifest: &Manifest, mirror: Option<&str>, into: &Path) -> Result<()> {
    let Manifest { title, about, licence, homepage, .. } = manifest;
    say(&format!("{title}: {about}\nLicence: {licence}\nHomepage: {homepage}"))?;
    if is_filled(into)? {
        let found = standing(manifest, into).with_context(|| {
            format!("{} is not the whole data set: complete it, or move it away and fetch again", into.display())
        })?;
        return say(&format!("Already there, {found}: {}", into.display()));
    }
    if manifest.files.is_empty() {
        bail!("{}", by_hand(manifest, into));
    }
    let downloads = beside(into, "download");
    let staging = beside(into, "unpacking");
    make_folder(&downloads)?;
    for file in &manifest.files {
        download::download(file, &Origin::of(file, mirror), &downloads)?;
    }
    if staging.exists() {
        fs::remove_dir_all(&staging).with_context(|| format!("removing {}", staging.display()))?;
    }
    make_folder(&staging)?;
    for file in &manifest.files {
        unpack::place(&downloads.join(file.name()), file.unpack, &staging)?;
    }
    check(manifest, &staging)?;
    if into.exists() {
        fs::remove_dir(into).with_context(|| format!("removing the empty {}", into.display()))?;
    }
    fs::rename(&staging, into).with_context(|| format!("renaming {} to {}", staging.display(), into.display()))?;
    fs::remove_dir_all(&downloads).with_context(|| format!("removing {}", downloads.display()))?;
    say(&format!("Ready: {} ({})", into.display(), manifest.layout.join(", ")))
}

/// How what is there was found, by its examples and by the digests of the files that are kept as they came.
fn standing(manifest: &Manifest, folder: &Path) -> Result<&'static str> {
    check(manifest, folder)?;
    for file in manifest.files.iter().filter(|file| !file.unpack) {
        let path = folder.join(file.name());
        let found = download::sha256(&path)?;
        ensure!(found == file.sha256, "{}: SHA-256 {found} instead of {}", path.display(), file.sha256);
    }
    let all_are_kept = !manifest.files.is_empty() && manifest.files.iter().all(|file| !file.unpack);
    Ok(if all_are_kept { "and whole" } else { "with the expected number of examples (digests not compared)" })
}

/// Brings one file from its own address into `folder`.
pub fn download(file: &manifest::File, folder: &Path) -> Result<()> {
    download::download(file, &Origin::of(file, None), folder)
}

/// Where to put what cannot be downloaded.
fn by_hand(manifest: &Manifest, into: &Path) -> String {
    let files: Vec<String> = manifest.layout.iter().map(|file| format!("\n  {}", into.join(file).display())).collect();
    format!(
        "nothing in {}, and this data set cannot be downloaded freely. Get it from its homepage and lay it out as{}\nthen run this command again to check it",
        into.display(),
        files.concat()
    )
}

/// Whether there is a folder with something in it.
fn is_filled(folder: &Path) -> Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("reading {}", folder.display())),
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))
}

/// `folder.suffix`.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Opens the data set as training does: counts images and classes and reads the first image of each part, or reads every pair of sentences.
fn check(manifest: &Manifest, folder: &Path) -> Result<()> {
    for (split, expected) in [(Split::Training, manifest.training), (Split::Validation, manifest.validation)] {
        let (what, found) = match &manifest.text {
            None => ("images", images(manifest, split, folder)?),
            Some(text) => ("pairs of sentences", pairs(text, split, folder)?),
        };
        if let Some(expected) = expected {
            ensure!(found == expected, "{found} {what} for {split} instead of {expected}");
        }
    }
    Ok(())
}

fn images(manifest: &Manifest, split: Split, folder: &Path) -> Result<usize> {
    let dataset = Source::detect(folder)?.of_any_size().open(split)?;
    let classes = dataset.classes().len();
    if let Some(expected) = manifest.classes {
        ensure!(classes == expected, "{classes} classes for {split} instead of {expected}");
    }
    dataset.get(0)?;
    Ok(dataset.len())
}

fn pairs(text: &Text, split: Split, folder: &Path) -> Result<usize> {
    Ok(text.source(folder).pairs(split)?.try_fold(0, |pairs, pair| pair.map(|_| pairs + 1))?)
}
