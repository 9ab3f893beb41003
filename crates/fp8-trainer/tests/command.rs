//! The program: what it prints, exits with and leaves behind.

mod common;
#[path = "common/place.rs"]
mod place;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{TINY, TINY_TEXT};
use place::{Place, i64s, stderr};
use safetensors::{Dtype, SafeTensors};

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Values in -1..1 that look random.
fn noise(len: usize) -> Vec<u8> {
    f32s(&(0..len).map(|i| (i as f32 * 12.9898).sin()).collect::<Vec<_>>())
}

#[test]
fn train_then_eval() {
    let place = Place::new("tiny.toml", TINY);
    let printed = place.succeeds(&["train", "tiny.toml", "--set", "training.epochs=1", "--output", "run"]);
    assert!(printed.contains("4 steps, 0 skipped"), "{printed}");
    assert!(printed.contains("sha256 "), "{printed}");
    let evaluated = place.succeeds(&["eval", "run"]);
    assert!(evaluated.contains("of 12 images"), "{evaluated}");
    let percent = |text: &str| text.split("top-1 ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    assert_eq!(percent(&evaluated), percent(&printed));
    let other = place.succeeds(&["eval", "tiny.toml", "--weights", "run/weights.safetensors", "--set", "recipe=fp32"]);
    assert!(other.contains("of 12 images"), "{other}");
    place.fails(&["eval", "tiny.toml"], &["--weights is needed"]);
    place.fails(&["train", "tiny.toml", "--output", "run"], &["run: holds a run already", "--resume"]);
    fs::write(place.path().join("run/provenance.toml"), "elsewhere").unwrap();
    place.succeeds(&["train", "run/config.toml", "--output", "run", "--resume"]);
    assert_eq!(fs::read_to_string(place.path().join("run/provenance.toml")).unwrap(), "elsewhere", "it was finished");
}

#[test]
fn mistakes_in_a_configuration_are_named() {
    let place = Place::new("tiny.toml", TINY);
    for (set, message) in [
        ("training.epocs=3", "error: tiny.toml: unknown field `training.epocs` (did you mean `epochs`?)"),
        ("recipe=fp9", "error: tiny.toml: `recipe`: unknown recipe \"fp9\" (did you mean \"fp8\"?)"),
        ("training.batch=33", "error: tiny.toml: `training.batch`: is 33, of training images there are 32"),
        ("data={kind = 'cifar10', folder = 'nowhere'}", "nowhere"),
    ] {
        place.fails(&["train", "tiny.toml", "--set", set, "--output", "run"], &[message]);
    }
    place.fails(&["train", "missing.toml"], &["error: reading missing.toml: "]);
    fs::write(place.path().join("broken.toml"), "[training\nepochs = 3").unwrap();
    place.fails(&["train", "broken.toml"], &["error: broken.toml: TOML parse error at line 1"]);
}

#[test]
fn missing_data_are_told_how_to_be_had() {
    let place = Place::new("tiny.toml", TINY);
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    for manifest in fs::read_dir(manifests).unwrap() {
        let name = manifest.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let data = format!("data={{kind = 'folder', folder = 'data/{name}'}}");
        let message = format!("`cargo xtask fetch {name}` downloads it");
        place.fails(&["train", "tiny.toml", "--set", &data, "--output", "run"], &[&message]);
    }
}

#[test]
fn a_truncated_cifar_file_is_named() {
    let place = Place::new("tiny.toml", TINY);
    let folder = place.path().join("cifar");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("batches.meta.txt"), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n").unwrap();
    (1..=5).for_each(|batch| fs::write(folder.join(format!("data_batch_{batch}.bin")), vec![0; 3073 * 2]).unwrap());
    fs::write(folder.join("test_batch.bin"), vec![0; 3073 + 5]).unwrap();
    let set = "data={kind = 'cifar10', folder = 'cifar'}";
    let output = place.command(&["train", "tiny.toml", "--set", set]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let [warning, error] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!(output.status.code(), Some(1));
    assert!(error.starts_with("error: data: ") && error.contains("test_batch.bin: 3078 bytes"), "{error}");
    // Where a file ends with an image it may be cut or small.
    assert!(warning.contains("have 10000 images each, but here data_batch_1.bin 2, data_batch_2.bin 2,"), "{warning}");
}

/// The built-in recipes name layers of several kinds of networks: nothing is said of those.
#[test]
fn exempt_layers_that_there_are_not_are_told() {
    let place = Place::new("tiny.toml", TINY);
    place.write("text.toml", TINY_TEXT);
    let said = |configuration, recipe: &str| {
        place.write("own.toml", recipe);
        let set = ["--set", "recipe=own.toml", "--set", "training.epochs=1", "--output", "run"];
        let output = place.run(&[&["train", configuration], &set[..]].concat(), "");
        fs::remove_dir_all(place.path().join("run")).unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let warnings = stderr(&output);
        warnings.lines().filter(|line| line.contains("exempt.layers")).map(String::from).collect::<Vec<_>>()
    };
    let warnings = said("tiny.toml", "base = 'fp8'\nexempt.layers = ['nolayer', 'layer1', 'fcc', 'fc', 'layer2.*']");
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("WARN") && warnings[0].contains("no layer of the network is called \"nolayer\"; "));
    assert!(warnings[1].contains("\"layer1\" (did you mean \"layer1.*\""), "{warnings:?}");
    assert!(warnings[2].contains("\"fcc\" (did you mean \"fc\"?)"), "{warnings:?}");
    for layers in ["", "exempt.layers = ['input', 'conv1', 'avgpool', 'fc']", "exempt.layers = ['*']"] {
        for configuration in ["tiny.toml", "text.toml"] {
            let warnings = said(configuration, &format!("base = 'fp8'\n{layers}"));
            assert!(warnings.is_empty(), "{configuration} {layers} {warnings:?}");
        }
    }
}

/// Paths of a configuration are relative to where a run is begun: elsewhere it is said where they were looked for.
#[test]
fn a_run_that_is_evaluated_elsewhere_says_where_it_looks() {
    let place = Place::new("own.toml", "data = { kind = 'folder', folder = 'photographs' }");
    for arguments in [&["train", "own.toml"][..], &["eval", "own.toml", "--weights", "weights.safetensors"]] {
        let here = place.path().canonicalize().unwrap();
        let expected = format!("relative to the current directory, {}", here.display());
        place.fails(arguments, &["error: data: cannot read photographs", &expected, "--set"]);
    }
}

#[test]
fn formats_fit_into_a_terminal() {
    let place = Place::new("tiny.toml", TINY);
    let said = place.succeeds(&["formats"]);
    assert!(said.lines().count() > 9 && said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let codes = place.succeeds(&["formats", "--format", "e4m3"]);
    assert!(codes.lines().count() == 64 && codes.ends_with("ff  1 1111 111  NaN\n"), "{codes}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let place = Place::new("tiny.toml", TINY);
    fs::write(place.path().join("file"), "").unwrap();
    place.fails(&["train", "tiny.toml", "--output", "file/run"], &["error: making the folder file/run: "]);
}

/// A file size limit stands for a full disk: the write fails half-way.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_part_of_a_file() {
    let place = Place::new("tiny.toml", TINY);
    place.tensors("in.safetensors", &[("w", Dtype::F32, &[100_000], noise(100_000))]);
    let before = place.files();
    let program = env!("CARGO_BIN_EXE_fp8-trainer");
    let script =
        format!("trap '' XFSZ; ulimit -f 64; exec {program} cast in.safetensors out.safetensors --format bf16");
    let output = Command::new("sh").args(["-c", &script]).current_dir(place.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: writing out.safetensors: "), "{}", stderr(&output));
    assert_eq!(place.files(), before);
}

/// F64 becomes F32 in one way: others are not taken for granted. All other formats are exact in F32, whatever the rounding.
#[test]
fn a_cast_from_f64_to_f32_takes_no_rounding() {
    let place = Place::new("tiny.toml", TINY);
    place.tensors("in", &[("w", Dtype::F64, &[1], 1e300_f64.to_le_bytes().to_vec())]);
    for more in [["--rounding", "rtz"], ["--rounding", "sr"], ["--overflow", "saturate"]] {
        place.fails(&[&["cast", "in", "out", "--format", "f32"], &more[..]].concat(), &["in: w is F64"]);
    }
    place.succeeds(&["cast", "in", "out", "--format", "f32", "--rounding", "rne"]);
    place.succeeds(&["cast", "out", "half", "--format", "f16", "--overflow", "saturate"]);
    place.succeeds(&["cast", "half", "back", "--format", "f32", "--rounding", "sr", "--overflow", "saturate"]);
}

/// Scales of F8_E8M0 are numbers as others are, exact in f32. There is no way back, for other numbers are no scales.
#[test]
fn scales_are_cast_from_and_not_to() {
    let place = Place::new("tiny.toml", TINY);
    place.tensors("in", &[("scale", Dtype::F8_E8M0, &[4], vec![0, 126, 254, 255])]);
    let said = place.succeeds(&["cast", "in", "out", "--format", "f32"]);
    assert!(said.contains("1 tensors to f32, 0 left as they are"), "{said}");
    let bytes = fs::read(place.path().join("out")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let expected = f32s(&[2_f32.powi(-127), 0.5, 2_f32.powi(127), f32::NAN]);
    assert_eq!(tensors.tensor("scale").unwrap().dtype(), Dtype::F32);
    assert_eq!(tensors.tensor("scale").unwrap().data(), expected);
    let refused = place.run(&["cast", "out", "back", "--format", "e8m0"], "");
    assert_eq!(refused.status.code(), Some(2), "a mistake on the command line");
    let said = stderr(&refused);
    assert!(said.contains("e8m0 is for scales: powers of two, no sign, no zero; choose one of e5m2, e4m3,"), "{said}");
}

/// What only stochastic rounding takes is said to do nothing elsewhere.
#[test]
fn random_bits_go_with_stochastic_rounding() {
    let place = Place::new("tiny.toml", TINY);
    place.tensors("in", &[("w", Dtype::F32, &[100], noise(100))]);
    let cast = |more: &[&'static str]| [&["cast", "in", "out", "--format", "e5m2"], more].concat();
    let codes = || fs::read(place.path().join("out")).unwrap();
    place.succeeds(&cast(&[]));
    let nearest = codes();
    for option in ["--seed", "--step", "--random-bits"] {
        let output = place.command(&cast(&[option, "3"])).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(said, format!("{option} changes nothing, as rounding is rne: it is for --rounding sr\n"));
        assert_eq!(codes(), nearest);
    }
    let mut written = Vec::new();
    for more in [
        ["--seed", "3"],
        ["--step", "3"],
        ["--random-bits", "3"],
        ["--seed", "0"],
        ["--step", "0"],
        ["--random-bits", "16"],
    ] {
        place.succeeds(&cast(&[&["--rounding", "sr"], &more[..]].concat()));
        written.push(fs::read(place.path().join("out")).unwrap());
    }
    assert!(written[3] == written[4] && written[4] == written[5], "0, 0 and 16 are the defaults");
    assert!((0..3).all(|i| (i + 1..4).all(|j| written[i] != written[j])), "each makes a difference");
}

/// What is written to the standard output is the file alone, wherever that goes; the summary stands on the standard error.
#[cfg(unix)]
#[test]
fn a_file_may_be_the_standard_output() {
    let place = Place::new("tiny.toml", TINY);
    place.tensors("in.safetensors", &[("w", Dtype::F32, &[100], noise(100))]);
    place.succeeds(&["cast", "in.safetensors", "out.safetensors", "--format", "bf16"]);
    std::os::unix::fs::symlink("/proc/self/fd/1", place.path().join("link")).unwrap();
    if !place.path().join("link").exists() {
        return;
    }
    let cast = ["cast", "in.safetensors", "link", "--format", "bf16"];
    let piped = place.run(&cast, "");
    assert!(piped.stdout == place.read("out.safetensors"), "{}", stderr(&piped));
    assert!(stderr(&piped).starts_with("1 tensors to bf16"), "{}", stderr(&piped));
    let file = fs::File::create(place.path().join("redirected")).unwrap();
    assert!(place.command(&cast).stdout(file).output().unwrap().status.success());
    assert_eq!(place.read("redirected"), piped.stdout);
    assert!(fs::symlink_metadata(place.path().join("link")).unwrap().is_symlink());
}

/// So it may the standard error, and a file that the shell has opened under a number.
#[cfg(unix)]
#[test]
fn a_file_may_be_open_already() {
    let place = Place::new("tiny.toml", TINY);
    place.tensors("in.safetensors", &[("w", Dtype::F32, &[100], noise(100))]);
    place.succeeds(&["cast", "in.safetensors", "out.safetensors", "--format", "bf16"]);
    let cast = |name: &str| format!("{} cast in.safetensors {name} --format bf16", env!("CARGO_BIN_EXE_fp8-trainer"));
    let shell = |script: &str| Command::new("sh").args(["-c", script]).current_dir(place.path()).output().unwrap();
    for (number, name) in [(2, "error"), (3, "other")] {
        std::os::unix::fs::symlink(format!("/dev/fd/{number}"), place.path().join(name)).unwrap();
        let file = format!("written by {number}");
        // Were it renamed over, the shell's own line would be lost.
        let output = shell(&format!("exec {number}>>'{file}'; {} || exit 1; echo end >&{number}", cast(name)));
        let expected = [&place.read("out.safetensors")[..], b"end\n"].concat();
        assert!(place.read(&file) == expected, "{number}: {}", String::from_utf8_lossy(&place.read(&file)));
        assert!(output.status.success() && output.stdout.starts_with(b"1 tensors to bf16"), "{output:?}");
        assert!(fs::symlink_metadata(place.path().join(name)).unwrap().is_symlink());
    }
    assert!(shell(&format!("{} > both 2>&1", cast("error"))).status.success());
    assert_eq!(place.read("both"), place.read("out.safetensors"), "and no summary");
}

/// Nobody listens on the standard error, or there is no room for what it says: the run goes on, and says what to say on the standard output.
#[cfg(target_os = "linux")]
#[test]
fn a_deaf_standard_error_ends_no_run() {
    let place = Place::new("tiny.toml", TINY);
    let run = |name: &str, error: std::process::Stdio, set: &[&str]| {
        let arguments = [&["train", "tiny.toml", "--output", name], set].concat();
        place.command(&arguments).env("RUST_LOG", "trace").stderr(error).output().unwrap()
    };
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    for (name, error) in [("full", full().into()), ("closed", closed.into())] {
        let output = run(name, error, &[]);
        assert!(output.status.success() && output.stdout.starts_with(b"validation loss "), "{name}: {output:?}");
    }
    assert_eq!(run("none", full().into(), &["--set", "training.batch=33"]).status.code(), Some(1));
}

/// Why the last checkpoint is of no use stands in the log.
#[cfg(unix)]
#[test]
fn a_checkpoint_that_cannot_be_read_is_told_of() {
    let place = Place::new("tiny.toml", TINY);
    let train = ["train", "tiny.toml", "--output", "run"];
    place.succeeds(&train);
    fs::remove_file(place.path().join("run/checkpoint")).unwrap();
    fs::create_dir(place.path().join("run/checkpoint")).unwrap();
    let output = place.command(&[&train[..], &["--resume"]].concat()).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    for part in ["going on from run/checkpoint.previous", "reading run/checkpoint", "Is a directory"] {
        assert!(said.contains(part), "{said}");
    }
}

/// Stopped by SIGINT, resumed: the same weights as never stopped.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_a_run_that_goes_on() {
    use std::io::{BufRead, BufReader};
    let place = Place::new("tiny.toml", TINY);
    let longer = ["--set", "training.epochs=6", "--set", "log.checkpoint_every_steps=1"];
    let whole = [&["train", "tiny.toml", "--output", "whole"], &longer[..]].concat();
    let digest = |text: &str| text.split("sha256 ").nth(1).unwrap().trim().to_string();
    let expected = digest(&place.succeeds(&whole));

    let part = [&["train", "tiny.toml", "--output", "part"], &longer[..]].concat();
    let mut child = place.command(&part).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("epoch 1/6: loss "));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    let command = rest.last().unwrap().trim();
    assert_eq!(command, "fp8-trainer train part/config.toml --output part --resume");
    assert!(!place.path().join("part/weights.safetensors").exists());

    let resumed = place.succeeds(&command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(digest(&resumed), expected);
    assert_eq!(place.read("part/weights.safetensors"), place.read("whole/weights.safetensors"));
}

/// What `step` writes agrees with itself: a plain SGD step without momentum is param = weight - rate * grad.
#[test]
fn step_writes_all_that_it_computed() {
    let place = Place::new("tiny.toml", TINY);
    place.succeeds(&["train", "tiny.toml", "--set", "training.epochs=1", "--output", "run", "--set", "recipe=fp32"]);
    place.tensors(
        "batch.safetensors",
        &[("input", Dtype::F32, &[4, 3, 8, 8], noise(4 * 3 * 64)), ("target", Dtype::I64, &[4], i64s(&[0, 9, 3, 3]))],
    );
    let weights = "run/weights.safetensors";
    let step = |output: &str, more: &[&str]| {
        let files = ["--config", "tiny.toml", "--weights", weights, "--batch", "batch.safetensors", "--output", output];
        place.succeeds(&[&["step"], &files[..], more].concat());
        place.read(output)
    };
    let bytes = step(
        "out.safetensors",
        &["--set", "recipe=fp32", "--set", "optimizer.momentum=0.0", "--set", "optimizer.kind=sgd"],
    );
    let out = SafeTensors::deserialize(&bytes).unwrap();
    let before = place.read(weights);
    let before = SafeTensors::deserialize(&before).unwrap();
    let values = |file: &SafeTensors<'_>, name: &str| -> Vec<f32> {
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        tensor.data().as_chunks().0.iter().map(|&code| f32::from_le_bytes(code)).collect()
    };
    assert_eq!(out.tensor("loss").unwrap().shape(), [0_usize; 0]);
    assert_eq!(out.tensor("logits").unwrap().shape(), [4, 10]);
    let mut parameters = 0;
    for name in before.names().into_iter().filter(|name| !name.contains("running") && !name.contains("tracked")) {
        let (weight, gradient) = (values(&before, name), values(&out, &format!("grad.{name}")));
        assert_eq!(out.tensor(&format!("grad.{name}")).unwrap().shape(), before.tensor(name).unwrap().shape());
        for ((w, g), p) in weight.iter().zip(&gradient).zip(values(&out, &format!("param.{name}"))) {
            assert!((w - 0.05 * g - p).abs() <= 1e-6 * (1.0 + w.abs()), "{name}: {w} - 0.05 * {g} is not {p}");
        }
        parameters += 1;
    }
    assert_eq!(parameters, 62);
    assert_eq!(values(&out, "buffer.bn1.running_mean").len(), 4);

    // Stochastic rounding: the same step again, by another number of threads; another step, other bits.
    let first = step("a.safetensors", &["--threads", "1"]);
    assert_eq!(first, step("b.safetensors", &["--threads", "3"]));
    assert_ne!(first, step("c.safetensors", &["--number", "1"]));
}

#[test]
fn step_names_what_is_wrong_with_its_files() {
    let place = Place::new("tiny.toml", TINY);
    place.succeeds(&["train", "tiny.toml", "--set", "training.epochs=1", "--output", "run"]);
    let good = noise(2 * 3 * 64);
    let mut bad = good.clone();
    bad[28..32].copy_from_slice(&f32::NAN.to_le_bytes());
    let input = |data: &Vec<u8>| ("input", Dtype::F32, &[2_usize, 3, 8, 8][..], data.clone());
    let target = |classes: &[i64]| ("target", Dtype::I64, &[2_usize][..], i64s(classes));
    place.tensors("good", &[input(&good), target(&[1, 2])]);
    place.tensors("nan", &[input(&bad), target(&[1, 2])]);
    place.tensors("class", &[input(&good), target(&[1, 10])]);
    place.tensors("ignored", &[input(&good), target(&[1, i64::from(u32::MAX)])]);
    place.tensors("small", &[("input", Dtype::F32, &[1, 3, 1, 1], noise(3)), ("target", Dtype::I64, &[1], i64s(&[1]))]);
    place.tensors("negative", &[input(&good), target(&[1, -1])]);
    place.tensors("no target", &[input(&good)]);
    place.tensors("flat", &[("input", Dtype::F32, &[2 * 3 * 64], good.clone()), target(&[1, 2])]);
    place.tensors(
        "grey",
        &[("input", Dtype::F32, &[6, 1, 8, 8], good.clone()), ("target", Dtype::I64, &[6], i64s(&[0; 6]))],
    );
    place.tensors("other weights", &[("conv1.weight", Dtype::F32, &[4, 3, 3, 3], noise(108))]);
    place.tensors("no channels", &[("conv1.weight", Dtype::F32, &[4, 0, 3, 3], vec![])]);
    place.tensors("no classes", &[("fc.weight", Dtype::F32, &[0, 32], vec![])]);
    // Networks of these sizes would need terabytes.
    place.tensors("channels", &[("conv1.weight", Dtype::F32, &[0, 1 << 60], vec![])]);
    place.tensors("classes", &[("fc.weight", Dtype::I8, &[1 << 22, 1], vec![1; 1 << 22])]);
    place.tensors("axes", &[("fc.weight", Dtype::F32, &[], vec![0; 4])]);
    fs::write(place.path().join("cut"), &place.read("run/weights.safetensors")[..5000]).unwrap();
    fs::write(place.path().join("text"), "no tensors here").unwrap();
    let own = "run/weights.safetensors";
    for (weights, batch, message) in [
        (own, "nan", "error: nan: \"input\": element 7 is NaN"),
        (own, "class", "error: class: \"target\": row 1 has 10, which is no class: they are 0 to 9"),
        (own, "ignored", "error: ignored: \"target\": row 1 has 4294967295, which is no class"),
        (own, "small", "error: small: "),
        (own, "negative", "error: negative: \"target\": row 1 has -1, which is no class"),
        (own, "no target", "error: no target: has no tensor \"target\""),
        (own, "flat", "error: flat: \"input\" is F32 [384]; F32 of 4 axes is wanted"),
        (own, "grey", "error: grey: \"input\" is [6, 1, 8, 8]: images of 3 channels are wanted"),
        (own, "text", "error: text: not a valid safetensors file (15 bytes)"),
        (own, "nowhere", "error: reading nowhere: "),
        (
            "other weights",
            "good",
            "error: other weights: weights of another model:\n  missing: bn1.bias, bn1.running_mean",
        ),
        ("no channels", "good", "error: no channels: \"conv1.weight\" is F32 [4, 0, 3, 3]: it is empty"),
        ("no classes", "good", "error: no classes: \"fc.weight\" is F32 [0, 32]: it is empty"),
        (
            "channels",
            "good",
            "conv1.weight is [0, 1152921504606846976] where the model has [4, 1152921504606846976, 3, 3]",
        ),
        ("classes", "good", "fc.weight is [4194304, 1] where the model has [4194304, 32]"),
        ("axes", "good", "fc.weight is [] where the model has [10, 32]"),
        ("cut", "good", "error: cut: not a valid safetensors file"),
        ("nowhere", "good", "error: reading nowhere: "),
    ] {
        let arguments = ["step", "--config", "tiny.toml", "--weights", weights, "--batch", batch, "--output", "out"];
        place.fails(&arguments, &[message]);
    }
    let arguments = [
        "step",
        "--config",
        "tiny.toml",
        "--weights",
        "run/weights.safetensors",
        "--batch",
        "good",
        "--output",
        "no/out",
    ];
    place.fails(&arguments, &["error: writing no/out: "]);
    place.fails(
        &[&arguments[..], &["--set", "model.width=8"]].concat(),
        &["of another shape: conv1.weight is [4, 3, 3, 3] where the model has [8, 3, 3, 3]"],
    );
}
