//! Data that are not where the configuration has them.

use std::env;
use std::io::ErrorKind;

use anyhow::anyhow;
use fp8_trainer::Error;

/// Data sets that the repository's `cargo xtask fetch` knows.
const FETCHED: [&str; 7] = ["cifar10", "cifar100", "fashion-mnist", "imagenet", "imagenette", "multi30k", "wmt16"];

/// An error; where data are missing, with what may have been meant: where a relative path was looked for, and the command that fetches a data set
/// whose name the folder has.
pub fn told(error: Error) -> anyhow::Error {
    let missing = match &error {
        Error::Data(fp8_data::Error::Io { path, source }) if source.kind() == ErrorKind::NotFound => path.clone(),
        _ => return error.into(),
    };
    let mut text = format!("{:#}", anyhow::Error::from(error));
    if let Ok(here) = env::current_dir()
        && missing.is_relative()
    {
        text += &format!(
            "; the path is relative to the current directory, {}: run this where the data lie, or name their place, as in --set data.folder=DIR",
            here.display()
        );
    }
    let is_in = |name: &&str| missing.ancestors().any(|part| part.ends_with(name) && !part.exists());
    if let Some(name) = FETCHED.into_iter().find(is_in) {
        text += &format!("; `cargo xtask fetch {name}` downloads it or says where it is to be had");
    }
    anyhow!(text)
}
