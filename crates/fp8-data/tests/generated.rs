//! The generated set.

use fp8_data::generated::{Generated, Options};
use fp8_data::{Dataset, Split};

/// 64-bit FNV-1a.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

fn pixels(options: &Options, split: Split, index: usize) -> Vec<u8> {
    Generated::new(options.clone(), split).unwrap().get(index).unwrap().image.pixels
}

#[test]
fn an_image_depends_on_seed_part_and_index_alone() {
    let options = Options::default();
    let image = pixels(&options, Split::Training, 3);
    assert_eq!(image, pixels(&Options { training: 4, validation: 0, ..options.clone() }, Split::Training, 3));
    assert_ne!(image, pixels(&Options { seed: 1, ..options.clone() }, Split::Training, 3));
    assert_ne!(image, pixels(&options, Split::Validation, 3));
    assert_ne!(image, pixels(&options, Split::Training, 13));
}

/// Accuracies written down are those of these very images.
#[test]
fn the_images_stay_the_same() {
    let options = Options::default();
    let all: Vec<u8> = (0..100).flat_map(|index| pixels(&options, Split::Training, index)).collect();
    assert_eq!(digest(&all), DIGEST);
}

const DIGEST: u64 = 4_112_729_442_973_986_825;

#[test]
fn classes_are_balanced_and_normalised() {
    let dataset = Generated::new(Options::default(), Split::Validation).unwrap();
    assert_eq!(dataset.len(), 2000);
    let mut counts = vec![0; dataset.classes().len()];
    let (mut sums, mut squares) = ([0.0; 3], [0.0; 3]);
    for index in 0..dataset.len() {
        let example = dataset.get(index).unwrap();
        counts[example.label as usize] += 1;
        for (at, byte) in example.image.pixels.iter().enumerate() {
            let value = f64::from(*byte) / 255.0;
            sums[at % 3] += value;
            squares[at % 3] += value * value;
        }
    }
    assert_eq!(counts, [200; 10]);
    let pixels = (dataset.len() * 32 * 32) as f64;
    let stated = dataset.normalization();
    for channel in 0..3 {
        let mean = sums[channel] / pixels;
        let deviation = (squares[channel] / pixels - mean * mean).sqrt();
        let (stated_mean, stated_deviation) = (stated.mean[channel], stated.deviation[channel]);
        assert!((mean - f64::from(stated_mean)).abs() < 0.02, "channel {channel}: mean {mean}");
        assert!((deviation - f64::from(stated_deviation)).abs() < 0.02, "channel {channel}: deviation {deviation}");
    }
}

#[test]
fn sizes_that_cannot_be_drawn_are_refused() {
    for size in [0, 7, 1025] {
        let error = Generated::new(Options { size, ..Options::default() }, Split::Training).err().unwrap();
        assert!(error.to_string().contains(&format!("size = {size}")), "{error}");
    }
    assert_eq!(pixels(&Options { size: 8, ..Options::default() }, Split::Training, 0).len(), 8 * 8 * 3);
}
