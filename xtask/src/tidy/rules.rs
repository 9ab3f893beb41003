//! The rules about single files, as a table. To add one, add a row: its `broken` example is its test.

use super::Finding;
use super::source::Source;

/// A rule about files.
#[cfg_attr(not(test), expect(dead_code, reason = "the examples are for the tests"))]
pub struct Rule {
    pub name: &'static str,
    /// Prefixes of the paths that the rule is about.
    pub under: &'static [&'static str],
    /// Parts of the paths that it leaves alone.
    pub except: &'static [&'static str],
    pub check: Check,
    /// What to do about it.
    pub advice: &'static str,
    /// A file that breaks the rule: path and content.
    pub broken: (&'static str, &'static str),
    /// A file that keeps it.
    pub kept: (&'static str, &'static str),
}

/// What a rule asks of a file.
pub enum Check {
    /// None of these in the code (not in comments, literals and tests). Whole words where they are words.
    NotInCode(&'static [&'static str]),
    /// None of these anywhere in the text.
    NotInText(&'static [&'static str]),
    /// The text holds each of these.
    InText(&'static [&'static str]),
    /// Each `unsafe` block, function and impl has its reason above it: `// SAFETY:` or `/// # Safety`.
    SafetyReasons,
    /// At most this many lines, or `// Long because …` at the top.
    Lines(usize),
    /// At most this many bytes.
    Bytes(usize),
}

const CRATES: &[&str] = &["crates/", "xtask/"];
const UNSAFE_CRATES: &[&str] = &["crates/fp8-kernels/", "crates/fp8-cuda/"];
/// The table below names what it forbids.
const TIDY: &str = "xtask/src/tidy";

pub const RULES: &[Rule] = &[
    Rule {
        name: "core-is-no-std",
        under: &["crates/fp8-core/src/lib.rs"],
        except: &[],
        check: Check::InText(&["#![no_std]"]),
        advice: "fp8-core is usable without an operating system: keep #![no_std]",
        broken: ("crates/fp8-core/src/lib.rs", "//! Formats.\npub mod format;"),
        kept: ("crates/fp8-core/src/lib.rs", "//! Formats.\n#![no_std]\npub mod format;"),
    },
    Rule {
        name: "core-is-pure",
        under: &["crates/fp8-core/src/"],
        except: &[],
        check: Check::NotInCode(&["std::", "alloc::", "extern crate", "is_x86_feature_detected", "target_feature"]),
        advice: "fp8-core has no allocation, no I/O and no CPU detection: fast paths belong in fp8-kernels",
        broken: ("crates/fp8-core/src/convert.rs", "fn f() -> bool { std::is_x86_feature_detected!(\"avx2\") }"),
        kept: ("crates/fp8-core/src/convert.rs", "use core::fmt; // not std::fmt"),
    },
    Rule {
        name: "unsafe-in-kernels-only",
        under: CRATES,
        except: UNSAFE_CRATES,
        check: Check::NotInCode(&["unsafe"]),
        advice: "unsafe code stands only in fp8-kernels and fp8-cuda: call a safe kernel instead",
        broken: ("crates/fp8-data/src/cifar.rs", "fn f(p: *const u8) -> u8 { unsafe { *p } }"),
        kept: ("crates/fp8-data/src/cifar.rs", "// nothing unsafe\nfn f(p: &[u8]) -> u8 { p[0] }"),
    },
    Rule {
        name: "safety-reason",
        under: UNSAFE_CRATES,
        except: &[],
        check: Check::SafetyReasons,
        advice: "say in `// SAFETY:` above it (`/// # Safety` for a function) why its conditions hold",
        broken: ("crates/fp8-kernels/src/cast.rs", "fn f(p: *const u8) -> u8 {\n    unsafe { *p }\n}"),
        kept: (
            "crates/fp8-kernels/src/cast.rs",
            "fn f(p: &[u8; 1]) -> u8 {\n    // SAFETY: p points to one byte.\n    unsafe { *p.as_ptr() }\n}",
        ),
    },
    Rule {
        name: "kernels-know-no-tensors",
        under: &["crates/fp8-kernels/src/"],
        except: &[],
        check: Check::NotInCode(&["Tensor", "Tape", "Layer", "Module"]),
        advice: "kernels see buffers and plain shapes: tensors and layers belong in fp8-autograd and fp8-models",
        broken: ("crates/fp8-kernels/src/add.rs", "pub fn add(a: &Tensor) {}"),
        kept: ("crates/fp8-kernels/src/add.rs", "/// Knows no Tensor.\npub fn add(a: &Buffer) {}"),
    },
    Rule {
        name: "autograd-knows-no-machine",
        under: &["crates/fp8-autograd/src/"],
        except: &[],
        check: Check::NotInCode(&[
            "std::arch",
            "core::arch",
            "target_feature",
            "is_x86_feature_detected",
            "CpuBackend",
        ]),
        advice: "operations are written once, over `dyn Backend`: instruction sets and devices belong behind it",
        broken: ("crates/fp8-autograd/src/ops.rs", "fn backend() -> CpuBackend { CpuBackend::new() }"),
        kept: ("crates/fp8-autograd/src/ops.rs", "fn f(backend: &dyn Backend) {}"),
    },
    Rule {
        name: "libraries-touch-no-files",
        under: &[
            "crates/fp8-core/src/",
            "crates/fp8-kernels/src/",
            "crates/fp8-autograd/src/",
            "crates/fp8-models/src/",
        ],
        except: &[],
        check: Check::NotInCode(&["std::fs", "fs::read", "fs::write", "File::open", "File::create"]),
        advice: "only fp8-data, fp8-trainer and xtask touch files: take or return bytes",
        broken: ("crates/fp8-models/src/resnet.rs", "use std::fs;"),
        kept: ("crates/fp8-models/src/resnet.rs", "fn load(bytes: &[u8]) {}"),
    },
    Rule {
        name: "models-know-no-clock",
        under: &["crates/fp8-models/src/", "crates/fp8-autograd/src/"],
        except: &[],
        check: Check::NotInCode(&["std::time", "std::env", "Instant::now", "SystemTime"]),
        advice: "a model is a function of its inputs: clock, environment and command line belong in fp8-trainer",
        broken: ("crates/fp8-models/src/resnet.rs", "let start = std::time::Instant::now();"),
        kept: ("crates/fp8-models/src/resnet.rs", "let time = 1;"),
    },
    Rule {
        name: "libraries-print-nothing",
        under: &["crates/"],
        except: &[
            "/examples/",
            "/benches/",
            "/build.rs",
            "crates/fp8-trainer/src/bin",
            "crates/fp8-trainer/src/main.rs",
        ],
        check: Check::NotInCode(&["println!", "eprintln!", "print!", "eprint!", "dbg!"]),
        advice: "a library logs by `tracing` or returns what it has to say; programs print",
        broken: ("crates/fp8-data/src/cifar.rs", "println!(\"read {n} images\");"),
        kept: ("crates/fp8-data/examples/cifar.rs", "println!(\"read {n} images\");"),
    },
    Rule {
        name: "precision-is-data",
        under: CRATES,
        except: &[TIDY],
        check: Check::NotInCode(&["is_fp8", "use_fp8", "fp8_mode"]),
        advice: "precision differs by recipe only: read the store of the tensor's role",
        broken: ("crates/fp8-autograd/src/ops.rs", "if recipe.is_fp8() { cast() }"),
        kept: ("crates/fp8-autograd/src/ops.rs", "let store = recipe.activation.store(stream);"),
    },
    Rule {
        name: "finished",
        under: &[""],
        except: &[TIDY],
        check: Check::NotInText(&["TODO", "FIXME", "XXX", "todo!", "unimplemented!", "#[ignore"]),
        advice: "finish it, or open an issue and leave the line out",
        broken: ("docs/numerics.md", "TODO: the bound"),
        kept: ("docs/numerics.md", "The bound is 1e-6."),
    },
    Rule {
        name: "no-machine-paths",
        under: &[""],
        except: &[TIDY],
        check: Check::NotInText(&["/work/", "/root/", "/home/", "/Users/"]),
        advice: "a path of one machine helps nobody else: make it relative, an argument or a temporary directory",
        broken: ("README.md", "the data lie in /home/me/data"),
        kept: ("README.md", "the data lie in data/"),
    },
    Rule {
        name: "readable-in-one-sitting",
        under: CRATES,
        except: &[],
        check: Check::Lines(800),
        advice: "split it along an idea, or say `// Long because …` at its top",
        broken: ("crates/fp8-core/src/long.rs", LONG),
        kept: ("crates/fp8-core/src/short.rs", "//! Short."),
    },
    Rule {
        name: "small-files",
        under: &[""],
        except: &[],
        check: Check::Bytes(512 << 10),
        advice: "data and weights are fetched or generated, not committed",
        broken: ("datasets/weights.bin", ""),
        kept: ("datasets/cifar10.toml", "name = \"cifar10\""),
    },
    Rule {
        name: "crate-docs",
        under: &[
            "crates/fp8-core/src/lib.rs",
            "crates/fp8-kernels/src/lib.rs",
            "crates/fp8-cuda/src/lib.rs",
            "crates/fp8-autograd/src/lib.rs",
            "crates/fp8-data/src/lib.rs",
            "crates/fp8-models/src/lib.rs",
            "crates/fp8-trainer/src/lib.rs",
        ],
        except: &[],
        check: Check::InText(&["//! ", "//! ```"]),
        advice: "a crate's documentation says what it is for and shows it in an example that compiles",
        broken: ("crates/fp8-data/src/lib.rs", "//! Data sets."),
        kept: ("crates/fp8-data/src/lib.rs", "//! Data sets.\n//! ```\n//! fp8_data::open();\n//! ```"),
    },
];

const LONG: &str = match core::str::from_utf8(&[b'\n'; 801]) {
    Ok(lines) => lines,
    Err(_) => "",
};

/// The findings of every rule in one file.
pub fn check(source: &Source) -> Vec<Finding> {
    RULES.iter().filter(|rule| rule.is_about(&source.path)).flat_map(|rule| rule.findings(source)).collect()
}

impl Rule {
    fn is_about(&self, path: &str) -> bool {
        self.under.iter().any(|prefix| path.starts_with(prefix)) && !self.except.iter().any(|part| path.contains(part))
    }

    fn findings(&self, source: &Source) -> Vec<Finding> {
        let whole_file = |kept: bool| if kept { Vec::new() } else { vec![0] };
        let lines = match &self.check {
            Check::NotInCode(words) => lines_with(&source.code, words),
            Check::NotInText(words) => lines_with(&source.text, words),
            Check::InText(words) => whole_file(words.iter().all(|word| source.text.contains(word))),
            Check::SafetyReasons => unexplained(source),
            Check::Lines(most) => whole_file(source.text.lines().count() <= *most || says_why_long(&source.text)),
            Check::Bytes(most) => whole_file(source.size <= *most),
        };
        let finding = |line| Finding { path: source.path.clone(), line, rule: self.name, advice: self.advice.into() };
        lines.into_iter().map(finding).collect()
    }
}

fn says_why_long(text: &str) -> bool {
    text.lines().take(5).any(|line| line.starts_with("// Long because "))
}

/// Numbers of the lines that hold one of `words`.
fn lines_with(text: &str, words: &[&str]) -> Vec<usize> {
    let lines = text.lines().enumerate();
    lines.filter(|(_, line)| words.iter().any(|word| holds_word(line, word))).map(|(at, _)| at + 1).collect()
}

/// Whether `word` stands in `line`, not as a part of a longer identifier.
fn holds_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(in_word) && word.starts_with(in_word);
        let after = line[at + word.len()..].chars().next().is_some_and(in_word) && word.ends_with(in_word);
        !before && !after
    })
}

/// Numbers of the lines whose `unsafe` has no reason above it.
fn unexplained(source: &Source) -> Vec<usize> {
    let text: Vec<&str> = source.text.lines().collect();
    let starts =
        |line: &str| ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|w| holds_word(line, w));
    let code = source.code.lines().enumerate();
    code.filter(|(at, line)| starts(line) && !is_explained(&text, *at)).map(|(at, _)| at + 1).collect()
}

/// Whether line `at`, or the comments, attributes and beginning of the same statement above it, say why it is safe.
fn is_explained(text: &[&str], at: usize) -> bool {
    let says = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
    let goes_on = |line: &str| !(line.is_empty() || line.ends_with([';', '}']));
    says(text[at])
        || text[..at].iter().rev().map(|line| line.trim()).take_while(|line| goes_on(line)).take(40).any(says)
}
