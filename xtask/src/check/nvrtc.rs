//! NVIDIA's run-time compiler, for machines without CUDA: kernels compile, and so are checked, where they cannot run.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::fetch::{self, manifest};
use crate::repository;

/// The wheel on PyPI.
const URL: &str = "https://files.pythonhosted.org/packages/c3/68/483a78f5e8f31b08fb1bb671559968c0ca3a065ac7acabfc7cee55214fd6/nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl";
const SIZE: u64 = 90_215_200;
const SHA256: &str = "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575";

/// The library and what it loads.
const LIBRARIES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc-builtins.so.13.0"];

/// The library's place: the one that `FP8_NVRTC` names, else below `target/`, where it is put the first time.
pub fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("FP8_NVRTC") {
        return Ok(named.into());
    }
    ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "the package is for Linux on x86-64");
    let folder = repository::root()?.join("target/nvrtc-13.0.88");
    let places = LIBRARIES.map(|name| folder.join(name));
    if !places.iter().all(|place| place.exists()) {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        unpack(&fetch(&folder)?, &places)?;
    }
    let [library, _] = places;
    Ok(library)
}

fn fetch(folder: &std::path::Path) -> Result<PathBuf> {
    let file = manifest::File {
        url: URL.into(),
        size: SIZE,
        sha256: SHA256.into(),
        digest_source: "PyPI".into(),
        unpack: false,
    };
    fetch::download(&file, folder)?;
    Ok(folder.join(file.name()))
}

/// Takes the libraries out of the wheel, which then goes.
fn unpack(wheel: &std::path::Path, places: &[PathBuf]) -> Result<()> {
    let reading = || format!("reading {}", wheel.display());
    let mut archive = zip::ZipArchive::new(File::open(wheel).with_context(reading)?).with_context(reading)?;
    for place in places {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let mut entry = archive.by_name(&format!("nvidia/cu13/lib/{name}")).with_context(reading)?;
        let part = place.with_extension("part");
        let writing = || format!("writing {}", place.display());
        io::copy(&mut entry, &mut File::create(&part).with_context(writing)?).with_context(writing)?;
        fs::rename(&part, place).with_context(writing)?;
    }
    fs::remove_file(wheel).with_context(|| format!("removing {}", wheel.display()))
}
