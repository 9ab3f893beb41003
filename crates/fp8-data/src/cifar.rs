//! CIFAR-10 and CIFAR-100, binary version (Krizhevsky 2009; <https://www.cs.toronto.edu/~kriz/cifar.html>).
//!
//! A file is a sequence of records: one byte of label (CIFAR-100: coarse, then fine), then 32x32 bytes of red, of green, of blue.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Dataset, Error, Example, Image, Normalization, Result, Split};

/// Rows and columns of every image.
pub const SIZE: usize = 32;
const PIXELS: usize = SIZE * SIZE;

/// Which of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// 10 classes.
    Cifar10,
    /// 100 classes: the fine labels.
    Cifar100,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
        }
    }

    fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
        }
    }

    /// Bytes before the pixels of a record; the last of them is the label.
    fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    fn class_names(self) -> &'static str {
        match self {
            Self::Cifar10 => "batches.meta.txt",
            Self::Cifar100 => "fine_label_names.txt",
        }
    }

    /// Images of an official file.
    fn images(self, split: Split) -> usize {
        match (self, split) {
            (Self::Cifar100, Split::Training) => 50_000,
            _ => 10_000,
        }
    }

    /// Of all training images, as computed over the official files.
    fn normalization(self) -> Normalization {
        match self {
            Self::Cifar10 => Normalization { mean: [0.4914, 0.4822, 0.4465], deviation: [0.2470, 0.2435, 0.2616] },
            Self::Cifar100 => Normalization { mean: [0.5071, 0.4865, 0.4409], deviation: [0.2673, 0.2564, 0.2762] },
        }
    }

    /// The files of a part. `held_out`: this training batch of CIFAR-10 (1 to 5) takes the place of the test batch.
    fn files(self, split: Split, held_out: Option<u8>) -> Vec<String> {
        let batch = |number| format!("data_batch_{number}.bin");
        match (self, split, held_out) {
            (Self::Cifar10, Split::Training, _) => (1..=5).filter(|&n| Some(n) != held_out).map(batch).collect(),
            (Self::Cifar10, Split::Validation, Some(held_out)) => vec![batch(held_out)],
            (Self::Cifar10, Split::Validation, None) => vec!["test_batch.bin".into()],
            (Self::Cifar100, Split::Training, _) => vec!["train.bin".into()],
            (Self::Cifar100, Split::Validation, _) => vec!["test.bin".into()],
        }
    }
}

/// One part of CIFAR, in memory.
pub struct Cifar {
    description: String,
    variant: Variant,
    classes: Vec<String>,
    records: Vec<u8>,
}

impl Cifar {
    /// Opens the folder of the official binary files.
    ///
    /// CIFAR-10 is validated on `test_batch.bin`, or, with `held_out` from 1 to 5, on that training batch, which then is not trained on.
    /// Every size and every label is checked here. A file with other numbers of images than the official one is taken, as a set may be one's own, and told by
    /// a warning: it may have been cut where an image ends.
    pub fn open(folder: &Path, variant: Variant, split: Split, held_out: Option<u8>) -> Result<Self> {
        if let Some(batch) = held_out
            && (variant != Variant::Cifar10 || !(1..=5).contains(&batch))
        {
            let expected = "CIFAR-10 has training batches 1 to 5 to hold out, CIFAR-100 has none";
            return Err(Error::Option { option: "held_out", value: batch.to_string(), expected });
        }
        let classes = class_names(&folder.join(variant.class_names()), variant.classes())?;
        let files = variant.files(split, held_out);
        let mut records = Vec::new();
        let mut others = Vec::new();
        for file in &files {
            let images = read_records(folder.join(file), variant, &mut records)?;
            if images != variant.images(split) {
                others.push(format!("{file} {images}"));
            }
        }
        if !others.is_empty() {
            let (name, wanted) = (variant.name(), variant.images(split));
            let (folder, others) = (folder.display(), others.join(", "));
            tracing::warn!(
                "{folder}: {name}'s files of this kind have {wanted} images each, but here {others}: truncated, or a set of your own"
            );
        }
        let description = format!("{} {split} ({})", variant.name(), files.join(", "));
        Ok(Self { description, variant, classes, records })
    }

    fn record_len(&self) -> usize {
        record_len(self.variant)
    }
}

fn record_len(variant: Variant) -> usize {
    variant.label_bytes() + 3 * PIXELS
}

fn class_names(path: &Path, expected: usize) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    if names.len() != expected {
        return Err(Error::ClassNames { path: path.into(), expected, found: names.len() });
    }
    Ok(names)
}

/// Appends the records of a file: how many there are.
fn read_records(path: PathBuf, variant: Variant, records: &mut Vec<u8>) -> Result<usize> {
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let record = record_len(variant);
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        return Err(Error::Records { path, record, found: bytes.len() });
    }
    let labels = bytes.iter().skip(variant.label_bytes() - 1).step_by(record);
    if let Some((index, label)) =
        labels.map(|&label| usize::from(label)).enumerate().find(|(_, l)| *l >= variant.classes())
    {
        return Err(Error::Label { path, index, label, classes: variant.classes() });
    }
    records.extend_from_slice(&bytes);
    Ok(bytes.len() / record)
}

impl Dataset for Cifar {
    fn description(&self) -> &str {
        &self.description
    }

    fn len(&self) -> usize {
        self.records.len() / self.record_len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn channels(&self) -> usize {
        3
    }

    fn normalization(&self) -> Normalization {
        self.variant.normalization()
    }

    fn get(&self, index: usize) -> Result<Example> {
        let record = &self.records[index * self.record_len()..][..self.record_len()];
        let (labels, planes) = record.split_at(self.variant.label_bytes());
        let (red, rest) = planes.split_at(PIXELS);
        let (green, blue) = rest.split_at(PIXELS);
        let mut pixels = vec![0; 3 * PIXELS];
        for (pixel, ((&r, &g), &b)) in pixels.as_chunks_mut().0.iter_mut().zip(red.iter().zip(green).zip(blue)) {
            *pixel = [r, g, b];
        }
        let label = u32::from(labels[labels.len() - 1]);
        Ok(Example { image: Image { height: SIZE, width: SIZE, channels: 3, pixels }, label })
    }
}
