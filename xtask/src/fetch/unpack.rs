//! What was downloaded becomes the data set's folder.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

/// Puts a file into `folder`: as it is, or the content of the archive that it is.
pub fn place(file: &Path, unpack: bool, folder: &Path) -> Result<()> {
    if unpack {
        return archive(file, folder).with_context(|| format!("unpacking {}", file.display()));
    }
    let target = folder.join(file.file_name().context("a file without a name")?);
    // Copied, not moved: should a later step fail, the next attempt finds the download.
    fs::copy(file, &target).with_context(|| format!("copying {} to {}", file.display(), target.display()))?;
    Ok(())
}

/// Files and folders of a tar.gz archive, without their topmost folder, where they are in one. Nothing is written outside of `folder`.
fn archive(file: &Path, folder: &Path) -> Result<()> {
    let mut archive = Archive::new(MultiGzDecoder::new(BufReader::new(File::open(file)?)));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let is_file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        let inner = match without_top(&path)? {
            Some(inner) => inner,
            None if is_file => path.clone(),
            None => continue,
        };
        let target = folder.join(inner);
        match entry.header().entry_type() {
            EntryType::Directory => {
                fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?
            }
            EntryType::Regular | EntryType::Continuous => write(&mut entry, &target)?,
            EntryType::XGlobalHeader => {}
            other => bail!("{}: an entry of type {other:?}; only files and folders are expected", path.display()),
        }
    }
    Ok(())
}

fn write(entry: &mut dyn io::Read, target: &Path) -> Result<()> {
    let writing = || format!("writing {}", target.display());
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).with_context(writing)?;
    }
    io::copy(entry, &mut File::create(target).with_context(writing)?).with_context(writing)?;
    Ok(())
}

/// A path without its first part; nothing, if there is no other. Refuses what leads elsewhere.
fn without_top(path: &Path) -> Result<Option<PathBuf>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            _ => bail!("{}: it leads out of the archive", path.display()),
        }
    }
    Ok((parts.len() > 1).then(|| parts[1..].iter().collect()))
}
