//! The program in a folder of its own.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

/// A folder with a configuration, in which the program runs.
pub struct Place(TempDir);

impl Place {
    pub fn new(name: &str, configuration: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(name, configuration);
        place
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fp8-trainer"));
        command.current_dir(self.path()).args(arguments).env_remove("RUST_LOG");
        command
    }

    /// Runs the program with this on its standard input.
    pub fn run(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that has failed reads no more.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        child.wait_with_output().unwrap()
    }

    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}\n{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exits with 1 and says `message`, on one line that begins with `error: `; leaves no new file behind.
    pub fn fails(&self, arguments: &[&str], messages: &[&str]) {
        self.fails_reading(arguments, "", messages);
    }

    /// As `fails`, given this on the standard input.
    pub fn fails_reading(&self, arguments: &[&str], input: impl AsRef<[u8]>, messages: &[&str]) {
        let before = self.files();
        let output = self.run(arguments, input);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}\n{said}");
        assert!(said.starts_with("error: "), "{said}");
        messages.iter().for_each(|message| assert!(said.contains(message), "{arguments:?}\n{said}\n{message}"));
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(self.files(), before, "{arguments:?}");
    }

    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.display().to_string());
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// Writes a safetensors file.
    pub fn tensors(&self, name: &str, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
        fs::write(self.path().join(name), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn i64s(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
