//! Reads an epoch of training images as training does, twice: how many a second, and which cannot be read.
//!
//! `cargo run --release -p fp8-data --example throughput [FOLDER [SIZE [WORKERS]]]`; without a folder, generated images.

use std::env;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use fp8_data::generated::Options as Generated;
use fp8_data::{Loader, Options, Source, Split, Unreadable};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let source = match arguments.next() {
        Some(folder) => Source::detect(Path::new(&folder))?,
        None => Source::Generated(Generated { training: 4096, ..Generated::default() }),
    };
    let size = arguments.next().map(|size| size.parse()).transpose()?;
    let workers = arguments.next().map_or(Ok(2), |workers| workers.parse())?;

    for split in [Split::Training, Split::Validation] {
        let dataset = source.open(split)?;
        println!("{}: {} images of {} classes", dataset.description(), dataset.len(), dataset.classes().len());
        let options = Options { unreadable: Unreadable::Skip, ..Options::validation(64, workers) };
        let loader = Loader::new(dataset, source.transform(split, size), options)?;
        for epoch in 0..2 {
            let start = Instant::now();
            let (mut images, mut skipped) = (0, 0);
            for batch in loader.epoch(epoch, 0)? {
                let batch = batch?;
                images += batch.labels.len();
                skipped += batch.skipped.len();
                for (index, error) in &batch.skipped {
                    println!("  image {index} skipped: {error}");
                }
            }
            let speed = images as f64 / start.elapsed().as_secs_f64();
            println!("  epoch {epoch}: {images} images, {skipped} skipped; {speed:.0} images/s, {workers} workers");
        }
    }
    Ok(())
}
