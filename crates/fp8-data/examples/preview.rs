//! Counts the classes of the generated images and prints the first of each as text; given a file name, writes a sheet of a hundred as PPM.
//!
//! `cargo run -p fp8-data --example preview [SHEET.ppm]`

use std::error::Error;
use std::{env, fs};

use fp8_data::{Dataset, Image, Source, Split};

/// From dark to bright.
const INK: &[u8] = b" .:-=+*#%@";

fn main() -> Result<(), Box<dyn Error>> {
    let dataset = Source::default().open(Split::Validation)?;
    let mut counts = vec![0; dataset.classes().len()];
    for index in 0..dataset.len() {
        counts[dataset.get(index)?.label as usize] += 1;
    }
    println!("{}: {} images", dataset.description(), dataset.len());
    for (class, (name, count)) in dataset.classes().iter().zip(&counts).enumerate() {
        println!("\n{name}: {count} images");
        print!("{}", text(&dataset.get(class)?.image));
    }
    if let Some(path) = env::args().nth(1) {
        fs::write(&path, sheet(&*dataset, 10)?)?;
        println!("\nA hundred images, a class in each column: {path}");
    }
    Ok(())
}

/// An image as characters: every other row, for characters are taller than wide.
fn text(image: &Image) -> String {
    let row = |row: &[u8]| -> String {
        let mean = |pixel: &[u8]| pixel.iter().map(|&byte| usize::from(byte)).sum::<usize>() / pixel.len();
        row.chunks(image.channels).map(|pixel| char::from(INK[mean(pixel) * INK.len() / 256])).collect()
    };
    image.pixels.chunks(image.width * image.channels).step_by(2).map(|pixels| row(pixels) + "\n").collect()
}

/// The first `side * side` images as a binary PPM file.
fn sheet(dataset: &dyn Dataset, side: usize) -> Result<Vec<u8>, fp8_data::Error> {
    let images = (0..side * side).map(|index| Ok(dataset.get(index)?.image)).collect::<Result<Vec<Image>, _>>()?;
    let (height, row_len) = (images[0].height, images[0].width * 3);
    let mut file = format!("P6 {} {} 255\n", side * images[0].width, side * height).into_bytes();
    for row in images.chunks(side) {
        for line in 0..height {
            row.iter().for_each(|image| file.extend(&image.pixels[line * row_len..][..row_len]));
        }
    }
    Ok(file)
}
