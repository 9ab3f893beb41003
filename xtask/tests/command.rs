//! The program itself, in folders that are no checkout and in those of this one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn xtask(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments).current_dir(folder).env_remove("FP8_DATA").output().unwrap()
}

/// What it says on the standard error, having failed.
fn failure(folder: &Path, arguments: &[&str]) -> String {
    let output = xtask(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn outside_any_checkout_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().canonicalize().unwrap();
    fs::write(here.join("c.toml"), "[data]\nkind = 'generated'\n").unwrap();
    let none = format!("error: {} lies in no checkout of fp8: go into one", here.display());
    let output = ", or choose a folder with --output\n";
    for (arguments, advice) in [
        (&["tidy"][..], "\n"),
        (&["fetch", "cifar10"], "\n"),
        (&["bench", "casts"], output),
        (&["sweep", "c.toml", "--vary", "training.epochs=1,2"], output),
        (&["reproduce", "imagenet", "--data", "synthetic"], output),
        (
            &["reproduce", "imagenet"],
            ", or name the folder of data sets in FP8_DATA; --data synthetic does without it\n",
        ),
    ] {
        assert_eq!(failure(&here, arguments), format!("{none}{advice}"), "{arguments:?}");
    }
    assert_eq!(fs::read_dir(&here).unwrap().count(), 1);
}

#[test]
fn a_folder_of_a_checkout_will_do() {
    let said = failure(Path::new(env!("CARGO_MANIFEST_DIR")), &["fetch", "no-such-data"]);
    assert!(said.contains("cifar10"), "{said}");
}

/// What cannot be written is told before anything is measured.
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for output in ["file", "file/run"] {
        let said = failure(folder.path(), &["bench", "gemm", "--output", output]);
        assert!(said.starts_with(&format!("error: making the folder {output}: ")), "{said}");
    }
}

#[test]
fn it_is_called_as_people_call_it() {
    let output = xtask(Path::new("."), &["bench", "--threads", "0"]);
    assert_eq!(output.status.code(), Some(2));
    let help = xtask(Path::new("."), &["fetch", "--help"]);
    assert!(String::from_utf8(help.stdout).unwrap().contains("Usage: cargo xtask fetch "));
}

/// A reader that has seen enough ends nothing.
#[test]
fn a_closed_pipe_is_no_failure() {
    let into = tempfile::tempdir().unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["fetch", "imagenet", "--into"]).arg(into.path()).stdout(closed);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.starts_with("error: nothing in "), "{said}");
}
