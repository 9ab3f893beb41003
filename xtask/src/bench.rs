//! `cargo xtask bench [--device cuda] [--peer]`: our speeds and, in the same run and taking turns with us, PyTorch's; and memory.

mod casts;
mod gemm;
mod memory;
mod peer;
mod resnet;
mod shapes;
mod training;
mod translation;
mod work;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use fp8_kernels::Backend;
use fp8_trainer::Device;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::provenance::Provenance;
use crate::repository;
use crate::table::Table;
use crate::terminal::{say, width};
use memory::Footprint;
use peer::Peer;
use work::{Measured, Speed, Work};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Measure PyTorch beside us, with this Python; without a value with $FP8_PYTHON or python3
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, require_equals = true)]
    peer: Option<Option<OsString>>,
    /// Where we compute, and the peer: cpu, cuda, cuda:N for card N
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
    /// Threads, ours and the peer's
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Turns of each contender, after a warm-up; the median counts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Folder for bench.json and bench.md [default: runs/bench]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Only what has this text in its line of the table, such as "batch 256: fp8"
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    only: String,
    /// What to measure: all, if none is named
    #[arg(value_enum)]
    topics: Vec<Topic>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Topic {
    /// f32 to FP8, out of memory and, on a CPU, in cache
    Casts,
    /// Matrix products
    Gemm,
    /// Training steps of ResNet-18 and ResNet-50
    Resnet,
    /// Training steps of a Transformer and of an LSTM that translates
    Translation,
    /// Bytes that a training step holds, of the same networks
    Memory,
}

/// Who we are in a measurement.
#[derive(Clone)]
struct Ours {
    device: Device,
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
    /// What could not be measured, and why.
    failures: Vec<String>,
}

/// Measures, prints the tables and writes them down.
pub fn run(arguments: &Arguments) -> Result<()> {
    let output = repository::output(arguments.output.as_deref(), "runs/bench")?;
    // What cannot be written is told before it is measured.
    make_folder(&output)?;
    let ours = Ours { device: arguments.device, threads: usize::from(arguments.threads) };
    // For what is measured without a backend.
    rayon::ThreadPoolBuilder::new().num_threads(ours.threads).build_global().context("starting threads")?;
    let start = |python| Peer::start(&interpreter(python), ours.device, ours.threads);
    let mut peer = arguments.peer.as_ref().map(start).transpose()?;
    let mut report = Report {
        provenance: Provenance::here(ours.backend()?.name()),
        peer: peer.as_ref().map(|peer| peer.name.clone()),
        rounds: arguments.rounds,
        speeds: Vec::new(),
        memory: Vec::new(),
        failures: Vec::new(),
    };
    let is_wanted = |topic| arguments.topics.is_empty() || arguments.topics.contains(&topic);
    let shapes = shapes::of(ours.device);
    let topics = [
        (Topic::Casts, casts::works(ours.device, shapes)),
        (Topic::Gemm, gemm::works(&shapes.products)),
        (Topic::Resnet, shapes.resnets.iter().map(training::work).collect()),
        (Topic::Translation, shapes.translators.iter().map(training::work).collect()),
    ];
    for (topic, works) in topics {
        for prepare in works.into_iter().filter(|_| is_wanted(topic)) {
            let Measured { speeds, failures } = match prepare(&ours) {
                Ok(work) => measure(work.only(&arguments.only), peer.as_mut(), usize::from(arguments.rounds))?,
                Err(error) => Measured { failures: vec![format!("{error:#}")], ..Measured::default() },
            };
            if speeds.is_empty() && failures.is_empty() {
                continue;
            }
            // As they come, for who waits and for who must end it early.
            if !speeds.is_empty() {
                say(&format!("\n{}", work::table(&speeds).within(width())))?;
            }
            failures.iter().try_for_each(|failure| say(&format!("failed: {failure}")))?;
            report.speeds.extend(speeds);
            report.failures.extend(failures);
            report.write(&output)?;
        }
    }
    let only = &arguments.only;
    let found = !report.speeds.is_empty() || !report.failures.is_empty();
    ensure!(only.is_empty() || found, "--only {only:?}: no line of the tables has this text");
    if is_wanted(Topic::Memory) {
        report.memory = memory::footprints(&ours)?;
        let tables = memory::tables(&report.memory);
        tables.iter().try_for_each(|table| say(&format!("\n{}", table.within(width()))))?;
        report.write(&output)?;
    }
    say(&format!("\nWritten to {}.", output.join("bench.md").display()))?;
    ensure!(report.failures.is_empty(), "not all could be measured:\n{}", report.failures.join("\n"));
    Ok(())
}

/// The Python named on the command line, or in the environment, or the usual one.
fn interpreter(named: &Option<OsString>) -> OsString {
    named.clone().or_else(|| std::env::var_os("FP8_PYTHON")).unwrap_or_else(|| OsStr::new("python3").into())
}

/// Prepares work. Prepared one at a time: the operands of all would not fit into memory together.
type Prepare = Box<dyn FnOnce(&Ours) -> Result<Work>>;

/// Measures under a progress bar, which is shown on terminals only.
fn measure(work: Work, peer: Option<&mut Peer>, rounds: usize) -> Result<Measured> {
    let bar = ProgressBar::new(work.turns(rounds) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:24} {pos:>3}/{len} {wide_msg}").context("a progress bar")?);
    let name = work.name.clone();
    let measured = work.measure(peer, rounds, &|contender| {
        bar.set_message(format!("{name}: {contender}"));
        bar.inc(1);
    });
    bar.finish_and_clear();
    measured
}

/// Numbers spread over -4 to 4.
fn values(len: usize) -> Vec<f32> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 21) as f32 - 4.0).collect()
}

impl Ours {
    /// A backend with threads, kernels and memory of its own.
    fn backend(&self) -> Result<Arc<dyn Backend>> {
        Ok(self.device.open(Some(self.threads))?)
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))
}

impl Report {
    fn tables(&self) -> Vec<Table> {
        let tables = [work::table(&self.speeds)].into_iter().chain(memory::tables(&self.memory));
        tables.filter(|table| !table.rows.is_empty()).collect()
    }

    fn write(&self, folder: &Path) -> Result<()> {
        make_folder(folder)?;
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
        Ok(())
    }
}
