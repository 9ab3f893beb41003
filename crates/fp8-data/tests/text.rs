//! Parallel text, byte-pair encoding and batches of tokens.

mod common;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{text, write};
use flate2::Compression;
use flate2::write::GzEncoder;
use fp8_data::generated::language;
use fp8_data::text::{BOS, Batch, Bpe, Dropped, EOS, Files, Limits, Loader, Options, PAD, Pair, Source, UNK};
use fp8_data::{Error, Split};

fn generated(training: usize) -> Source {
    Source::Generated(language::Options { training, validation: 40, seed: 3 })
}

fn pairs(source: &Source) -> Vec<Pair> {
    source.pairs(Split::Training).unwrap().map(Result::unwrap).collect()
}

fn learned(source: &Source, size: usize) -> Arc<Bpe> {
    let lines = pairs(source).into_iter().flat_map(|pair| [Ok(pair.source), Ok(pair.target)]);
    Arc::new(Bpe::learn(lines, size).unwrap())
}

fn batches(source: &Source, bpe: &Arc<Bpe>, options: &Options, epoch: u32, first: usize) -> Vec<Batch> {
    let loader = Loader::new(source.clone(), Split::Training, bpe.clone(), options.clone()).unwrap();
    loader.epoch(epoch, first).unwrap().map(Result::unwrap).collect()
}

/// The sentences of a batch, decoded.
fn sentences(batch: &Batch, bpe: &Bpe) -> Vec<Pair> {
    let decode = |tokens: &[u32]| bpe.decode(tokens).unwrap();
    let source = batch.source.tokens.chunks(batch.source.longest).map(decode);
    let target = batch.labels.tokens.chunks(batch.labels.longest).map(decode);
    source.zip(target).map(|(source, target)| Pair { source, target }).collect()
}

fn counted(pairs: impl IntoIterator<Item = Pair>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    pairs.into_iter().for_each(|pair| *counts.entry(format!("{pair:?}")).or_default() += 1);
    counts
}

/// Two files with these contents.
fn parallel(folder: &Path, source: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Source {
    let path = |name: &str| folder.join(name);
    write(path("a.en"), source);
    write(path("a.de"), target);
    let files = Files { source: path("a.en"), target: path("a.de") };
    Source::parallel(vec![files.clone()], vec![files])
}

#[test]
fn encoding_can_be_undone() {
    let bpe = learned(&generated(500), 400);
    assert!(bpe.size() <= 400);
    for pair in pairs(&generated(100)) {
        for line in [pair.source, pair.target] {
            let tokens = bpe.encode(&line).unwrap();
            assert!(!tokens.contains(&UNK));
            assert_eq!(bpe.decode(&tokens).unwrap(), line);
        }
    }
    assert_eq!(bpe.encode("").unwrap(), [0_u32; 0]);
    // What looks like a special token is text; what is unknown is so.
    let tokens = bpe.encode("</s> the 猫").unwrap();
    assert!(!tokens.contains(&EOS) && !tokens.contains(&PAD) && tokens.contains(&UNK));
    assert_eq!(bpe.decode(&[BOS, tokens[tokens.len() - 1], EOS, PAD]).unwrap(), "");
}

#[test]
fn the_same_text_gives_the_same_tokenizer_and_another_is_noticed() {
    let (bpe, again, other) =
        (learned(&generated(300), 200), learned(&generated(300), 200), learned(&generated(300), 210));
    assert_eq!(bpe.json(), again.json());
    assert_eq!(Bpe::parse_checked(bpe.json(), again.digest()).unwrap().digest(), bpe.digest());
    let error = Bpe::parse_checked(other.json(), bpe.digest()).err().unwrap().to_string();
    assert!(error.contains("of another run") && error.contains(bpe.digest()) && error.contains(other.digest()));
    for damaged in ["", "{}", &bpe.json()[..200], &bpe.json().replace("<unk>", "<x>")] {
        assert!(matches!(Bpe::parse(damaged), Err(Error::Tokenizer { .. })), "{damaged:.60}");
    }
}

#[test]
fn an_unreadable_line_ends_learning() {
    let line = Err(Error::NoText { path: "x".into() });
    let error = Bpe::learn([Ok("a b".into()), line].into_iter(), 50).err().unwrap();
    assert_eq!(error.to_string(), "x: empty");
}

#[test]
fn a_sentence_longer_than_the_model_is_an_error_in_translation() {
    let bpe = learned(&generated(300), 300);
    let tokens = bpe.encode_within("the dog .", 100).unwrap();
    assert_eq!(tokens.last(), Some(&EOS));
    assert_eq!(bpe.encode_within("the dog .", tokens.len()).unwrap(), tokens);
    let error = bpe.encode_within("the dog .", tokens.len() - 1).unwrap_err().to_string();
    assert_eq!(error, format!("a sentence of {} tokens; the model takes at most {}", tokens.len(), tokens.len() - 1));
}

#[test]
fn an_epoch_holds_each_pair_once_within_the_tokens() {
    let source = generated(700);
    let bpe = learned(&source, 300);
    for window in [1, 64, 10_000] {
        let options = Options { tokens: 300, window, ..Options::default() };
        let batches = batches(&source, &bpe, &options, 0, 0);
        for (number, batch) in batches.iter().enumerate() {
            assert_eq!(batch.number, number);
            assert!(batch.source.len() <= 300 && batch.target.len() <= 300 && batch.labels.len() == batch.target.len());
            let rows =
                batch.target.tokens.chunks(batch.target.longest).zip(batch.labels.tokens.chunks(batch.labels.longest));
            for ((read, said), &len) in rows.zip(&batch.target.lengths) {
                assert_eq!((read[0], said[len - 1]), (BOS, EOS));
                assert_eq!(read[1..len], said[..len - 1]);
                assert!(read[len..].iter().chain(&said[len..]).all(|&token| token == PAD));
            }
        }
        let found = batches.iter().flat_map(|batch| sentences(batch, &bpe));
        assert!(counted(found) == counted(pairs(&source)), "window {window}");
    }
}

/// Sorted by length, little is filled up.
#[test]
fn buckets_save_padding() {
    let source = generated(2000);
    let bpe = learned(&source, 300);
    let batches = batches(&source, &bpe, &Options { tokens: 1000, ..Options::default() }, 0, 0);
    let sides = || batches.iter().flat_map(|batch| [&batch.source, &batch.target]);
    let filled: usize = sides().map(|side| side.tokens.iter().filter(|&&token| token != PAD).count()).sum();
    let all: usize = sides().map(|side| side.len()).sum();
    assert!(filled * 100 > all * 85, "{filled} of {all}");
}

#[test]
fn the_order_is_of_seed_and_epoch_whatever_the_threads() {
    let source = generated(500);
    let bpe = learned(&source, 300);
    let options = Options { tokens: 300, window: 150, ..Options::default() };
    let reference = batches(&source, &bpe, &options, 1, 0);
    for (workers, prefetch) in [(2, 1), (3, 8), (7, 100)] {
        assert!(batches(&source, &bpe, &Options { workers, prefetch, ..options.clone() }, 1, 0) == reference);
    }
    assert_eq!(batches(&source, &bpe, &options, 1, 5), reference[5..]);
    assert_ne!(batches(&source, &bpe, &options, 2, 0), reference);
    assert_ne!(batches(&source, &bpe, &Options { seed: 1, ..options }, 1, 0), reference);
}

#[test]
fn pairs_that_are_of_no_use_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let source = parallel(folder.path(), "a b\n\na\na b c d e f\n", "a b\na\na b c d\na b c d e f\n");
    let bpe = Arc::new(Bpe::learn(["a b c d e f"].map(|line| Ok(line.into())).into_iter(), 10).unwrap());
    let limits = Limits { tokens: bpe.encode("a b c d").unwrap().len() + 1, ratio: 2.5 };
    let options = Options { tokens: 100, limits, ..Options::default() };
    let made = batches(&source, &bpe, &options, 0, 0);
    assert_eq!(made.len(), 1);
    assert_eq!(sentences(&made[0], &bpe), [Pair { source: "a b".into(), target: "a b".into() }]);
    assert_eq!(made[0].dropped, Dropped { empty: 1, long: 1, ratio: 1 });
    // In windows of one pair, too: the last batch tells of what comes after it.
    let made = batches(&source, &bpe, &Options { window: 1, ..options.clone() }, 0, 0);
    assert_eq!(made.iter().map(|batch| batch.dropped.total()).sum::<usize>(), 3);

    let none = Options { limits: Limits { tokens: 2, ratio: 1.0 }, ..options };
    let loader = Loader::new(source, Split::Training, bpe, none).unwrap();
    let error = loader.epoch(0, 0).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("no sentence is left: 1 pairs have an empty sentence, 3 too long"), "{error}");
}

fn error_of(source: &Source) -> String {
    text(&source.pairs(Split::Training).unwrap().find_map(Result::err).expect("an error"))
}

#[test]
fn what_is_wrong_with_files_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |source: &[u8], target: &[u8]| error_of(&parallel(folder.path(), source, target));
    let long = [&b"a\n"[..], &vec![b'x'; (1 << 20) + 1]].concat();
    for (error, words) in [
        (error(b"a\nb\nc\n", b"a\n"), ["a.en has 3", "a.de has 1"]),
        (error(b"", b"a\nb"), ["a.en has 0", "a.de has 2"]),
        (error(b"a\nb\n", b"a\nb\xff\n"), ["a.de, line 2", "not UTF-8 from byte 2"]),
        (error(b"", b""), ["a.en", "empty"]),
        (error(&long, &long), ["a.en, line 2", "longer than 1048576 bytes"]),
    ] {
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let nowhere = Files { source: "no/where".into(), target: PathBuf::new() };
    let missing = Source::parallel(vec![nowhere], vec![]);
    assert!(error_of(&missing).starts_with("cannot read no/where: "));
    // The consumer of batches hears of it too.
    let source = parallel(folder.path(), "a\nb\n", "a\n");
    let loader = Loader::new(source, Split::Training, learned(&generated(50), 100), Options::default()).unwrap();
    let results: Vec<_> = loader.epoch(0, 0).unwrap().collect();
    assert!(results.len() == 1 && results[0].as_ref().unwrap_err().to_string().contains("unequal numbers of lines"));
}

#[test]
fn files_follow_each_other_plain_or_gzipped_with_either_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let Source::Parallel { mut training, validation, .. } = parallel(folder.path(), "a\r\nb\u{2028}b", "A\nB\n") else {
        unreachable!("it is parallel")
    };
    let files = Files { source: folder.path().join("b.en.gz"), target: folder.path().join("b.de.gz") };
    for (path, content) in [(&files.source, "c\n\nd"), (&files.target, "C\nX\nD\n")] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(content.as_bytes()).unwrap();
        write(path, gzip.finish().unwrap());
    }
    training.push(files);
    let limited = |training_pairs| Source::Parallel {
        training: training.clone(),
        validation: validation.clone(),
        training_pairs,
        validation_pairs: Some(1),
    };
    assert_eq!(pairs(&limited(Some(3))).len(), 3);
    assert_eq!(limited(None).pairs(Split::Validation).unwrap().count(), 1);
    let found = pairs(&limited(None));
    let pair = |(source, target): (&str, &str)| Pair { source: source.into(), target: target.into() };
    assert_eq!(found, [("a", "A"), ("b\u{2028}b", "B"), ("c", "C"), ("", "X"), ("d", "D")].map(pair));
}

#[test]
fn senseless_options_are_refused() {
    let bpe = learned(&generated(50), 100);
    let valid = Options::default();
    let limits = |tokens, ratio| Limits { tokens, ratio };
    for (message, options) in [
        ("window = 0", Options { window: 0, ..valid.clone() }),
        ("workers = 0", Options { workers: 0, ..valid.clone() }),
        ("prefetch = 0", Options { prefetch: 0, ..valid.clone() }),
        ("tokens = 100", Options { tokens: 100, ..valid.clone() }),
        ("tokens = 4096", Options { limits: limits(1, 3.0), ..valid.clone() }),
        ("ratio = NaN", Options { limits: limits(64, f64::NAN), ..valid }),
    ] {
        let error = Loader::new(generated(50), Split::Training, bpe.clone(), options).err().unwrap().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

/// Results written down are those of these very sentences.
#[test]
fn generated_sentences_stay_the_same_and_reorder() {
    let options = language::Options::default();
    let first: Vec<Pair> = options.pairs(Split::Training).take(3).collect();
    assert_eq!(first.iter().map(|pair| format!("{} = {}", pair.source, pair.target)).collect::<Vec<_>>(), FIRST);
    assert_eq!(options.pairs(Split::Training).count(), 20_000);
    let training = counted(options.pairs(Split::Training));
    let seen = options.pairs(Split::Validation).filter(|pair| training.contains_key(&format!("{pair:?}"))).count();
    assert!(seen < 25, "{seen} of 500 sentences for validation are also for training");
}

const FIRST: [&str; 3] = [
    "the green ship will love a plum tonight . = shika lo gufegu telnano ferife bemotelt .",
    "a cold green house that visits the plum visits some heavy clouds tonight . = shika fefefe felipa telnana ka lam ferife shilips lipliplipne moguumi shilips .",
    "a river visits the small river . = sulipsu lum sulipsu dralipum shilipr .",
];
