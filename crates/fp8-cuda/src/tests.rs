//! Every kernel compiles for every generation of cards, on a machine without any: by NVRTC, where there is one.

use crate::elementwise;
use crate::kernels::{Build, compile};
use crate::nvrtc::Nvrtc;

/// The oldest cards that we know, those with FP8 in the tensor cores of a warp, and Hopper.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_89", "sm_90a"];

#[test]
fn every_kernel_compiles() {
    let nvrtc = match Nvrtc::find() {
        Ok(nvrtc) => nvrtc,
        Err(error) => {
            // Not a failure of ours: CI fetches NVRTC and names it.
            eprintln!("kernels were not compiled: {error}");
            return;
        }
    };
    let builds: Vec<Build> = [elementwise::builds()].into_iter().flatten().collect();
    for Build { source, defines } in &builds {
        for architecture in ARCHITECTURES {
            let code = compile(&nvrtc, source, defines, architecture).unwrap_or_else(|error| panic!("{error}"));
            assert!(code.starts_with(b"\x7fELF"), "{} for {architecture}: no machine code", source.name);
        }
    }
}
