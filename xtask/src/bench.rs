//! `cargo xtask bench [--peer]`: our speeds and, in the same run and taking turns with us, PyTorch's.

mod cast;
mod peer;
mod work;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fp8_kernels::isa::{self, Isa};
use serde::Serialize;

use crate::provenance::Provenance;
use crate::table::Table;
use peer::Peer;
use work::{Speed, Work};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Measure PyTorch beside us, with the Python of $FP8_PYTHON or python3
    #[arg(long)]
    peer: bool,
    /// Threads, ours and the peer's
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Measurements of each contender, after a warm-up; their median counts
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
    /// f32 to E5M2 and back
    Cast,
}

/// What `bench.json` holds.
#[derive(Serialize)]
struct Report {
    provenance: Provenance,
    peer: Option<String>,
    speeds: Vec<Speed>,
}

/// Measures, prints the table and writes it down.
pub fn run(arguments: &Arguments) -> Result<()> {
    let threads = usize::from(arguments.threads);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("starting threads")?;
    let isa = isa::select()?;
    let mut peer = arguments.peer.then(|| Peer::start(threads)).transpose()?;
    let mut report = Report {
        provenance: Provenance::here(format!("cpu ({isa}, {threads} threads)")),
        peer: peer.as_ref().map(|peer| peer.name.clone()),
        speeds: Vec::new(),
    };
    for topic in [Topic::Cast] {
        if !arguments.topics.is_empty() && !arguments.topics.contains(&topic) {
            continue;
        }
        for prepare in topic.works() {
            let work = prepare(isa);
            eprintln!("{}", work.name);
            report.speeds.extend(work.measure(peer.as_mut(), usize::from(arguments.rounds))?);
        }
    }
    print!("\n{}", report.table().text());
    report.write(&arguments.output)
}

/// Prepares work. Prepared one at a time: the operands of all would not fit into memory together.
type Prepare = Box<dyn FnOnce(Isa) -> Work>;

impl Topic {
    fn works(self) -> Vec<Prepare> {
        match self {
            Self::Cast => cast::works(),
        }
    }
}

impl Report {
    fn table(&self) -> Table {
        let mut table = Table::new(["work", "who", "speed", "unit", "ratio to the peer"]);
        for speed in &self.speeds {
            let ratio = speed.ratio.map_or("–".into(), |ratio| format!("{ratio:.2}"));
            table.push([
                speed.work.clone(),
                speed.contender.clone(),
                format!("{:.2}", speed.speed),
                speed.unit.into(),
                ratio,
            ]);
        }
        table
    }

    fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let lines: Vec<String> =
            self.provenance.lines().iter().map(|(name, value)| format!("- {name}: {value}")).collect();
        let peer = self.peer.as_deref().unwrap_or("not measured");
        let markdown = format!("# Speed\n\n{}\n{}\n- Peer: {peer}\n", self.table().markdown(), lines.join("\n"));
        let json = serde_json::to_string_pretty(self).context("speeds as JSON")?;
        for (name, text) in [("bench.md", markdown), ("bench.json", json)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        println!("\nWritten to {}.", folder.join("bench.md").display());
        Ok(())
    }
}
