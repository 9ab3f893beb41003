//! Every kernel compiles for every generation of cards, on a machine without any: by NVRTC, where there is one.

mod failed_kernel;

use std::sync::atomic::{AtomicUsize, Ordering};

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
const SOURCES: [Row; 33] = [
    (&elementwise::CAST, &["X"], &[], &["Y"]),
    (&elementwise::LOOK_UP, &[], &[], &["Y"]),
    (&elementwise::ADD, &["A"], &["B"], &["Y"]),
    (&elementwise::RELU_BACKWARD, &["DY"], &["Y", "R"], &["DX"]),
    (&elementwise::DROPOUT, &["X"], &["R"], &["Y"]),
    (&reduce::REDUCE, &["X"], &[], &[]),
    (&reduce::SUMS, &["X"], &[], &[]),
    (&reduce::SUM_ROWS, &["X"], &[], &["Y"]),
    (&gemm::PLAIN, &["A", "B"], &["R"], &["Y"]),
    (&gemm::PARTS, &[], &["R"], &["Y"]),
    (&gemm::PLANES, &[], &[], &[]),
    (&gemm::NARROW, &["X"], &["R"], &["Y"]),
    (&gemm::PACK, &["A"], &[], &[]),
    (&batch_norm::STATISTICS, &["X"], &[], &[]),
    (&batch_norm::FORWARD, &["X"], &["R"], &["Y"]),
    (&batch_norm::BACKWARD_SUMS, &["DY", "X"], &["Y"], &[]),
    (&batch_norm::BACKWARD, &["DY", "X"], &["Y", "R"], &["DX", "DR"]),
    (&pool::MAX, &["X"], &[], &["Y"]),
    (&pool::MAX_BACKWARD, &["DY"], &[], &["DX"]),
    (&pool::AVERAGE, &["X"], &[], &["Y"]),
    (&pool::AVERAGE_BACKWARD, &["DY"], &[], &["DX"]),
    (&update::UPDATE, &["G"], &[], &["M", "FIRST", "SECOND", "W"]),
    (&embedding::FORWARD, &["W"], &[], &["Y"]),
    (&embedding::BACKWARD, &["DY"], &["R"], &["DW"]),
    (&columns::JOIN, &["X"], &[], &["Y"]),
    (&columns::COLUMNS, &["X"], &["R"], &["Y"]),
    (&cross_entropy::CROSS_ENTROPY, &["X"], &[], &["Y"]),
    (&cross_entropy::ROWS, &["X"], &[], &["Y"]),
    (&layer_norm::LAYER_NORM, &["X"], &["DY", "R"], &["Y"]),
    (&attention::SCORES, &["A", "B"], &[], &[]),
    (&attention::SUMS, &["X"], &["R"], &["Y"]),
    (&additive_attention::SCORES, &["Q", "K"], &["DY", "V"], &[]),
    (&additive_attention::SUMS, &["Q", "K"], &["X", "R"], &["Y"]),
];

/// Those with more of their own than a table has room for.
const OTHERS: [(&Source, &[(&str, &str)]); 17] = [
    (&update::UPDATE, &updated("Sgd", "F32", "None", "RNE")),
    (&update::UPDATE, &updated("AdamW", "Bf16", "Bf16", "SR")),
    (&lstm::LSTM, &[("DY", "None"), ("Y", "E5M2"), ("Y_ROUNDING", "SR"), ("KEPT", "F16")]),
    (&lstm::LSTM, &[("DY", "E5M2"), ("Y", "F32"), ("Y_ROUNDING", "RNE"), ("KEPT", "F32")]),
    (&lstm::RECURRENT_FORWARD, &[("DY", "None"), ("Y_ROUNDING", "SR"), ("KEPT", "F16"), ("HIDDEN", "1024")]),
    (&lstm::RECURRENT_FORWARD, &[("DY", "None"), ("Y_ROUNDING", "RNE"), ("KEPT", "None"), ("HIDDEN", "128")]),
    (&lstm::RECURRENT_BACKWARD, &[("DY", "E5M2"), ("Y_ROUNDING", "SR"), ("KEPT", "F16"), ("HIDDEN", "1024")]),
    (&lstm::RECURRENT_BACKWARD, &[("DY", "F16"), ("Y_ROUNDING", "SR_WIDE"), ("KEPT", "F32"), ("HIDDEN", "384")]),
    (&attention::TILED, &TILED[0]),
    (&attention::TILED_QUERIES, &TILED[0]),
    (&attention::TILED_KEYS, &TILED[0]),
    (&attention::TILED_KEYS, &TILED[1]),
    (&attention::WIDE_PRODUCTS, &[("A", "E5M2"), ("B", "E5M2"), ("HALF", "Bf16"), ("WIDTH", "128")]),
    (&attention::WIDE_PRODUCTS, &[("A", "E3M4"), ("B", "F16"), ("HALF", "F16"), ("WIDTH", "128")]),
    (&attention::WIDE_ROWS, &[]),
    (&attention::WIDE_SUMS, &wide_sums("Bf16", "E5M2", "None", "E5M2", "SR")),
    (&attention::WIDE_SUMS, &wide_sums("F16", "F16", "E4M3", "F32", "RNE")),
];

/// Of updates in FP8, with these moments.
const fn updated<'a>(rule: &'a str, first: &'a str, second: &'a str, rounding: &'a str) -> [(&'a str, &'a str); 10] {
    let types = [("RULE", rule), ("G", "E5M2"), ("M", "F16"), ("FIRST", first), ("SECOND", second), ("W", "E5M2")];
    let [a, b, c, d, e, f] = types;
    let [g, h] = [("FIRST_ROUNDING", rounding), ("SECOND_ROUNDING", rounding)];
    [a, b, c, d, e, f, g, h, ("M_ROUNDING", "RNE"), ("W_ROUNDING", "RNE")]
}

/// Of attention by tiles.
const TILED: [[(&str, &str); 12]; 2] =
    [tiled("Bf16", "64", "E5M2", "None", "E5M2", "SR"), tiled("F16", "104", "E3M4", "F16", "F32", "RNE")];

const fn tiled<'a>(
    half: &'a str,
    width: &'a str,
    x: &'a str,
    r: &'a str,
    y: &'a str,
    rounding: &'a str,
) -> [(&'a str, &'a str); 12] {
    let inputs = [("QUERY", x), ("KEY", x), ("VALUE", x), ("DY", "E5M2"), ("R", r), ("VR", r)];
    let outputs = [("Y", y), ("VY", y), ("Y_ROUNDING", rounding), ("VY_ROUNDING", rounding)];
    let [a, b, c, d, e, f] = inputs;
    let [g, h, i, j] = outputs;
    [a, b, c, d, e, f, g, h, i, j, ("HALF", half), ("WIDTH", width)]
}

const fn wide_sums<'a>(
    half: &'a str,
    x: &'a str,
    r: &'a str,
    y: &'a str,
    rounding: &'a str,
) -> [(&'a str, &'a str); 6] {
    [("X", x), ("R", r), ("Y", y), ("Y_ROUNDING", rounding), ("HALF", half), ("WIDTH", "128")]
}

/// Those of the kernel for tensor cores of any card: types of the factors and what they are multiplied as (LEFT, RIGHT), LINES_A, LINES_B, A_ALONG_K, B_ALONG_K, A_WHOLE, B_WHOLE, SUMS,
/// types of residual and result, rounding.
const MMA: [[&str; 14]; 7] = [
    ["E5M2", "F16", "F16", "F16", "Dense", "Taps", "0", "1", "1", "0", "0", "None", "F16", "SR"],
    ["E3M4", "E5M2Fnuz", "F16", "F16", "Patches", "Dense", "1", "0", "0", "1", "0", "E5M2", "E3M4", "RNE"],
    ["Bf16", "Bf16", "Bf16", "Bf16", "Dense", "Dense", "1", "1", "1", "1", "2", "None", "F32", "RNE"],
    ["E5M2", "E5M2", "E5M2", "E5M2", "Patches", "Dense", "1", "1", "1", "1", "2", "None", "E5M2", "SR"],
    ["E5M2", "E4M3", "E5M2", "E4M3", "Dense", "Taps", "1", "0", "1", "1", "1", "F16", "E4M3", "SR"],
    ["E4M3", "E5M2", "E4M3", "E5M2", "Dense", "PatchElements", "0", "0", "1", "1", "0", "None", "E5M2", "RNE"],
    ["E4M3", "E4M3", "E4M3", "E4M3", "Dense", "Dense", "0", "1", "0", "0", "2", "E4M3", "F32", "RNE"],
];

/// Plans of Hopper's own kernel: type of the factors, IMAGES, TILE_N, DEPTH, STAGES, CLUSTER, RESIDENT, SUMS, types of residual and result, rounding, RUN, KEPT.
const HOPPER: [[&str; 13]; 9] = [
    ["E5M2", "0", "256", "128", "4", "2", "1", "2", "None", "E5M2", "SR", "16", "0"],
    ["E5M2", "1", "64", "64", "8", "1", "2", "2", "E5M2", "E5M2", "SR", "16", "1"],
    ["E5M2", "1", "64", "64", "6", "1", "2", "2", "None", "E5M2", "SR", "2", "0"],
    ["E4M3", "0", "128", "128", "7", "2", "1", "1", "F16", "E4M3", "SR", "8", "0"],
    ["E5M2", "0", "256", "128", "6", "1", "1", "0", "F32", "F32", "RNE", "8", "1"],
    ["E5M2", "0", "64", "128", "5", "1", "2", "2", "Bf16", "Bf16", "RNE", "8", "1"],
    ["E5M2", "0", "256", "128", "4", "2", "1", "2", "E3M4", "E5M2Fnuz", "RTP", "2", "0"],
    ["Bf16", "1", "256", "128", "4", "1", "1", "0", "Bf16", "F16", "SR", "8", "0"],
    ["F32", "0", "128", "128", "6", "1", "1", "1", "F32", "F32", "RNE", "2", "1"],
];

/// Those of its kernel for gradients of weights: types of the factors and of their product, IMAGES, TILE_M, TILE_N, STAGES, COPIED.
const ACROSS: [[&str; 8]; 3] = [
    ["E5M2", "E5M2", "F16", "1", "128", "256", "2", "4"],
    ["E4M3", "E5M2", "F16", "0", "64", "128", "2", "6"],
    ["Bf16", "Bf16", "Bf16", "1", "128", "256", "4", "0"],
];

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
    let kinds = [
        ("CHANNELS", "3", "1"),
        ("LINES_A", "Dense", "Patches"),
        ("LINES_B", "Taps", "PatchElements"),
        ("LINES", "Dense", "Taps"),
        ("RULE", "Sgd", "AdamW"),
        ("SQUARES", "1", "0"),
        ("KERNEL", "3", "0"),
        ("STAGED", "1", "0"),
        ("ALIGNED", "1", "0"),
        ("AT_ONCE", "2", "4"),
        ("A_ALONG_K", "0", "1"),
        ("B_ALONG_K", "1", "0"),
        ("A_WHOLE", "1", "0"),
        ("B_WHOLE", "1", "0"),
        ("SPLIT_WHOLE", "1", "0"),
        ("PRODUCTS", "6", "3"),
        ("SUMMED", "8", "1"),
    ];
    let kinds = kinds.map(|(name, first, second)| (name.into(), if even { first } else { second }.into()));
    [of(inputs, TYPES[n]), of(optional, absent), of(outputs, TYPES[(n + 1) % 8]), roundings, kinds.to_vec()].concat()
}

/// A source, what it is compiled with, and for what.
type Unit = (&'static Source, Vec<(&'static str, String)>, &'static [&'static str]);

fn unit(source: &'static Source, defines: &[(&'static str, &str)], architectures: &'static [&'static str]) -> Unit {
    let owned = defines.iter().map(|(name, value)| (*name, value.to_string())).collect();
    (source, owned, architectures)
}

/// All that is compiled.
fn units() -> Vec<Unit> {
    let kinds = |(source, inputs, optional, outputs): Row| {
        KINDS.map(|n| {
            let owned = defines(n, [inputs, optional, outputs]);
            let defines = owned.into_iter().map(|(name, value)| (&*name.leak(), value)).collect();
            (source, defines, ARCHITECTURES.as_slice())
        })
    };
    let others = OTHERS.iter().map(|(source, defines)| unit(source, defines, &ARCHITECTURES));
    let mma = MMA.iter().map(
        |[a, b, left, right, lines_a, lines_b, a_along, b_along, a_whole, b_whole, sums, r, y, rounding]| {
            let types =
                [("A", *a), ("B", b), ("LEFT", left), ("RIGHT", right), ("LINES_A", lines_a), ("LINES_B", lines_b)];
            let flags = [("A_ALONG_K", *a_along), ("B_ALONG_K", b_along), ("A_WHOLE", a_whole), ("B_WHOLE", b_whole)];
            let others = [("SUMS", *sums), ("R", r), ("Y", y), ("Y_ROUNDING", rounding)];
            // Codes as they are: the cards since 8.9.
            let architectures = if left.starts_with('E') { &ARCHITECTURES[1..] } else { &ARCHITECTURES };
            unit(&gemm::MMA, &[types.as_slice(), &flags, &others].concat(), architectures)
        },
    );
    let across = ACROSS.iter().map(|[a, b, narrow, images, tile_m, tile_n, stages, copied]| {
        let numbers =
            [("IMAGES", *images), ("TILE_M", tile_m), ("TILE_N", tile_n), ("STAGES", stages), ("COPIED", copied)];
        let types = [("A", *a), ("B", b), ("NARROW", narrow)];
        unit(&gemm::ACROSS, &[numbers.as_slice(), &types].concat(), &["sm_90a"])
    });
    let hopper =
        HOPPER.iter().map(|[a, images, tile_n, depth, stages, cluster, resident, sums, r, y, rounding, run, kept]| {
            let numbers = [
                ("IMAGES", *images),
                ("TILE_N", tile_n),
                ("DEPTH", depth),
                ("STAGES", stages),
                ("CLUSTER", cluster),
                ("RESIDENT", resident),
                ("RUN", run),
                ("KEPT", kept),
            ];
            let types = [("A", *a), ("B", a), ("R", r), ("Y", y), ("Y_ROUNDING", rounding), ("SUMS", sums)];
            unit(&gemm::HOPPER, &[numbers.as_slice(), &types].concat(), &["sm_90a"])
        });
    SOURCES.into_iter().flat_map(kinds).chain(others).chain(mma).chain(across).chain(hopper).collect()
}

fn check(nvrtc: &Nvrtc, (source, defines, architectures): &Unit) {
    let defines: Vec<(&'static str, &str)> = defines.iter().map(|(name, value)| (*name, &**value)).collect();
    for architecture in *architectures {
        let code = compile(nvrtc, source, &defines, architecture).unwrap_or_else(|error| panic!("{error}"));
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
    let (units, next) = (units(), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(&nvrtc, unit);
                }
            });
        }
    });
}

/// No .cu file is forgotten.
#[test]
fn every_source_is_in_the_table() {
    let known: Vec<&str> = SOURCES
        .iter()
        .map(|(source, ..)| source.name)
        .chain(OTHERS.iter().map(|(source, _)| source.name))
        .chain([gemm::MMA.name, gemm::ACROSS.name, gemm::HOPPER.name])
        .collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            assert!(!name.ends_with(".cu") || known.contains(&name.as_str()), "{name} is compiled by no test");
        }
    }
}
