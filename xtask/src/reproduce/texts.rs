//! Which sentences a reproduction trains on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fp8_data::Split;
use fp8_data::text::{Files, Source};
use fp8_trainer::Config;
use fp8_trainer::config::Task;
use fp8_trainer::score::Bleu;
use toml::Table;

use super::data::{Choice, Known, last};
use super::results::DataSet;
use crate::fetch::manifest::{Manifest, Text};
use crate::repository;

const WMT16: Known = Known { name: "wmt16", title: "WMT16", inside: &["."] };
const MULTI30K: Known = Known { name: "multi30k", title: "Multi30k", inside: &["."] };

/// The least numbers of pairs, for training and for validation, that are called by the name of the data set whose files they are named as.
const PAIRS: [(Known, [usize; 2]); 2] = [(WMT16, [4_500_000, 3000]), (MULTI30K, [29_000, 1014])];

/// The text that is asked for.
///
/// # Errors
/// Says where it was looked for, and how to get it.
pub fn source(choice: &Choice, generated: &Table) -> Result<Source> {
    let found = choice.open(&WMT16, &[MULTI30K, WMT16], open)?;
    match found {
        Some(source) => Ok(source),
        None => Ok(Source::Generated(generated.clone().try_into().context("the languages to generate")?)),
    }
}

/// The text in a folder, whose files are named as those of a data set we know.
fn open(folder: &Path) -> Result<Source> {
    let mut wanted = Vec::new();
    for (Known { name, .. }, _) in PAIRS {
        let text = text_of(name)?;
        match there(&text, folder) {
            Some(text) => return Ok(text.source(folder)),
            None => wanted.push(format!("{} (as {name})", names(&text).join(", "))),
        }
    }
    bail!("{}: no text here; these files are wanted, plain or gzip: {}", folder.display(), wanted.join("; or "))
}

fn text_of(name: &str) -> Result<Text> {
    let manifest = Manifest::named(&repository::root()?.join("datasets"), name)?;
    manifest.text.with_context(|| format!("{name} holds no text"))
}

/// `text` by the names that its files have in `folder`: as they stand, without `.gz` or with it.
fn there(text: &Text, folder: &Path) -> Option<Text> {
    let here = |name: &Path| {
        let plain = name.with_extension("");
        let gzip = PathBuf::from(format!("{}.gz", name.display()));
        let is_gzip = name.extension().is_some_and(|extension| extension == "gz");
        let other = if is_gzip { plain } else { gzip };
        [name.to_path_buf(), other].into_iter().find(|name| folder.join(name).is_file())
    };
    let all = |files: &[Files]| {
        let both = |files: &Files| Some(Files { source: here(&files.source)?, target: here(&files.target)? });
        files.iter().map(both).collect::<Option<Vec<_>>>()
    };
    Some(Text { training: all(&text.training)?, validation: all(&text.validation)? })
}

fn names(text: &Text) -> Vec<String> {
    let files = text.training.iter().chain(&text.validation);
    files.flat_map(|files| [&files.source, &files.target]).map(|path| path.display().to_string()).collect()
}

/// Whether it needs no files.
pub const fn is_generated(source: &Source) -> bool {
    matches!(source, Source::Generated(_))
}

/// Name of the text in that of a folder.
pub fn kind(source: &Source) -> String {
    folder(source).map_or_else(|| "synthetic".into(), last)
}

/// Where its files are.
fn folder(source: &Source) -> Option<&Path> {
    match source {
        Source::Generated(_) => None,
        Source::Parallel { training, .. } => training.first()?.source.parent(),
    }
}

impl DataSet {
    /// What runs of `config`, which is of translation, see: every pair is read once.
    ///
    /// # Errors
    /// Names the file and the line that cannot be used.
    pub fn of_text(config: &Config) -> Result<Self> {
        let Task::Translation(own) = &config.task else { bail!("a configuration of translation is wanted") };
        let training = own.data.pairs(Split::Training)?.try_fold(0, |count, pair| pair.map(|_| count + 1))?;
        let references = own.data.pairs(Split::Validation)?.map(|pair| pair.map(|pair| pair.target));
        let references: Vec<String> = references.collect::<fp8_data::Result<_>>()?;
        ensure!(training > 0 && !references.is_empty(), "there are no pairs of sentences");
        let (name, is_papers) = name(&own.data, [training, references.len()])?;
        Ok(Self {
            name,
            is_papers,
            counts: format!("{training} training and {} validation pairs of sentences", references.len()),
            examples: format!("sentences of at most {} pieces of words", own.loader.longest),
            validation: references.len(),
            chance: others(&references)?,
        })
    }
}

/// BLEU of translations of which each is that of the next sentence.
fn others(references: &[String]) -> Result<f64> {
    let mut translations = references.to_vec();
    translations.rotate_left(1);
    Ok(Bleu::default().corpus(&translations, &[references.to_vec()])?.score)
}

/// What a text is called, and whether it is the paper's.
fn name(source: &Source, pairs: [usize; 2]) -> Result<(String, bool)> {
    let Source::Parallel { training, training_pairs, validation_pairs, .. } = source else {
        return Ok(("a generated pair of languages".into(), false));
    };
    let is_part = training_pairs.is_some() || validation_pairs.is_some();
    for (known, least) in PAIRS {
        let text = text_of(known.name)?;
        let stem =
            |name: &Path| name.file_name().map(|name| name.to_string_lossy().trim_end_matches(".gz").to_string());
        let is_named =
            text.training.iter().map(|files| stem(&files.source)).eq(training.iter().map(|files| stem(&files.source)));
        if is_named && is_part {
            return Ok((format!("the first pairs of {}", known.title), false));
        }
        if is_named && pairs[0] >= least[0] && pairs[1] >= least[1] {
            return Ok((known.title.into(), known.name == WMT16.name));
        }
    }
    Ok((format!("the text of {}", folder(source).map(last).unwrap_or_default()), false))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, content)| fs::write(folder.path().join(name), content).unwrap());
        folder
    }

    fn asked(folder: &Path) -> Result<Source> {
        source(&folder.to_str().unwrap().parse()?, &Table::new())
    }

    fn data(source: &Source) -> Result<DataSet> {
        let data = toml::Value::try_from(source)?;
        let none: [&str; 0] = [];
        DataSet::of_text(&Config::parse(&format!("task = 'translation'\ndata = {data}"), &none)?)
    }

    #[test]
    fn a_text_is_called_what_it_is() {
        let files = [("train.en", "a b\nc\n"), ("train.de", "A B\nC\n"), ("val.en", "a\nb\n"), ("val.de", "A\nB\n")];
        let folder = written(&files);
        let found = data(&asked(folder.path()).unwrap()).unwrap();
        assert!(found.name.starts_with("the text of ") && !found.is_papers, "{found:?}");
        assert_eq!(found.counts, "2 training and 2 validation pairs of sentences");
        assert_eq!(found.chance, 0.0);
        let generated = data(&Source::default()).unwrap();
        assert!(generated.name.contains("generated") && !generated.is_papers);
        assert!(generated.chance > 0.0 && generated.chance < 5.0, "{}", generated.chance);
    }

    #[test]
    fn wrong_data_are_refused() {
        let message = |folder: &Path| format!("{:#}", asked(folder).and_then(|source| data(&source)).unwrap_err());
        let missing = message(Path::new("multi30"));
        assert!(missing.contains("no such folder (did you mean multi30k?)"), "{missing}");
        let empty = written(&[]);
        let said = message(empty.path());
        assert!(
            said.contains("no text here") && said.contains("train.en.gz") && said.contains("newstest2013.en"),
            "{said}"
        );
        let unequal = written(&[("train.en", "a\nb\n"), ("train.de", "A\n"), ("val.en", "a\n"), ("val.de", "A\n")]);
        let said = message(unequal.path());
        assert!(said.contains("train.en") && said.contains("unequal numbers of lines"), "{said}");
    }
}
