//! A piece of work, who does it, and how fast.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use fp8_kernels::{Backend, Buffer, DType};
use serde::Serialize;
use serde_json::Value;

use super::peer::Peer;
use super::shapes::PeerMode;
use crate::table::Table;

/// How long a contender works at a stretch, in seconds: runs shorter than this are repeated.
const TURN: f64 = 0.2;

/// Work that several contenders do in turns.
pub struct Work {
    pub name: String,
    /// Unit of speed, e.g. `GFLOP/s`.
    pub unit: &'static str,
    pub contenders: Vec<Contender>,
}

/// Who does the work.
pub struct Contender {
    pub name: String,
    /// How much one run does, in the work's unit times seconds.
    amount: f64,
    /// Name of the contender that this one's speed is divided by.
    against: Option<&'static str>,
    does: Does,
    /// Whether its peak memory is of interest.
    tells_peak: bool,
}

/// How a contender does the work once.
enum Does {
    /// In this process: starts it. `one` element is downloaded to wait until all that was started is done.
    Ours { backend: Arc<dyn Backend>, one: Buffer, run: Box<dyn FnMut() -> Result<()> + Send> },
    /// In the peer's: the request. Left out when there is no peer.
    Peer(Value),
}

/// What one contender reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    pub work: String,
    pub contender: String,
    pub is_peer: bool,
    /// Median.
    pub speed: f64,
    pub unit: &'static str,
    pub ratio: Option<Ratio>,
    /// Most that was held at once, where it is of interest.
    pub peak_bytes: Option<usize>,
}

/// What measuring came to.
#[derive(Debug, Default)]
pub struct Measured {
    pub speeds: Vec<Speed>,
    /// Contenders that failed, and how: they are left out.
    pub failures: Vec<String>,
}

/// A contender in the rounds.
struct Turns {
    contender: Contender,
    repeats: usize,
    speeds: Vec<f64>,
    peak_bytes: Option<usize>,
}

/// A speed over another one of the same round: quartiles over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratio {
    pub against: &'static str,
    /// The other's median.
    pub speed: f64,
    pub quartiles: [f64; 3],
}

impl Contender {
    /// One of ours, which computes on `backend`.
    pub fn ours(
        name: impl Into<String>,
        amount: f64,
        backend: &Arc<dyn Backend>,
        run: impl FnMut() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let does = Does::Ours { backend: backend.clone(), one: backend.alloc(DType::F32, 1)?, run: Box::new(run) };
        Ok(Self { name: name.into(), amount, against: None, does, tells_peak: false })
    }

    /// The peer's.
    pub fn peer(name: impl Into<String>, amount: f64, request: Value) -> Self {
        Self { name: name.into(), amount, against: None, does: Does::Peer(request), tells_peak: false }
    }

    /// The peer's in one of its ways: `request` lacks the fields of that.
    pub fn mode(mode: &PeerMode, amount: f64, mut request: Value) -> Self {
        if let (Value::Object(request), Value::Object(fields)) = (&mut request, (mode.fields)()) {
            request.extend(fields);
        }
        Self { against: mode.against, ..Self::peer(mode.name, amount, request) }
    }

    /// Whose peak memory is of interest: all that our backend holds, or what the peer says.
    pub fn telling_peak(self) -> Self {
        Self { tells_peak: true, ..self }
    }

    /// Compared with another contender of the same work.
    pub fn against(self, name: &'static str) -> Self {
        Self { against: Some(name), ..self }
    }

    fn is_peer(&self) -> bool {
        matches!(self.does, Does::Peer(_))
    }

    /// Seconds of one run, the mean of `repeats` in a row, and the most memory held.
    fn time(&mut self, repeats: usize, peer: Option<&mut Peer>) -> Result<(f64, Option<usize>)> {
        let (seconds, peak_bytes) = match (&mut self.does, peer) {
            (Does::Ours { backend, one, run }, _) => {
                backend.reset_peak();
                // What is downloaded has been computed, and so has all that was started before.
                let wait = || backend.download(one, &mut [0; 4]);
                let seconds = backend.within(|| {
                    wait()?;
                    let start = Instant::now();
                    (0..repeats).try_for_each(|_| run())?;
                    wait()?;
                    anyhow::Ok(start.elapsed().as_secs_f64() / repeats as f64)
                })?;
                (seconds, Some(backend.memory().peak))
            }
            (Does::Peer(request), Some(peer)) => peer.time(request, repeats)?,
            (Does::Peer(_), None) => (f64::NAN, None),
        };
        Ok((seconds, peak_bytes.filter(|_| self.tells_peak)))
    }
}

impl Work {
    /// Without the contenders whose `WORK: CONTENDER` lacks this text.
    pub fn only(mut self, text: &str) -> Self {
        self.contenders.retain(|contender| format!("{}: {}", self.name, contender.name).contains(text));
        self
    }

    /// Lets the contenders take turns, `rounds` times after a warm-up. `turn` is called before each of the
    /// [`Work::turns`]. One that fails has no further turn.
    pub fn measure(mut self, mut peer: Option<&mut Peer>, rounds: usize, turn: &dyn Fn(&str)) -> Result<Measured> {
        if peer.is_none() {
            self.contenders.retain(|contender| !contender.is_peer());
        }
        let (mut turns, mut failures) = (Vec::new(), Vec::new());
        for mut contender in self.contenders {
            turn(&contender.name);
            let warm_up = contender.time(1, peer.as_deref_mut()).and_then(|_| contender.time(1, peer.as_deref_mut()));
            match warm_up {
                Ok((once, peak_bytes)) => {
                    let repeats = (TURN / once).ceil().clamp(1.0, 1000.0) as usize;
                    turns.push(Turns { contender, repeats, speeds: Vec::new(), peak_bytes });
                }
                Err(error) => failures.push(format!("{}: {}: {error:#}", self.name, contender.name)),
            }
        }
        for _ in 0..rounds {
            turns.retain_mut(|each| {
                turn(&each.contender.name);
                match each.contender.time(each.repeats, peer.as_deref_mut()) {
                    Ok((seconds, peak_bytes)) => {
                        each.speeds.push(each.contender.amount / seconds);
                        each.peak_bytes = each.peak_bytes.max(peak_bytes);
                        true
                    }
                    Err(error) => {
                        failures.push(format!("{}: {}: {error:#}", self.name, each.contender.name));
                        false
                    }
                }
            });
        }
        let speeds = compared(&self.name, self.unit, &turns);
        // The operands go before the next work's come.
        drop(turns);
        if let Some(peer) = peer {
            peer.forget()?;
        }
        Ok(Measured { speeds, failures })
    }

    /// How often a contender's turn comes, at most.
    pub fn turns(&self, rounds: usize) -> usize {
        self.contenders.len() * (rounds + 1)
    }
}

/// From what each contender reached in each round.
fn compared(work: &str, unit: &'static str, turns: &[Turns]) -> Vec<Speed> {
    let ratio = |against: &'static str, own: &[f64]| {
        let base = &turns.iter().find(|other| other.contender.name == against)?.speeds;
        let ratios = own.iter().zip(base).map(|(own, base)| own / base).collect();
        Some(Ratio { against, speed: quartiles(base.clone())[1], quartiles: quartiles(ratios) })
    };
    let row = |Turns { contender, speeds, peak_bytes, .. }: &Turns| Speed {
        work: work.into(),
        contender: contender.name.clone(),
        is_peer: contender.is_peer(),
        speed: quartiles(speeds.clone())[1],
        unit,
        ratio: contender.against.and_then(|against| ratio(against, speeds)),
        peak_bytes: *peak_bytes,
    };
    turns.iter().map(row).collect()
}

/// A row for each contender but those that only others are compared with and whose memory is of no interest. The peak's ratio is that of the one compared
/// with.
pub fn table(speeds: &[Speed]) -> Table {
    let has_peaks = speeds.iter().any(|speed| speed.peak_bytes.is_some());
    let mut header = vec!["work", "speed", "unit", "against", "speed", "ratio", "quartiles"];
    header.extend(has_peaks.then_some(["peak GiB", "ratio"]).into_iter().flatten());
    let mut table = Table::new(header);
    for speed in speeds {
        let others = || speeds.iter().filter(|other| other.work == speed.work);
        let is_base = |other: &Speed| other.ratio.as_ref().is_some_and(|ratio| ratio.against == speed.contender);
        let compared = match &speed.ratio {
            Some(Ratio { against, speed, quartiles: [low, median, high] }) => {
                [against.to_string(), digits(*speed), format!("{median:.2}"), format!("{low:.2} to {high:.2}")]
            }
            None if speed.peak_bytes.is_none() && others().any(is_base) => continue,
            None => ["–"; 4].map(String::from),
        };
        let base = speed.ratio.as_ref().and_then(|ratio| others().find(|other| other.contender == ratio.against));
        let peaks =
            [speed.peak_bytes, base.and_then(|base| base.peak_bytes)].map(|bytes| bytes.map(|bytes| bytes as f64));
        let peaks = match peaks {
            [Some(own), base] => [
                format!("{:.2}", own / f64::from(1 << 30)),
                base.map_or_else(|| "–".into(), |base| format!("{:.2}", own / base)),
            ],
            [None, _] => ["–"; 2].map(String::from),
        };
        let name = format!("{}: {}", speed.work, speed.contender);
        let cells = [name, digits(speed.speed), speed.unit.into()].into_iter().chain(compared);
        table.push(cells.chain(peaks.into_iter().filter(|_| has_peaks)));
    }
    table
}

/// Three digits, or all before the point.
fn digits(speed: f64) -> String {
    match speed {
        ..10.0 => format!("{speed:.2}"),
        ..100.0 => format!("{speed:.1}"),
        _ => format!("{speed:.0}"),
    }
}

/// Of at least one value: those with a quarter, half and three quarters of the others below.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn turns(
        name: &str,
        against: Option<&'static str>,
        is_peer: bool,
        speeds: Vec<f64>,
        peak_bytes: Option<usize>,
    ) -> Turns {
        let mut contender = match is_peer {
            true => Contender::peer(name, 1.0, json!({ "work": "nothing" })),
            false => Contender::ours(name, 1.0, &backend(), || Ok(())).unwrap(),
        };
        contender.against = against;
        Turns { contender, repeats: 1, speeds, peak_bytes }
    }

    fn backend() -> Arc<dyn Backend> {
        Arc::new(fp8_kernels::CpuBackend::new().unwrap())
    }

    #[test]
    fn without_a_peer_only_we_run_and_who_fails_is_named() {
        let contenders = vec![
            Contender::ours("we", 1.0, &backend(), || Ok(())).unwrap().against("them"),
            Contender::ours("broken", 1.0, &backend(), || anyhow::bail!("no luck")).unwrap(),
            Contender::peer("them", 1.0, json!({ "work": "nothing" })),
        ];
        let work = Work { name: "w".into(), unit: "runs/s", contenders };
        let Measured { speeds, failures } = work.measure(None, 3, &|_| ()).unwrap();
        assert_eq!(speeds.len(), 1);
        assert!(speeds[0].speed > 0.0 && speeds[0].ratio.is_none());
        assert_eq!(failures, ["w: broken: no luck"]);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let speeds = [
            turns("we", Some("them"), false, vec![2.0, 30.0, 4.0], None),
            turns("them", None, true, vec![1.0, 10.0, 1.0], None),
        ];
        let speeds = compared("w", "runs/s", &speeds);
        let ratio = Ratio { against: "them", speed: 1.0, quartiles: [2.0, 3.0, 3.0] };
        assert_eq!((speeds[0].speed, speeds[0].ratio.as_ref()), (4.0, Some(&ratio)));
        assert!(speeds[1].is_peer && speeds[1].ratio.is_none());
        assert_eq!(table(&speeds).rows, [["w: we", "4.00", "runs/s", "them", "1.00", "3.00", "2.00 to 3.00"]]);
    }

    #[test]
    fn peaks_are_compared_with_those_of_whom_speeds_are() {
        let speeds = [
            turns("we", Some("them"), false, vec![3.0], Some(1 << 30)),
            turns("them", None, true, vec![1.0], Some(1 << 31)),
        ];
        let rows = table(&compared("w", "runs/s", &speeds)).rows;
        assert_eq!(rows[0][7..], ["1.00", "0.50"]);
        assert_eq!(rows[1][3..], ["–", "–", "–", "–", "2.00", "–"]);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(quartiles(vec![3.0, 1.0, 9.0, 7.0, 5.0]), [3.0, 5.0, 7.0]);
        assert_eq!(quartiles(vec![3.0]), [3.0; 3]);
    }
}
