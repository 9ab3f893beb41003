//! `cargo xtask bench [--peer]`: our speeds and, in the same run and taking turns with us, PyTorch's; and memory.

mod casts;
mod gemm;
mod memory;
mod peer;
mod resnet;
mod training;
mod translation;
mod work;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use fp8_kernels::{Backend, CpuBackend, isa};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::provenance::Provenance;
use crate::table::Table;
use memory::Footprint;
use peer::Peer;
use work::{Speed, Work};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Measure PyTorch beside us, with this Python; without a value with $FP8_PYTHON or python3
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, require_equals = true)]
    peer: Option<Option<OsString>>,
    /// Threads, ours and the peer's
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Turns of each contender, after a warm-up; the median counts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Folder for bench.json and bench.md
    #[arg(long, default_value = "runs/bench")]
    output: PathBuf,
    /// What to measure: all, if none is named
    #[arg(value_enum)]
    topics: Vec<Topic>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Topic {
    /// f32 to FP8, out of memory and in cache
    Casts,
    /// Matrix products
    Gemm,
    /// Training steps of ResNet-18 and ResNet-50
    Resnet,
    /// Training steps of a Transformer and of an LSTM that translates
    Translation,
    /// Bytes that a training step holds, of ResNet-18, the Transformer and the LSTM
    Memory,
}

/// Who we are in a measurement.
#[derive(Clone)]
struct Ours {
    isa: isa::Isa,
    threads: usize,
}

/// What `bench.json` holds.
#[derive(Serialize)]
struct Report {
    provenance: Provenance,
    peer: Option<String>,
    rounds: u16,
    speeds: Vec<Speed>,
    memory: Vec<Footprint>,
}

/// Measures, prints the tables and writes them down.
pub fn run(arguments: &Arguments) -> Result<()> {
    let ours = Ours { isa: isa::select()?, threads: usize::from(arguments.threads) };
    // For what is measured without a backend.
    rayon::ThreadPoolBuilder::new().num_threads(ours.threads).build_global().context("starting threads")?;
    let mut peer = arguments.peer.as_ref().map(|python| Peer::start(&interpreter(python), ours.threads)).transpose()?;
    let mut report = Report {
        provenance: Provenance::here(ours.backend()?.name()),
        peer: peer.as_ref().map(|peer| peer.name.clone()),
        rounds: arguments.rounds,
        speeds: Vec::new(),
        memory: Vec::new(),
    };
    let is_wanted = |topic| arguments.topics.is_empty() || arguments.topics.contains(&topic);
    let topics = [
        (Topic::Casts, casts::works()),
        (Topic::Gemm, gemm::works()),
        (Topic::Resnet, vec![resnet::RESNET18.work(), resnet::RESNET50.work()]),
        (Topic::Translation, vec![translation::TRANSFORMER.work(), translation::LSTM.work()]),
    ];
    for (topic, works) in topics {
        for prepare in works.into_iter().filter(|_| is_wanted(topic)) {
            report.speeds.extend(measure(prepare(&ours)?, peer.as_mut(), usize::from(arguments.rounds))?);
        }
    }
    if is_wanted(Topic::Memory) {
        report.memory = memory::footprints(&ours)?;
    }
    for table in report.tables() {
        print!("\n{}", table.text());
    }
    report.write(&arguments.output)
}

/// The Python named on the command line, or in the environment, or the usual one.
fn interpreter(named: &Option<OsString>) -> OsString {
    named.clone().or_else(|| std::env::var_os("FP8_PYTHON")).unwrap_or_else(|| OsStr::new("python3").into())
}

/// Prepares work. Prepared one at a time: the operands of all would not fit into memory together.
type Prepare = Box<dyn FnOnce(&Ours) -> Result<Work>>;

/// Measures under a progress bar, which is shown on terminals only.
fn measure(work: Work, peer: Option<&mut Peer>, rounds: usize) -> Result<Vec<Speed>> {
    let bar = ProgressBar::new(work.turns(rounds) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:24} {pos:>3}/{len} {msg}").context("a progress bar")?);
    let name = work.name.clone();
    let speeds = work.measure(peer, rounds, &|contender| {
        bar.set_message(format!("{name}: {contender}"));
        bar.inc(1);
    });
    bar.finish_and_clear();
    speeds
}

/// Numbers spread over -4 to 4.
fn values(len: usize) -> Vec<f32> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 21) as f32 - 4.0).collect()
}

impl Ours {
    /// A backend with threads of its own.
    fn backend(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(CpuBackend::with(self.isa, self.threads)?))
    }
}

impl Report {
    fn tables(&self) -> Vec<Table> {
        let tables = [work::table(&self.speeds)].into_iter().chain(memory::tables(&self.memory));
        tables.filter(|table| !table.rows.is_empty()).collect()
    }

    fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let tables: Vec<String> = self.tables().iter().map(Table::markdown).collect();
        let lines: Vec<String> =
            self.provenance.lines().iter().map(|(name, value)| format!("- {name}: {value}")).collect();
        let peer = self.peer.as_deref().unwrap_or("not measured");
        let markdown = format!(
            "# Speed\n\n{}\n{}\n- Peer: {peer}\n- Rounds: {}; medians, and quartiles of the ratios\n",
            tables.join("\n"),
            lines.join("\n"),
            self.rounds
        );
        let json = serde_json::to_string_pretty(self).context("speeds as JSON")?;
        for (name, text) in [("bench.md", markdown), ("bench.json", json)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        println!("\nWritten to {}.", folder.join("bench.md").display());
        Ok(())
    }
}
