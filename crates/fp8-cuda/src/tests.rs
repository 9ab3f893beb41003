//! Every kernel compiles for every generation of cards, on a machine without any: by NVRTC, where there is one.

use crate::kernels::{Source, compile};
use crate::nvrtc::Nvrtc;
use crate::{
    additive_attention, attention, batch_norm, columns, cross_entropy, elementwise, embedding, gemm, layer_norm, lstm,
    pool, reduce, update,
};

/// The oldest cards that we know, those with FP8 in the tensor cores of a warp, and Hopper.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_89", "sm_90a"];

type Row = (&'static Source, Names, Names, Names);
type Names = &'static [&'static str];

/// Sources, and the macros of their types: of inputs, of inputs that may be absent, of outputs; each output has a rounding.
const SOURCES: [Row; 25] = [
    (&elementwise::CAST, &["X"], &[], &["Y"]),
    (&elementwise::ADD, &["A"], &["B"], &["Y"]),
    (&elementwise::RELU_BACKWARD, &["DY"], &["Y", "R"], &["DX"]),
    (&elementwise::DROPOUT, &["X"], &["R"], &["Y"]),
    (&reduce::REDUCE, &["X"], &[], &[]),
    (&reduce::SUM_ROWS, &["X"], &[], &["Y"]),
    (&gemm::PLAIN, &["A", "B"], &["R"], &["Y"]),
    (&batch_norm::STATISTICS, &["X"], &[], &[]),
    (&batch_norm::FORWARD, &["X"], &["R"], &["Y"]),
    (&batch_norm::BACKWARD, &["DY", "X"], &["Y"], &["DX"]),
    (&pool::MAX, &["X"], &[], &["Y"]),
    (&pool::MAX_BACKWARD, &["DY"], &[], &["DX"]),
    (&pool::AVERAGE, &["X"], &[], &["Y"]),
    (&pool::AVERAGE_BACKWARD, &["DY"], &[], &["DX"]),
    (&update::UPDATE, &["G"], &[], &["M", "W"]),
    (&embedding::FORWARD, &["W"], &[], &["Y"]),
    (&embedding::BACKWARD, &["DY"], &["R"], &["DW"]),
    (&columns::JOIN, &["X"], &[], &["Y"]),
    (&columns::COLUMNS, &["X"], &["R"], &["Y"]),
    (&cross_entropy::CROSS_ENTROPY, &["X"], &[], &["Y"]),
    (&layer_norm::LAYER_NORM, &["X"], &["DY", "R"], &["Y"]),
    (&attention::SCORES, &["A", "B"], &[], &[]),
    (&attention::SUMS, &["X"], &["R"], &["Y"]),
    (&additive_attention::SCORES, &["Q", "K"], &["DY", "V"], &[]),
    (&additive_attention::SUMS, &["Q", "K"], &["X", "R"], &["Y"]),
];

/// Those with more types of their own than a table has room for.
const LSTM: &[(&str, &str)] = &[("DY", "None"), ("Y", "E5M2"), ("Y_ROUNDING", "SR")];

const TYPES: [&str; 8] = ["F32", "E5M2", "F16", "Bf16", "E4M3", "E5M2Fnuz", "E4M3Fnuz", "E3M4"];
const ROUNDINGS: [&str; 8] = ["RNE", "SR", "SR", "RNE", "RTP", "SR_WIDE", "RNA", "RTZ"];

/// Those that are compiled: all would take a minute.
const KINDS: [usize; 3] = [0, 1, 5];

/// Definitions of one kind: the `n`th types and rounding; what may be absent is, every other time.
fn defines(n: usize, [inputs, optional, outputs]: [Names; 3]) -> Vec<(String, String)> {
    let of = |names: &[&str], value: &str| names.iter().map(|name| (name.to_string(), value.to_string())).collect();
    let even = n.is_multiple_of(2);
    let absent = if even { "None" } else { TYPES[n] };
    let roundings = outputs.iter().map(|name| (format!("{name}_ROUNDING"), ROUNDINGS[n].to_string())).collect();
    let kinds = [("LINES_A", "Dense", "Patches"), ("LINES_B", "Taps", "PatchElements"), ("RULE", "Sgd", "AdamW")];
    let kinds = kinds.map(|(name, first, second)| (name.into(), if even { first } else { second }.into()));
    [of(inputs, TYPES[n]), of(optional, absent), of(outputs, TYPES[(n + 1) % 8]), roundings, kinds.to_vec()].concat()
}

fn check(nvrtc: &Nvrtc, source: &Source, defines: &[(&'static str, &str)]) {
    for architecture in ARCHITECTURES {
        let code = compile(nvrtc, source, defines, architecture).unwrap_or_else(|error| panic!("{error}"));
        assert!(code.starts_with(b"\x7fELF"), "{} for {architecture}: no machine code", source.name);
    }
}

#[test]
fn every_kernel_compiles() {
    let nvrtc = match Nvrtc::find() {
        Ok(nvrtc) => nvrtc,
        Err(error) => {
            // Not a failure of ours: `cargo xtask check` fetches NVRTC and names it.
            eprintln!("kernels were not compiled: {error}");
            return;
        }
    };
    for (source, inputs, optional, outputs) in SOURCES {
        for n in KINDS {
            let owned = defines(n, [inputs, optional, outputs]);
            let defines: Vec<(&'static str, &str)> =
                owned.iter().map(|(name, value)| (&*name.clone().leak(), value.as_str())).collect();
            check(&nvrtc, source, &defines);
        }
    }
    check(&nvrtc, &lstm::LSTM, LSTM);
}

/// No .cu file is forgotten.
#[test]
fn every_source_is_in_the_table() {
    let known: Vec<&str> = SOURCES.iter().map(|(source, ..)| source.name).chain([lstm::LSTM.name]).collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            assert!(!name.ends_with(".cu") || known.contains(&name.as_str()), "{name} is compiled by no test");
        }
    }
}
