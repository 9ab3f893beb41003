//! Where the workspace is, what git knows of it, and how results are written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

/// The root of the checkout that the program is started in, wherever it was built.
///
/// # Errors
/// Where there is none: nothing is to be written into a folder that has nothing to do with this.
pub fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("finding the current folder")?;
    let none = || format!("{} lies in no checkout of fp8: go into one", here.display());
    checkout(&here).map(Path::to_path_buf).with_context(none)
}

/// The checkout that a folder lies in. That of another project may have an `xtask` too.
fn checkout(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join("crates/fp8-trainer/Cargo.toml").is_file())
}

/// Where data sets lie: `$FP8_DATA`, or `data/` of the checkout.
///
/// # Errors
/// As [`root`].
pub fn data() -> Result<PathBuf> {
    match std::env::var_os("FP8_DATA") {
        Some(named) => Ok(named.into()),
        None => {
            Ok(root().map_err(|error| anyhow!("{error:#}, or name the folder of data sets in FP8_DATA"))?.join("data"))
        }
    }
}

/// Where results are written: the folder that was chosen, or a folder of the checkout.
///
/// # Errors
/// As [`root`], where none was chosen.
pub fn output(chosen: Option<&Path>, usual: impl AsRef<Path>) -> Result<PathBuf> {
    match chosen {
        Some(chosen) => Ok(chosen.into()),
        None => Ok(root().map_err(|error| anyhow!("{error:#}, or choose a folder with --output"))?.join(usual)),
    }
}

/// Files of the working tree that are tracked, or new and not ignored; relative to the root, sorted.
pub fn files() -> Result<Vec<String>> {
    let root = root()?;
    let listing = git(&root, &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut files: Vec<String> = listing.lines().map(String::from).filter(|file| root.join(file).is_file()).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Writes `value` as JSON, with the folders above: the old file or the new one is there at any time.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let json = serde_json::to_string_pretty(value).with_context(|| format!("{} as JSON", path.display()))?;
    let beside = path.with_extension("json.part");
    fs::write(&beside, json).with_context(|| format!("writing {}", beside.display()))?;
    fs::rename(&beside, path).with_context(|| format!("writing {}", path.display()))
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").current_dir(root).args(arguments).output().context("running git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("git printed something that is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_is_found_from_any_folder_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("other/xtask")).unwrap();
        fs::write(at("other/xtask/Cargo.toml"), "").unwrap();
        fs::create_dir_all(at("ours/crates/fp8-trainer/src")).unwrap();
        fs::write(at("ours/crates/fp8-trainer/Cargo.toml"), "").unwrap();
        for within in ["ours", "ours/crates", "ours/crates/fp8-trainer/src"] {
            assert_eq!(checkout(&at(within)), Some(at("ours").as_path()), "{within}");
        }
        assert_eq!(checkout(&at("other/xtask")), None);
    }
}
