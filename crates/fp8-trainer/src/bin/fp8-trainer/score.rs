//! `fp8-trainer score`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use fp8_data::text;
use fp8_trainer::score::{Bleu, Chrf, Smoothing, Tokenizer};

use crate::say;

/// Scores translations against references: BLEU and chrF as sacreBLEU computes them
#[derive(clap::Args)]
#[command(after_help = "Examples:
  fp8-trainer score out.de --references newstest.de
  fp8-trainer score out.de --references a.de b.de.gz --metrics bleu,chrf --tokenize intl --lowercase
  fp8-trainer score out.de --references newstest.de --sentence-level --width 4

All files are UTF-8, gzip where the name ends in .gz, and have as many lines. Each score stands behind the signature of how it was \
computed; scores with different signatures cannot be compared.")]
pub struct Arguments {
    /// Translations, one a line
    translations: PathBuf,
    /// One or more files of references, a line for each line of the translations
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    references: Vec<PathBuf>,
    /// bleu, chrf, chrf++
    #[arg(long, value_enum, value_delimiter = ',', default_value = "bleu")]
    metrics: Vec<Metric>,
    /// Tokenizer of BLEU: 13a, intl, none, char
    #[arg(long, value_name = "NAME", default_value_t)]
    tokenize: Tokenizer,
    /// What BLEU makes of orders without a match: exp, floor, add-k, none
    #[arg(long, value_enum, default_value = "exp")]
    smooth: Smooth,
    /// Value of floor [default: 0.1] and add-k [default: 1]
    #[arg(long, value_name = "X")]
    smooth_value: Option<f64>,
    /// Puts everything in lower case first
    #[arg(long)]
    lowercase: bool,
    /// Scores each line by itself; BLEU with its effective order
    #[arg(long)]
    sentence_level: bool,
    /// Digits after the point
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=15))]
    width: u8,
}

#[derive(Clone, Copy, ValueEnum)]
enum Metric {
    Bleu,
    Chrf,
    #[value(name = "chrf++")]
    ChrfPlusPlus,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Smooth {
    Exp,
    Floor,
    AddK,
    None,
}

impl Arguments {
    fn smoothing(&self) -> Result<Smoothing> {
        Ok(match (self.smooth, self.smooth_value) {
            (_, Some(value)) if !(value.is_finite() && value >= 0.0) => {
                bail!("--smooth-value {value}: it must be 0 or more")
            }
            (Smooth::Floor, value) => Smoothing::Floor(value.unwrap_or(0.1)),
            (Smooth::AddK, value) => Smoothing::AddK(value.unwrap_or(1.0)),
            (Smooth::Exp | Smooth::None, Some(_)) => bail!("--smooth-value goes with --smooth floor or add-k"),
            (Smooth::Exp, None) => Smoothing::Exponential,
            (Smooth::None, None) => Smoothing::None,
        })
    }

    /// A line of result: name, signature, score.
    fn measure(&self, metric: Metric, translations: &[String], references: &[Vec<String>]) -> Result<String> {
        let (lowercase, sets, width) = (self.lowercase, references.len(), usize::from(self.width));
        if let Metric::Bleu = metric {
            let (tokenizer, smoothing) = (self.tokenize, self.smoothing()?);
            let bleu = Bleu { tokenizer, smoothing, effective_order: self.sentence_level, lowercase };
            let score = bleu.corpus(translations, references)?;
            return Ok(format!("BLEU|{} = {score:.width$}", bleu.signature(sets)));
        }
        let words = if let Metric::ChrfPlusPlus = metric { 2 } else { 0 };
        let chrf = Chrf { words, lowercase, ..Chrf::default() };
        let score = chrf.corpus(translations, references)?;
        Ok(format!("{}|{} = {score:.width$}", chrf.name(), chrf.signature(sets)))
    }
}

/// Scores.
pub fn run(arguments: &Arguments) -> Result<()> {
    let paths: Vec<&PathBuf> = [&arguments.translations].into_iter().chain(&arguments.references).collect();
    let mut references = text::read_aligned(&paths)?;
    let translations = references.remove(0);
    let scored = |translations: &[String], references: &[Vec<String>]| {
        arguments.metrics.iter().try_for_each(|&metric| say(&arguments.measure(metric, translations, references)?))
    };
    if !arguments.sentence_level {
        return scored(&translations, &references);
    }
    translations.iter().enumerate().try_for_each(|(line, translation)| {
        let references: Vec<Vec<String>> = references.iter().map(|set| vec![set[line].clone()]).collect();
        scored(std::slice::from_ref(translation), &references)
    })
}
