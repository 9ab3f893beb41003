//! `--device cuda` where NVIDIA's driver, or the card behind it, will not do: what is told, and that nothing hangs.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/place.rs"]
mod place;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::TINY;
use place::{Place, stderr};

/// Long enough for a program that goes on, not for people.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the program says where the driver's library is the one in this folder.
fn told(place: &Place, stand_in: &str) -> String {
    let before = place.files();
    let mut command = place.command(&["train", "tiny.toml", "--device", "cuda", "--output", "run"]);
    command.env("LD_LIBRARY_PATH", place.path()).env("STAND_IN", stand_in);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{stand_in}: hangs\n{}", stderr(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{stand_in}\n{said}");
    assert!(said.starts_with("error: ") && !said.contains("panicked"), "{stand_in}\n{said}");
    assert_eq!(place.files(), before, "{stand_in}");
    said
}

/// Builds a library of this source under the name that is looked for first.
fn build(place: &Place, source: &str) {
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let mut command = Command::new(if rustc.exists() { rustc } else { "rustc".into() });
    command.args(["--edition", "2024", "--crate-type", "cdylib", "-o", "libcuda.so", "-"]).current_dir(place.path());
    let mut rustc = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    rustc.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let built = rustc.wait_with_output().unwrap();
    assert!(built.status.success(), "{}", stderr(&built));
}

#[test]
fn a_capability_that_is_none_is_told() {
    let place = Place::new("tiny.toml", TINY);
    for given in ["7.5", "9", "new", ""] {
        let mut command = place.command(&["train", "tiny.toml", "--device", "cuda", "--output", "run"]);
        let output = command.env("FP8_CUDA_CAPABILITY", given).output().unwrap();
        let message = format!("FP8_CUDA_CAPABILITY is {given:?}, which is no compute capability from 8.0 on");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&message), "{}", stderr(&output));
    }
}

#[test]
fn a_driver_or_card_that_will_not_do_is_told() {
    let place = Place::new("tiny.toml", TINY);
    build(&place, include_str!("driver/stand_in.rs"));
    for (stand_in, message) in [
        ("no card", "no CUDA-capable device is detected (CUDA_ERROR_NO_DEVICE)"),
        ("mismatch", "unsupported display driver / cuda driver combination (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"),
        ("old driver", "driver here is one for CUDA 11.4; a newer one is needed, for CUDA 12.4 at least"),
        ("old card", "Stand-in has compute capability 7.5; the kernels need at least 8.0"),
        ("full", "out of memory on cuda:0 (Stand-in, promoted sums): "),
        ("failed kernel", "an illegal memory access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS)"),
    ] {
        let said = told(&place, stand_in);
        assert!(said.contains(message), "{stand_in}\n{said}");
    }
}

#[test]
fn a_library_that_is_no_driver_is_told() {
    let place = Place::new("tiny.toml", TINY);
    build(&place, "");
    let said = told(&place, "empty");
    assert!(said.contains("NVIDIA's driver is another library, without a function cuDriverGetVersion"), "{said}");
    for name in ["libcuda.so", "libcuda.so.1"] {
        place.write(name, "no library");
    }
    let said = told(&place, "cut");
    assert!(said.contains("no NVIDIA driver: none of libcuda.so"), "{said}");
}
