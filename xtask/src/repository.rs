//! Where the workspace is, what git knows of it, and how results are written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// The workspace's root directory: the one that the program is started in, or else the one that it was built in.
pub fn root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let is_root = |folder: &&Path| folder.join("xtask/Cargo.toml").is_file();
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    here.ancestors().find(is_root).unwrap_or_else(built).to_path_buf()
}

/// Where data sets lie: `$FP8_DATA`, or `data/` of the workspace.
pub fn data() -> PathBuf {
    std::env::var_os("FP8_DATA").map_or_else(|| root().join("data"), PathBuf::from)
}

/// Files of the working tree that are tracked, or new and not ignored; relative to the root, sorted.
pub fn files() -> Result<Vec<String>> {
    let listing = git(&["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut files: Vec<String> = listing.lines().map(String::from).filter(|file| root().join(file).is_file()).collect();
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

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").current_dir(root()).args(arguments).output().context("running git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("git printed something that is not UTF-8")
}
