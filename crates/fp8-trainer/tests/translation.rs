//! Translation through the program: what it says, and what it refuses.

mod common;
#[path = "common/place.rs"]
mod place;

use std::fs;

use common::TINY_TEXT;
use place::{Place, i64s};
use safetensors::{Dtype, SafeTensors};

/// A folder with the run `run`.
fn trained() -> Place {
    let place = Place::new("tiny.toml", TINY_TEXT);
    place.succeeds(&["train", "tiny.toml", "--output", "run"]);
    place
}

const TEXT: &str = "the dog sees a cat .\n\nsome young kings will find the heavy stone tonight .\n  \na\u{301} unknown\u{a0}日本 word\r\n\
                    the cat sleeps .\nthe bird";

#[test]
fn lines_stay_where_they_are() {
    let place = trained();
    let translate = |more: &[&str], input: &str| {
        let output = place.run(&[&["translate", "run"], more].concat(), input);
        assert!(output.status.success(), "{}", place::stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = translate(&[], TEXT);
    let lines: Vec<&str> = said.split_terminator('\n').collect();
    let empty: Vec<bool> = TEXT.lines().map(|line| line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 7, "{said}");
    for (line, empty) in lines.iter().zip(empty) {
        assert!(!empty || line.is_empty(), "{said}");
    }
    assert!(lines.iter().any(|line| !line.is_empty()));
    for batch in ["1", "2", "5"] {
        assert_eq!(translate(&["--batch", batch, "--threads", "1"], TEXT), said, "batches of {batch}");
    }
    let penalties = ["--beam", "3", "--length-penalty", "1", "--coverage-penalty", "0.2"];
    assert_eq!(translate(&penalties, TEXT), translate(&[&penalties[..], &["--batch", "1"]].concat(), TEXT));
    assert_eq!(translate(&["--beam", "1"], "").len(), 0);
    assert_eq!(translate(&[], "\n\n"), "\n\n");
    // More lines than a window has.
    let many = TEXT.repeat(40);
    assert_eq!(translate(&["--batch", "3"], &many).lines().count(), many.lines().count());
}

#[test]
fn a_transformer_translates_as_well() {
    let place = Place::new("tiny.toml", TINY_TEXT);
    let model = "model={architecture = 'transformer', width = 8, heads = 2, feed_forward = 16}";
    place.succeeds(&["train", "tiny.toml", "--set", model, "--output", "run"]);
    let translate = |batch: &str| place.run(&["translate", "run", "--batch", batch], TEXT);
    let said = translate("32");
    assert!(said.status.success() && said.stdout.iter().filter(|&&byte| byte == b'\n').count() == 7);
    assert_eq!(translate("1").stdout, said.stdout);
    let coverage = ["translate", "run", "--coverage-penalty", "0.2"];
    place.fails_reading(
        &coverage,
        TEXT,
        &["error: translating: search: a coverage penalty for a model without attention"],
    );
}

/// BLEU at the end of a run is that of `eval`, and that of `translate --beam 1` by `score`.
#[test]
fn the_score_of_a_run_is_that_of_its_translations() {
    let place = Place::new("tiny.toml", TINY_TEXT);
    let [mut source, mut target] = [String::new(), String::new()];
    for i in 0..40 {
        let (noun, word) = [("dog", "kano"), ("cat", "mori"), ("king", "telsu"), ("lamp", "vola")][i % 4];
        let (verb, other) = [("sees", "lit"), ("hears", "fet"), ("wants", "gur")][i % 3];
        source += &format!("the {noun} {verb} the lamp and the {noun} .\n");
        target += &format!("la {word} lo volam ke la {word} {other} .\n");
    }
    place.write("a.en", &source);
    place.write("a.xx", &target);
    let files = "[{source = 'a.en', target = 'a.xx'}]";
    let data = format!("data={{kind = 'parallel', training = {files}, validation = {files}}}");
    let set = ["--set", &data, "--set", "training.epochs=8", "--set", "model.hidden=32"];
    let printed = place.succeeds(&[&["train", "tiny.toml", "--output", "run"], &set[..]].concat());
    let bleu = |text: &str| text.split("BLEU ").nth(1).unwrap().split_whitespace().next().unwrap().to_string();
    assert_ne!(bleu(&printed), "0.00");
    assert_eq!(bleu(&place.succeeds(&["eval", "run"])), bleu(&printed));
    let output = place.run(&["translate", "run", "--beam", "1"], &source);
    place.write("out", &output.stdout);
    let scored = place.succeeds(&["score", "out", "--references", "a.xx"]);
    assert_eq!(scored.split(" = ").nth(1).unwrap().split(' ').next().unwrap(), bleu(&printed), "{scored}");
}

#[test]
fn lines_that_cannot_be_translated_are_named() {
    let place = trained();
    let translate = ["translate", "run"];
    let invalid = b"the dog\nthe \xff cat\n";
    place.fails_reading(&translate, invalid, &["standard input, line 2: not UTF-8 from byte 5 of the line on"]);
    let long = "the dog\n\n".to_string() + &"the dog sees a cat . ".repeat(30);
    let tokens = "; the model takes at most 64";
    place.fails_reading(&translate, &long, &["line 3: a sentence of ", tokens]);
    // What stands before has been translated.
    let before = place.run(&translate, "the dog\n\n").stdout;
    let rest = "\nthe cat\n";
    assert_eq!(place.run(&translate, long + rest).stdout, before);
    assert_eq!(place.run(&translate, [&b"the dog\n\n\xff"[..], rest.as_bytes()].concat()).stdout, before);
    place.fails(&["translate", "nowhere"], &["error: reading nowhere/config.toml: "]);
}

#[test]
fn what_belongs_to_another_run_is_refused() {
    let place = trained();
    place.succeeds(&["train", "tiny.toml", "--output", "other", "--set", "data.seed=1", "--set", "training.epochs=1"]);
    let narrow = ["--set", "loader.vocabulary=90", "--set", "training.epochs=1"];
    place.succeeds(&[&["train", "tiny.toml", "--output", "narrow"], &narrow[..]].concat());
    let tokenizer = place.read("run/tokenizer.json");
    let weights = place.read("run/weights.safetensors");

    place.write("run/tokenizer.json", place.read("other/tokenizer.json"));
    let messages = ["error: run/tokenizer.json: the tokenizer of another run: its digest is ", ", that of this run "];
    place.fails_reading(&["translate", "run"], "the dog\n", &messages);

    let messages = ["error: other/weights.safetensors: the tokenizer of another run: "];
    place.fails(&["eval", "run", "--weights", "other/weights.safetensors"], &messages);

    // Weights that do not say where they come from, as PyTorch writes them: the sizes tell.
    let file = SafeTensors::deserialize(&weights).unwrap();
    let bare: Vec<_> = file.tensors();
    place.write("bare.safetensors", safetensors::serialize(bare, None).unwrap());
    place.write("run/tokenizer.json", place.read("narrow/tokenizer.json"));
    let arguments = ["translate", "run", "--weights", "bare.safetensors"];
    let messages =
        ["error: bare.safetensors: weights of another model:", "embedder.weight is [", "where the model has ["];
    place.fails(&arguments, &messages);

    place.write("run/tokenizer.json", "{}");
    place.fails(&arguments, &["error: run/tokenizer.json: not a tokenizer of this program: "]);
    place.write("run/tokenizer.json", [0xff, 0xfe]);
    place.fails(&arguments, &["error: run/tokenizer.json: invalid utf-8"]);
    fs::remove_file(place.path().join("run/tokenizer.json")).unwrap();
    place.fails(&arguments, &["error: reading run/tokenizer.json: "]);

    place.write("run/tokenizer.json", &tokenizer);
    place.write("run/weights.safetensors", &weights[..weights.len() - 9]);
    place.fails(
        &["translate", "run"],
        &["error: run/weights.safetensors: not a valid safetensors file: incomplete metadata, file not fully covered\n"],
    );
    assert!(place.run(&arguments, "the dog\n").status.success());

    place.write("images.toml", common::TINY);
    place.succeeds(&["train", "images.toml", "--set", "training.epochs=1", "--output", "images"]);
    place.fails(&["translate", "images"], &["error: images: is a run of resnet18, which does not translate"]);
}

#[test]
fn text_that_cannot_be_trained_on_is_named() {
    let place = Place::new("tiny.toml", TINY_TEXT);
    place.write("two", "a dog\na cat\n");
    place.write("three", "ein Hund\neine Katze\nein Haus\n");
    place.write("bad", b"ein Hund\n\xc3\x28\n");
    place.write("empty", "");
    place.write("blank", "\n\n");
    place.write("cut.gz", [0x1f, 0x8b, 8, 0, 0]);
    let long = "ein Hund ".repeat(200) + "\n";
    place.write("long", long.repeat(2));
    for (source, target, messages) in [
        ("two", "three", &["error: data: unequal numbers of lines: two has 2, three has 3"][..]),
        ("three", "two", &["unequal numbers of lines: three has 3, two has 2"]),
        ("two", "bad", &["error: data: bad, line 2: not UTF-8 from byte 1 of the line on"]),
        ("empty", "empty", &["error: data: empty: empty"]),
        ("blank", "blank", &["no sentence is left: 2 pairs have an empty sentence"]),
        ("long", "long", &["no sentence is left: ", "2 too long a one"]),
        ("two", "cut.gz", &["error: data: cannot read cut.gz: "]),
        ("two", "nowhere", &["error: data: cannot read nowhere: "]),
    ] {
        let files = format!("[{{source = '{source}', target = '{target}'}}]");
        let good = "[{source = 'two', target = 'two'}]";
        for (training, validation) in [(&files[..], good), (good, &files[..])] {
            let set = format!("data={{kind = 'parallel', training = {training}, validation = {validation}}}");
            place.fails(&["train", "tiny.toml", "--set", &set, "--output", "run"], messages);
        }
    }
    for field in ["data.training", "data.validation"] {
        let message = format!("error: tiny.toml: `{field}`: no sentence is left: ");
        place.fails(&["train", "tiny.toml", "--set", &format!("{field}=0"), "--output", "run"], &[&message]);
    }
    let none = "data={kind = 'parallel', training = [], validation = []}";
    place.fails(&["train", "tiny.toml", "--set", none], &["no sentence is left"]);
}

/// A step on tokens: a target's last column is not read, its first not said, and padding changes nothing.
#[test]
fn a_step_on_tokens() {
    let place = trained();
    let step = |batch: &str, output: &str| {
        let files = ["--weights", "run/weights.safetensors", "--batch", batch, "--output", output];
        place.succeeds(
            &[&["step", "--config", "tiny.toml", "--set", "recipe=fp32", "--set", "model.dropout=0"], &files[..]]
                .concat(),
        );
        place.read(output)
    };
    let source = [5, 6, 7, 2, 8, 2, 0, 0];
    place.tensors(
        "batch",
        &[("source", Dtype::I64, &[2, 4], i64s(&source)), ("target", Dtype::I64, &[2, 3], i64s(&[1, 9, 2, 1, 10, 2]))],
    );
    let padded: Vec<i64> = source.chunks(4).flat_map(|row| [row, &[0, 0]].concat()).collect();
    place.tensors(
        "padded",
        &[
            ("source", Dtype::I64, &[2, 6], i64s(&padded)),
            ("target", Dtype::I64, &[2, 4], i64s(&[1, 9, 2, 0, 1, 10, 2, 0])),
        ],
    );
    let [bytes, more] = [step("batch", "out"), step("padded", "more")];
    let [out, more] = [&bytes, &more].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let weights = place.read("run/weights.safetensors");
    let vocabulary = SafeTensors::deserialize(&weights).unwrap().tensor("embedder.weight").unwrap().shape()[0];
    assert_eq!(out.tensor("logits").unwrap().shape(), [2, 2, vocabulary]);
    assert_eq!(more.tensor("logits").unwrap().shape(), [3, 2, vocabulary]);
    let values = |file: &SafeTensors<'_>, name: &str| -> Vec<f32> {
        file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&code| f32::from_le_bytes(code)).collect()
    };
    assert_eq!(values(&out, "logits"), values(&more, "logits")[..4 * vocabulary]);
    for name in out.names().into_iter().filter(|name| *name != "logits") {
        for (a, b) in values(&out, name).iter().zip(values(&more, name)) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()), "{name}: {a} and {b}");
        }
    }
}

#[test]
fn a_step_names_what_is_wrong_with_its_tokens() {
    let place = trained();
    let source = |tokens: &[i64]| ("source", Dtype::I64, &[2_usize, 2][..], i64s(tokens));
    let target = |tokens: &[i64]| ("target", Dtype::I64, &[2_usize, 2][..], i64s(tokens));
    place.tensors("no target", &[source(&[5, 2, 6, 2])]);
    place.tensors("negative", &[source(&[5, 2, -6, 2]), target(&[1, 2, 1, 2])]);
    place.tensors("large", &[source(&[5, 2, 6000, 2]), target(&[1, 2, 1, 2])]);
    place.tensors("large label", &[source(&[5, 2, 6, 2]), target(&[1, 2, 1, 6000])]);
    place.tensors("ignored", &[source(&[5, 2, 6, 2]), target(&[1, 2, 1, i64::from(u32::MAX)])]);
    place.tensors("endless", &[source(&[5, 2, 6, 7]), target(&[1, 2, 1, 2])]);
    place.tensors("gap", &[source(&[0, 2, 6, 2]), target(&[1, 2, 1, 2])]);
    place.tensors("no begin", &[source(&[5, 2, 6, 2]), target(&[1, 2, 9, 2])]);
    place.tensors("no end", &[source(&[5, 2, 6, 2]), target(&[1, 9, 1, 2])]);
    place.tensors("blank", &[source(&[5, 2, 0, 0]), target(&[1, 2, 1, 2])]);
    place.tensors("rows", &[source(&[5, 2, 6, 2]), ("target", Dtype::I64, &[1, 2], i64s(&[1, 2]))]);
    place.tensors("short", &[source(&[5, 2, 6, 2]), ("target", Dtype::I64, &[2, 1], i64s(&[1, 1]))]);
    place.tensors("none", &[("source", Dtype::I64, &[0, 2], vec![]), ("target", Dtype::I64, &[0, 2], vec![])]);
    for (batch, message) in [
        ("no target", "error: no target: has no tensor \"target\""),
        ("negative", "error: negative: \"source\": row 1 has -6, which is no token"),
        ("large", "error: large: \"source\": row 1 has 6000, which is no token: they are 0 to "),
        ("large label", "error: large label: \"target\": row 1 has 6000, which is no token: they are 0 to "),
        ("ignored", "error: ignored: \"target\": row 1 has 4294967295, which is no token"),
        ("endless", "error: endless: \"source\": row 1 does not end with 2"),
        ("gap", "error: gap: \"source\": row 0 has padding before its end"),
        ("no begin", "error: no begin: \"target\": row 1 does not begin with 1"),
        ("no end", "error: no end: \"target\": row 0 does not end with 2"),
        ("blank", "error: blank: \"source\": row 1 is padding alone"),
        ("rows", "\"source\" is [2, 2], \"target\" [1, 2]"),
        ("short", "a target has two tokens at least"),
        ("none", "\"source\" is I64 [0, 2]: it is empty"),
    ] {
        let files = ["--weights", "run/weights.safetensors", "--batch", batch, "--output", "out"];
        place.fails(&[&["step", "--config", "tiny.toml"], &files[..]].concat(), &[message]);
    }
    // Such a network would need gigabytes.
    place.tensors("wide", &[("embedder.weight", Dtype::I8, &[1 << 26, 1], vec![1; 1 << 26])]);
    let files = ["--weights", "wide", "--batch", "none", "--output", "out"];
    let message = "embedder.weight is [67108864, 1] where the model has [67108864, 8]";
    place.fails(&[&["step", "--config", "tiny.toml"], &files[..]].concat(), &[message]);
}
