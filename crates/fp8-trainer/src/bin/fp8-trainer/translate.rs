//! `fp8-trainer translate`.

use std::io::{self, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fp8_data::text::Lines;
use fp8_trainer::translate::{Options, Translator};

use crate::Place;

/// Translates the lines of the standard input with the weights of a run
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fp8-trainer translate runs/multi30k < test.en > test.de
  fp8-trainer translate runs/multi30k --beam 5 --length-penalty 1 < test.en \\
      | fp8-trainer score /dev/stdin --references test.de

Each line of UTF-8 gives a line; one without words gives an empty one. Lines are read 16 batches at a time, so any number of them \
will do. The size of a batch changes no translation; --beam 1 is greedy search. Of a run in a recipe that rounds at random, results are \
rounded to the nearest instead.")]
pub struct Arguments {
    /// Folder of a run
    run: PathBuf,
    /// State dict, safetensors [default: the run's]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Hypotheses of a sentence that are followed
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    beam: u16,
    /// Exponent of GNMT's length penalty; 0 for none
    #[arg(long, value_name = "ALPHA", default_value_t = 0.6, value_parser = penalty)]
    length_penalty: f64,
    /// Factor of GNMT's coverage penalty; 0 for none
    #[arg(long, value_name = "BETA", default_value_t = 0.0, value_parser = penalty)]
    coverage_penalty: f64,
    /// Sentences that are translated at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    #[command(flatten)]
    place: Place,
}

fn penalty(text: &str) -> Result<f64, String> {
    let value = text.parse().map_err(|_| "a number is wanted".to_string())?;
    if (0.0..=10.0).contains(&value) { Ok(value) } else { Err("it must lie in 0..=10".into()) }
}

/// Translates.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { run, weights, beam, length_penalty, coverage_penalty, batch, place } = arguments;
    let backend = place.open()?;
    let translator = Translator::open(run, weights.as_deref(), backend)?;
    let (length_penalty, coverage_penalty) = (*length_penalty, *coverage_penalty);
    let options = Options { beam: usize::from(*beam), length_penalty, coverage_penalty, batch: usize::from(*batch) };
    let lines = Lines::new(Path::new("standard input"), Box::new(BufReader::new(io::stdin())));
    let mut output = BufWriter::new(io::stdout().lock());
    let result = translator.translate(lines, &options, &mut |line| -> Result<()> { Ok(writeln!(output, "{line}")?) });
    let result = result.and_then(|()| Ok(output.flush()?));
    match result {
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) => {
            Ok(())
        }
        result => result.context("translating"),
    }
}
