//! Learns byte-pair encoding on two files of sentences and says what an epoch of batches is like:
//!
//! ```sh
//! cargo run --release -p fp8-data --example sentences -- train.en train.de 8000
//! ```
//!
//! Without files, on the generated pair of languages.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use fp8_data::Split;
use fp8_data::generated::language;
use fp8_data::text::{Bpe, Dropped, Files, Loader, Options, PAD, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (source, size) = match &arguments[..] {
        [] => (Source::Generated(language::Options::default()), 500),
        [source, target, size] => {
            let files = Files { source: source.into(), target: target.into() };
            (Source::parallel(vec![files], vec![]), size.parse()?)
        }
        _ => return Err("give no argument, or SOURCE TARGET SIZE".into()),
    };

    let start = Instant::now();
    let lines = source.pairs(Split::Training)?.flat_map(|pair| match pair {
        Ok(pair) => vec![Ok(pair.source), Ok(pair.target)],
        Err(error) => vec![Err(error)],
    });
    let bpe = Arc::new(Bpe::learn(lines, size)?);
    println!("{} pieces in {:.1?}, digest {}", bpe.size(), start.elapsed(), bpe.digest());
    let first = source.pairs(Split::Training)?.next().ok_or("no sentence")??;
    for line in [first.source, first.target] {
        let tokens = bpe.encode(&line)?;
        let pieces: Result<Vec<_>, _> = tokens.iter().map(|&token| bpe.decode(&[token])).collect();
        println!("{line}\n  {}", pieces?.join("|"));
    }

    let (mut lines, mut same) = (0, 0);
    for pair in source.pairs(Split::Training)? {
        let pair = pair?;
        for line in [pair.source, pair.target] {
            lines += 1;
            same += usize::from(bpe.decode(&bpe.encode(&line)?)? == line);
        }
    }
    println!("{same} of {lines} lines come back as they were");

    let start = Instant::now();
    let loader = Loader::new(source, Split::Training, bpe, Options { workers: 2, ..Options::default() })?;
    let (mut batches, mut pairs, mut tokens, mut places, mut dropped) = (0, 0, 0, 0, Dropped::default());
    for batch in loader.epoch(0, 0)? {
        let batch = batch?;
        batches += 1;
        pairs += batch.source.lengths.len();
        for side in [&batch.source, &batch.target] {
            places += side.len();
            tokens += side.tokens.iter().filter(|&&token| token != PAD).count();
        }
        dropped += batch.dropped;
    }
    let padding = 100.0 * (1.0 - tokens as f64 / places as f64);
    println!(
        "{batches} batches of {pairs} pairs, {tokens} tokens and {padding:.1} % padding in {:.1?}",
        start.elapsed()
    );
    println!("left out: {dropped}");
    Ok(())
}
