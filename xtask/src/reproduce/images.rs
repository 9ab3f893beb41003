//! Which images a reproduction trains on.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use fp8_autograd::nearest;
use fp8_data::{Source, Split, generated};
use fp8_trainer::Config;

use super::results::DataSet;
use crate::repository;

/// What `--data` asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// ImageNet where it is found, else generated images.
    Auto,
    /// Images made by arithmetic.
    Synthetic,
    /// CIFAR-10, as `cargo xtask fetch cifar10` leaves it.
    Cifar10,
    /// The data set in this folder.
    Folder(PathBuf),
}

impl FromStr for Choice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "synthetic" => Self::Synthetic,
            "cifar10" => Self::Cifar10,
            path => Self::Folder(path.into()),
        })
    }
}

/// The values of `--data` that are no folders.
const WORDS: [&str; 3] = ["auto", "synthetic", "cifar10"];

/// ImageNet-1k, ILSVRC 2012: classes, training images, validation images.
const IMAGENET: (usize, usize, usize) = (1000, 1_281_167, 50_000);

impl Choice {
    /// Finds the data set.
    ///
    /// # Errors
    /// Says where it was looked for, and how to get it.
    pub fn source(&self, generated: &generated::Options) -> Result<Source> {
        let stand_in = || Source::Generated(generated.clone());
        match self {
            Self::Auto => Ok(found("imagenet", &["."]).transpose()?.unwrap_or_else(stand_in)),
            Self::Synthetic => Ok(stand_in()),
            Self::Cifar10 => match found("cifar10", &[".", "cifar-10-batches-bin"]) {
                Some(source) => source,
                None => bail!(
                    "no CIFAR-10 in {}: `cargo xtask fetch cifar10` downloads it, and --data PATH takes it from elsewhere",
                    repository::data().join("cifar10").display()
                ),
            },
            Self::Folder(folder) if folder.is_dir() => open(folder),
            Self::Folder(folder) => {
                let name = folder.to_string_lossy();
                let meant = nearest(&name, &WORDS).map(|word| format!(" (did you mean {word}?)")).unwrap_or_default();
                bail!("--data {name}: no such folder{meant}; choose {} or a folder", WORDS.join(", "))
            }
        }
    }
}

/// The first of the folders `NAME/INSIDE` that exists with a data set in it.
fn found(name: &str, inside: &[&str]) -> Option<Result<Source>> {
    let folders = inside.iter().map(|inside| repository::data().join(name).join(inside));
    let mut sources = folders.filter(|folder| folder.is_dir()).map(|folder| open(&folder));
    let first = sources.next()?;
    Some(if first.is_ok() { first } else { sources.find(Result::is_ok).unwrap_or(first) })
}

fn open(folder: &Path) -> Result<Source> {
    // What is resumed from another directory must be found again.
    let folder = std::path::absolute(folder).with_context(|| format!("{}", folder.display()))?;
    Ok(Source::detect(&folder)?)
}

impl DataSet {
    /// What runs of `config` see.
    pub fn of(config: &Config) -> Result<Self> {
        let images = config.images().context("a configuration of images is wanted")?;
        let [training, validation] = [images.data.open(Split::Training)?, images.data.open(Split::Validation)?];
        let classes = training.classes().len();
        let available = [training.len(), validation.len()];
        let limits = [images.loader.training_images, images.loader.validation_images];
        let used = [0, 1].map(|part| limits[part].unwrap_or(usize::MAX).min(available[part]));
        let is_folder = matches!(images.data, Source::Folder { .. });
        let of_imagenet = is_folder && (classes, training.len(), validation.len()) == IMAGENET;
        let name = name(&images.data, of_imagenet);
        Ok(Self {
            name: if used == available { name } else { format!("a part of {name}") },
            is_imagenet: of_imagenet && used == available,
            training_images: used[0],
            validation_images: used[1],
            available,
            classes,
            size: images.loader.size,
        })
    }

    /// How many images there are for training and for validation, and of how many they are drawn.
    pub fn counts(&self) -> String {
        let [training, validation] = [(self.training_images, 0), (self.validation_images, 1)].map(|(used, part)| {
            let all = self.available[part];
            if used == all {
                used.to_string()
            } else {
                format!("{used} (of {all}, drawn at random, the same in every run)")
            }
        });
        format!("{training} training and {validation} validation images")
    }
}

fn name(source: &Source, is_imagenet: bool) -> String {
    let last = |folder: &Path| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match source {
        Source::Generated(_) => "generated images (shapes and textures)".into(),
        Source::Cifar10 { held_out: None, .. } => "CIFAR-10".into(),
        Source::Cifar10 { held_out: Some(batch), .. } => format!("CIFAR-10, validated on training batch {batch}"),
        Source::Cifar100 { .. } => "CIFAR-100".into(),
        Source::Mnist { .. } => "MNIST".into(),
        Source::FashionMnist { .. } => "Fashion-MNIST".into(),
        Source::Folder { .. } if is_imagenet => "ImageNet-1k".into(),
        Source::Folder { folder } => format!("the photographs of {}", last(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(overrides: &[&str]) -> Config {
        Config::parse("", overrides).unwrap()
    }

    #[test]
    fn words_and_paths() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("data/mine".parse(), Ok(Choice::Folder("data/mine".into())));
    }

    #[test]
    fn a_stand_in_is_not_imagenet() {
        let data = DataSet::of(&config(&[])).unwrap();
        assert!(!data.is_imagenet && data.name.contains("generated"), "{}", data.name);
        assert_eq!((data.classes, data.size), (10, 32));
        assert_eq!(data.counts(), "20000 training and 2000 validation images");
    }

    #[test]
    fn a_part_is_called_a_part() {
        let data = DataSet::of(&config(&["loader.training_images=100", "loader.validation_images=9000"])).unwrap();
        assert!(data.name.starts_with("a part of "), "{}", data.name);
        let counts = "100 (of 20000, drawn at random, the same in every run) training and 2000 validation images";
        assert_eq!(data.counts(), counts);
    }

    #[test]
    fn a_folder_without_data_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        let error = Choice::Folder(missing).source(&generated::Options::default()).unwrap_err();
        assert!(format!("{error:#}").contains("none: no such folder"), "{error:#}");
        let error = Choice::Folder("cifar11".into()).source(&generated::Options::default()).unwrap_err();
        assert!(format!("{error:#}").contains("did you mean cifar10?"), "{error:#}");
        let empty = Choice::Folder(folder.path().into()).source(&generated::Options::default()).unwrap_err();
        assert!(format!("{empty:#}").contains("no data set here"), "{empty:#}");
    }
}
