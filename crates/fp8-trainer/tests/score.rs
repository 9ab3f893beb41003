//! BLEU and chrF against sacreBLEU's (fixture by `tools/reference/score.py`), and what the command says.

use std::fs;
use std::process::{Command, Output};

use fp8_trainer::score::{Bleu, Chrf, Smoothing};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    translations: Vec<String>,
    references: Vec<Vec<String>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(tag = "metric", rename_all = "lowercase")]
enum Case {
    Bleu {
        tokenize: String,
        smooth: String,
        value: Option<f64>,
        lowercase: bool,
        sets: usize,
        line: Option<usize>,
        printed: String,
    },
    Chrf {
        words: usize,
        lowercase: bool,
        sets: usize,
        line: Option<usize>,
        printed: String,
    },
}

impl Fixture {
    fn load() -> Self {
        serde_json::from_str(include_str!("fixtures/score.json")).unwrap()
    }

    /// The translations and so many sets of references: all lines, or one.
    fn part(&self, sets: usize, line: Option<usize>) -> (&[String], Vec<Vec<String>>) {
        let lines = line.map_or(0..self.translations.len(), |line| line..line + 1);
        let references = self.references[..sets].iter().map(|set| set[lines.clone()].to_vec());
        (&self.translations[lines.clone()], references.collect())
    }
}

/// Signature and score; who computed it may differ.
fn unsigned(printed: &str) -> (&str, &str) {
    let (signature, score) = printed.split_once(" = ").unwrap();
    (signature.split_once("|version:").unwrap().0, score)
}

fn smoothing(name: &str, value: Option<f64>) -> Smoothing {
    match name {
        "exp" => Smoothing::Exponential,
        "floor" => Smoothing::Floor(value.unwrap_or(0.1)),
        "add-k" => Smoothing::AddK(value.unwrap_or(1.0)),
        "none" => Smoothing::None,
        other => panic!("{other}"),
    }
}

#[test]
fn scores_are_sacrebleus_to_the_last_digit() {
    let fixture = Fixture::load();
    assert!(fixture.cases.len() > 300);
    for case in &fixture.cases {
        let (ours, theirs) = match case {
            Case::Bleu { tokenize, smooth, value, lowercase, sets, line, printed } => {
                let (smoothing, tokenizer) = (smoothing(smooth, *value), tokenize.parse().unwrap());
                let bleu = Bleu { tokenizer, smoothing, lowercase: *lowercase, effective_order: line.is_some() };
                let (translations, references) = fixture.part(*sets, *line);
                let score = bleu.corpus(translations, &references).unwrap();
                (format!("BLEU|{} = {score:.8}", bleu.signature(*sets)), printed)
            }
            Case::Chrf { words, lowercase, sets, line, printed } => {
                let chrf = Chrf { words: *words, lowercase: *lowercase, ..Chrf::default() };
                let (translations, references) = fixture.part(*sets, *line);
                let score = chrf.corpus(translations, &references).unwrap();
                (format!("{}|{} = {score:.8}", chrf.name(), chrf.signature(*sets)), printed)
            }
        };
        assert_eq!(unsigned(&ours), unsigned(theirs));
    }
}

#[test]
fn a_score_needs_lines_and_references() {
    for (translations, references) in [(vec![], vec![vec![]]), (vec!["a"], vec![]), (vec!["a"], vec![vec!["a", "b"]])] {
        let error = Bleu::default().corpus(&translations, &references).unwrap_err().to_string();
        assert!(error.contains(&format!("{} translations and ", translations.len())), "{error}");
        Chrf::default().corpus(&translations, &references).unwrap_err();
    }
}

/// Runs the command in a folder with some files.
fn score(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 6] = [
        ("out", b"The cat sat on the mat.\nIt was raining, said she.\n"),
        ("ref", b"The cat sat on the mat.\r\nIt rained, she said."),
        ("short", b"one line\n"),
        ("empty", b""),
        ("latin1", b"good\nna\xefve\n"),
        ("cut.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01"),
    ];
    files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_fp8-trainer"));
    command.arg("score").args(arguments).current_dir(folder.path()).output().unwrap()
}

#[test]
fn the_command_prints_signatures_and_scores() {
    let version = env!("CARGO_PKG_VERSION");
    let output = score(&["out", "--references", "ref", "ref", "--metrics", "bleu,chrf,chrf++", "--width", "1"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = printed.lines().collect();
    let signature = format!("BLEU|nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:fp8-{version} = 57.2 ");
    assert!(lines[0].starts_with(&signature), "{printed}");
    assert!(lines[1].starts_with("chrF2|nrefs:2|case:mixed|eff:yes|nc:6|nw:0|space:no|"), "{printed}");
    assert!(lines[2].starts_with("chrF2++|nrefs:2|") && lines.len() == 3, "{printed}");
    let output = score(&["out", "--references", "ref", "--sentence-level"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), 2);
    assert!(printed.lines().next().unwrap().contains("|eff:yes|") && printed.contains(" = 100.00 "), "{printed}");
}

#[test]
fn mistakes_are_named() {
    for (arguments, message) in [
        (&["out", "--references", "ref", "short"][..], "error: unequal numbers of lines: out has 2, short has 1"),
        (&["out", "--references", "latin1"], "error: latin1, line 2: not UTF-8 from byte 3 of the line on"),
        (&["empty", "--references", "empty"], "error: empty: empty"),
        (&["out", "--references", "missing"], "error: cannot read missing: "),
        (&["out", "--references", "cut.gz"], "error: cannot read cut.gz: "),
        (&["out", "--references", "ref", "--smooth-value", "1"], "error: --smooth-value goes with"),
        (&["out", "--references", "ref", "--smooth", "floor", "--smooth-value=-1"], "error: --smooth-value -1: "),
    ] {
        let output = score(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(message) && output.stdout.is_empty(), "{said}");
    }
}
