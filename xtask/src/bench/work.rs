//! A piece of work, who does it, and how fast.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::peer::Peer;

/// Work that several contenders do in turns.
pub struct Work {
    pub name: String,
    /// Unit of speed, e.g. `GFLOP/s`.
    pub unit: &'static str,
    /// How much one run does, in the unit times seconds.
    pub amount: f64,
    pub contenders: Vec<Contender>,
}

/// Who does the work.
pub struct Contender {
    pub name: String,
    pub does: Does,
}

/// How a contender does the work once.
pub enum Does {
    /// In this process.
    Ours(Box<dyn FnMut() -> Result<()>>),
    /// In the peer's: the request. Left out when there is no peer.
    Peer(String),
}

/// What one contender reached.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    pub work: String,
    pub contender: String,
    pub is_peer: bool,
    /// Median.
    pub speed: f64,
    pub unit: &'static str,
    /// Speed over that of the first peer of the same work.
    pub ratio: Option<f64>,
}

impl Contender {
    /// One of ours.
    pub fn ours(name: impl Into<String>, run: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { name: name.into(), does: Does::Ours(Box::new(run)) }
    }

    /// The peer's.
    pub fn peer(name: impl Into<String>, request: impl Into<String>) -> Self {
        Self { name: name.into(), does: Does::Peer(request.into()) }
    }
}

impl Work {
    /// Lets the contenders take turns, `rounds` times after a warm-up.
    pub fn measure(mut self, mut peer: Option<&mut Peer>, rounds: usize) -> Result<Vec<Speed>> {
        self.contenders.retain(|contender| peer.is_some() || matches!(contender.does, Does::Ours(_)));
        let mut seconds = vec![Vec::new(); self.contenders.len()];
        for round in 0..=rounds {
            for (contender, seconds) in self.contenders.iter_mut().zip(&mut seconds) {
                let time = contender.time(peer.as_deref_mut())?;
                if round > 0 {
                    seconds.push(time);
                }
            }
        }
        let speeds: Vec<f64> = seconds.into_iter().map(|seconds| self.amount / median(seconds)).collect();
        let is_peer = |contender: &Contender| matches!(contender.does, Does::Peer(_));
        let base = self.contenders.iter().position(is_peer).map(|at| speeds[at]);
        let row = |(contender, &speed): (&Contender, &f64)| Speed {
            work: self.name.clone(),
            contender: contender.name.clone(),
            is_peer: is_peer(contender),
            speed,
            unit: self.unit,
            ratio: base.map(|base| speed / base),
        };
        Ok(self.contenders.iter().zip(&speeds).map(row).collect())
    }
}

impl Contender {
    fn time(&mut self, peer: Option<&mut Peer>) -> Result<f64> {
        match (&mut self.does, peer) {
            (Does::Ours(run), _) => {
                let start = Instant::now();
                run()?;
                Ok(start.elapsed().as_secs_f64())
            }
            (Does::Peer(request), Some(peer)) => peer.seconds(request),
            (Does::Peer(_), None) => Ok(f64::NAN),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_peer_only_we_run() {
        let contenders = vec![Contender::ours("a", || Ok(())), Contender::peer("b", "gemm float32 8")];
        let work = Work { name: "w".into(), unit: "runs/s", amount: 1.0, contenders };
        let speeds = work.measure(None, 3).unwrap();
        assert_eq!(speeds.len(), 1);
        assert!(speeds[0].speed > 0.0 && speeds[0].ratio.is_none());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 9.0]), 3.0);
    }
}
