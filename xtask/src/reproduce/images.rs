//! Which images a reproduction trains on.

use super::data::{Choice, Known, last};
use super::results::DataSet;
use super::scale::Setting;
use anyhow::{Context, Result};
use fp8_data::{Source, Split};
use fp8_trainer::Config;

const PAPERS: Known = Known { name: "imagenet", title: "ImageNet", inside: &["."] };
const CIFAR10: Known = Known { name: "cifar10", title: "CIFAR-10", inside: &[".", "cifar-10-batches-bin"] };

/// ImageNet-1k, ILSVRC 2012: classes, training images, validation images.
const IMAGENET: (usize, usize, usize) = (1000, 1_281_167, 50_000);

/// The images that are asked for.
///
/// # Errors
/// Says where they were looked for, and how to get them.
pub fn source(choice: &Choice, setting: &Setting) -> Result<Source> {
    let found = choice.open(&PAPERS, &[CIFAR10, PAPERS], |folder| Ok(Source::detect(folder)?))?;
    match found {
        Some(Source::Cifar10 { folder, held_out, any_size }) => {
            Ok(Source::Cifar10 { folder, held_out: setting.held_out.or(held_out), any_size })
        }
        Some(source) => Ok(source),
        None => Ok(Source::Generated(setting.generated.clone().try_into().context("the images to generate")?)),
    }
}

/// Name of the images in that of a folder.
pub fn kind(source: &Source) -> String {
    match source {
        Source::Generated(_) => "synthetic".into(),
        Source::Cifar10 { .. } => "cifar10".into(),
        Source::Cifar100 { folder, .. }
        | Source::Mnist { folder }
        | Source::FashionMnist { folder }
        | Source::Folder { folder } => last(folder),
    }
}

impl DataSet {
    /// What runs of `config`, which is of images, see.
    pub fn of_images(config: &Config) -> Result<Self> {
        let images = config.images().context("a configuration of images is wanted")?;
        let [training, validation] = [images.data.open(Split::Training)?, images.data.open(Split::Validation)?];
        let (classes, size) = (training.classes().len(), images.loader.size);
        let available = [training.len(), validation.len()];
        let limits = [images.loader.training_images, images.loader.validation_images];
        let used = [0, 1].map(|part| limits[part].unwrap_or(usize::MAX).min(available[part]));
        let is_folder = matches!(images.data, Source::Folder { .. });
        let of_imagenet = is_folder && (classes, training.len(), validation.len()) == IMAGENET;
        let name = name(&images.data, of_imagenet);
        let [training, validation] = [0, 1].map(|part| drawn(used[part], available[part]));
        Ok(Self {
            name: if used == available { name } else { format!("a part of {name}") },
            is_papers: of_imagenet && used == available,
            counts: format!("{training} training and {validation} validation images"),
            examples: format!("{classes} classes, {size}x{size}"),
            validation: used[1],
            chance: 100.0 / classes.max(1) as f64,
        })
    }
}

/// How many images, and of how many they are drawn.
fn drawn(used: usize, available: usize) -> String {
    match used == available {
        true => used.to_string(),
        false => format!("{used} (of {available}, drawn at random, the same in every run)"),
    }
}

fn name(source: &Source, is_imagenet: bool) -> String {
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
    use std::path::Path;

    use super::*;

    fn config(overrides: &[&str]) -> Config {
        Config::parse("", overrides).unwrap()
    }

    #[test]
    fn words_and_paths() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("data/mine".parse(), Ok(Choice::Other("data/mine".into())));
    }

    #[test]
    fn a_stand_in_is_not_imagenet() {
        let data = DataSet::of_images(&config(&[])).unwrap();
        assert!(!data.is_papers && data.name.contains("generated"), "{}", data.name);
        assert_eq!((data.examples.as_str(), data.chance), ("10 classes, 32x32", 10.0));
        assert_eq!(data.counts, "20000 training and 2000 validation images");
    }

    #[test]
    fn a_part_is_called_a_part() {
        let config = config(&["loader.training_images=100", "loader.validation_images=9000"]);
        let data = DataSet::of_images(&config).unwrap();
        assert!(data.name.starts_with("a part of "), "{}", data.name);
        let counts = "100 (of 20000, drawn at random, the same in every run) training and 2000 validation images";
        assert_eq!(data.counts, counts);
    }

    #[test]
    fn a_folder_without_data_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| {
            let choice = path.to_str().unwrap().parse().unwrap();
            format!(
                "{:#}",
                source(&choice, &Setting::parse("about = ''\ngenerated = {}\nrun = {}").unwrap()).unwrap_err()
            )
        };
        let missing = message(&folder.path().join("none"));
        assert!(missing.contains("none: no such folder"), "{missing}");
        assert!(message(Path::new("cifar11")).contains("did you mean cifar10?"));
        let file = message(Path::new("Cargo.toml"));
        assert!(file.contains("Cargo.toml: it is no folder"), "{file}");
        let empty = message(folder.path());
        assert!(empty.contains("no data set here"), "{empty}");
    }
}
