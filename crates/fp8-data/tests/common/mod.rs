//! Tiny data sets in the official layouts, and what is wrong with damaged ones.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::error::Error as _;
use std::fs;
use std::path::Path;

use fp8_data::{Dataset, Error};

pub const COLOR: &[u8] = include_bytes!("../fixtures/color.jpg");
pub const GREY: &[u8] = include_bytes!("../fixtures/grey.jpg");
pub const PROGRESSIVE: &[u8] = include_bytes!("../fixtures/progressive.jpg");
pub const CMYK: &[u8] = include_bytes!("../fixtures/cmyk.jpg");

/// Writes a file, making its folder.
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// One record: red, green and blue of pixel p are `p`, `p + 1` and `p + 2` modulo 256, plus `label`.
pub fn cifar_record(labels: &[u8]) -> Vec<u8> {
    let shift = labels[labels.len() - 1];
    let plane = |channel: usize| (0..1024).map(move |p| ((p + channel) as u8).wrapping_add(shift));
    labels.iter().copied().chain((0..3).flat_map(plane)).collect()
}

/// A folder of CIFAR-10: batch `n` of 1 to 5 holds `n` images of class `n`; the test batch, two of class 9.
pub fn cifar10(folder: &Path) {
    for n in 1..=5 {
        write(folder.join(format!("data_batch_{n}.bin")), cifar_record(&[n]).repeat(n.into()));
    }
    write(folder.join("test_batch.bin"), cifar_record(&[9]).repeat(2));
    let names: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    write(folder.join("batches.meta.txt"), names.join("\n") + "\n\n");
}

/// An IDX file.
pub fn idx(dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
    let header = [0, 0, 8, dimensions.len() as u8];
    header.into_iter().chain(dimensions.iter().flat_map(|n| n.to_be_bytes())).chain(elements.iter().copied()).collect()
}

/// A tree of two classes: three images for training, two for validation.
pub fn tree(root: &Path) {
    write(root.join("train/apple/1.JPEG"), COLOR);
    write(root.join("train/apple/2.jpg"), GREY);
    write(root.join("train/pear/1.jpeg"), PROGRESSIVE);
    write(root.join("train/pear/notes.txt"), "not an image");
    write(root.join("train/README"), "not a class");
    write(root.join("val/apple/1.JPEG"), COLOR);
    write(root.join("val/pear/1.JPEG"), CMYK);
}

/// An error with its causes, as a program prints it.
pub fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// The error of something that must not open, which must speak of each of `words`.
pub fn refused<D: Dataset>(result: Result<D, Error>, words: &[&str]) {
    let error = result.err().expect("it should have been refused");
    let text = text(&error);
    assert!(words.iter().all(|word| text.contains(word)), "{text:?} should mention {words:?}");
}
