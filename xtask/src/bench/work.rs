//! A piece of work, who does it, and how fast.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::peer::Peer;
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
}

/// How a contender does the work once.
enum Does {
    /// In this process.
    Ours(Box<dyn FnMut() -> Result<()>>),
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
    /// One of ours.
    pub fn ours(name: impl Into<String>, amount: f64, run: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { name: name.into(), amount, against: None, does: Does::Ours(Box::new(run)) }
    }

    /// The peer's.
    pub fn peer(name: impl Into<String>, amount: f64, request: Value) -> Self {
        Self { name: name.into(), amount, against: None, does: Does::Peer(request) }
    }

    /// Compared with another contender of the same work.
    pub fn against(self, name: &'static str) -> Self {
        Self { against: Some(name), ..self }
    }

    fn is_peer(&self) -> bool {
        matches!(self.does, Does::Peer(_))
    }

    /// Seconds of one run, the mean of `repeats` in a row.
    fn time(&mut self, repeats: usize, peer: Option<&mut Peer>) -> Result<f64> {
        match (&mut self.does, peer) {
            (Does::Ours(run), _) => {
                let start = Instant::now();
                (0..repeats).try_for_each(|_| run())?;
                Ok(start.elapsed().as_secs_f64() / repeats as f64)
            }
            (Does::Peer(request), Some(peer)) => peer.time(request, repeats),
            (Does::Peer(_), None) => Ok(f64::NAN),
        }
    }
}

impl Work {
    /// Lets the contenders take turns, `rounds` times after a warm-up. `turn` is called before each of the
    /// [`Work::turns`].
    pub fn measure(mut self, mut peer: Option<&mut Peer>, rounds: usize, turn: &dyn Fn(&str)) -> Result<Vec<Speed>> {
        if peer.is_none() {
            self.contenders.retain(|contender| !contender.is_peer());
        }
        let mut repeats = Vec::new();
        for contender in &mut self.contenders {
            turn(&contender.name);
            contender.time(1, peer.as_deref_mut())?;
            let once = contender.time(1, peer.as_deref_mut())?;
            repeats.push((TURN / once).ceil().clamp(1.0, 1000.0) as usize);
        }
        let mut speeds = vec![Vec::new(); self.contenders.len()];
        for _ in 0..rounds {
            for ((contender, speeds), repeats) in self.contenders.iter_mut().zip(&mut speeds).zip(&repeats) {
                turn(&contender.name);
                speeds.push(contender.amount / contender.time(*repeats, peer.as_deref_mut())?);
            }
        }
        if let Some(peer) = peer {
            peer.forget()?;
        }
        Ok(self.compared(&speeds))
    }

    /// How often a contender's turn comes, at most.
    pub fn turns(&self, rounds: usize) -> usize {
        self.contenders.len() * (rounds + 1)
    }

    /// From the speeds of each contender in each round.
    fn compared(&self, speeds: &[Vec<f64>]) -> Vec<Speed> {
        let ratio = |against: &'static str, own: &[f64]| {
            let base = &speeds[self.contenders.iter().position(|contender| contender.name == against)?];
            let ratios = own.iter().zip(base).map(|(own, base)| own / base).collect();
            Some(Ratio { against, speed: quartiles(base.clone())[1], quartiles: quartiles(ratios) })
        };
        let row = |(contender, own): (&Contender, &Vec<f64>)| Speed {
            work: self.name.clone(),
            contender: contender.name.clone(),
            is_peer: contender.is_peer(),
            speed: quartiles(own.clone())[1],
            unit: self.unit,
            ratio: contender.against.and_then(|against| ratio(against, own)),
        };
        self.contenders.iter().zip(speeds).map(row).collect()
    }
}

/// A row for each contender but those that only others are compared with.
pub fn table(speeds: &[Speed]) -> Table {
    let mut table = Table::new(["work", "speed", "unit", "against", "speed", "ratio", "quartiles"]);
    for speed in speeds {
        let is_base = |other: &Speed| {
            other.work == speed.work && other.ratio.as_ref().is_some_and(|ratio| ratio.against == speed.contender)
        };
        let compared = match &speed.ratio {
            Some(Ratio { against, speed, quartiles: [low, median, high] }) => {
                [against.to_string(), digits(*speed), format!("{median:.2}"), format!("{low:.2} to {high:.2}")]
            }
            None if speeds.iter().any(is_base) => continue,
            None => ["–"; 4].map(String::from),
        };
        let name = format!("{}: {}", speed.work, speed.contender);
        table.push([name, digits(speed.speed), speed.unit.into()].into_iter().chain(compared));
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
    use super::*;

    fn work(names: [&str; 2]) -> Work {
        let [ours, peer] = names;
        let contenders = vec![
            Contender::ours(ours, 1.0, || Ok(())).against("them"),
            Contender::peer(peer, 1.0, serde_json::json!({ "work": "nothing" })),
        ];
        Work { name: "w".into(), unit: "runs/s", contenders }
    }

    #[test]
    fn without_a_peer_only_we_run() {
        let speeds = work(["we", "them"]).measure(None, 3, &|_| ()).unwrap();
        assert_eq!(speeds.len(), 1);
        assert!(speeds[0].speed > 0.0 && speeds[0].ratio.is_none());
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let speeds = work(["we", "them"]).compared(&[vec![2.0, 30.0, 4.0], vec![1.0, 10.0, 1.0]]);
        let ratio = Ratio { against: "them", speed: 1.0, quartiles: [2.0, 3.0, 3.0] };
        assert_eq!((speeds[0].speed, speeds[0].ratio.as_ref()), (4.0, Some(&ratio)));
        assert!(speeds[1].is_peer && speeds[1].ratio.is_none());
        assert_eq!(table(&speeds).rows, [["w: we", "4.00", "runs/s", "them", "1.00", "3.00", "2.00 to 3.00"]]);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(quartiles(vec![3.0, 1.0, 9.0, 7.0, 5.0]), [3.0, 5.0, 7.0]);
        assert_eq!(quartiles(vec![3.0]), [3.0; 3]);
    }
}
