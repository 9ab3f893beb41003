//! The hypotheses of one sentence.

use super::Search;

/// A beginning of a translation, or a whole one.
#[derive(Clone, Debug)]
struct Hypothesis {
    /// Without the start; an end that was said is not among them.
    tokens: Vec<u32>,
    /// Logarithm of its probability.
    score: f64,
    /// The row that its last token came from.
    parent: u32,
    /// Attention that each token of the source was given; nothing where it is not asked for.
    coverage: Vec<f32>,
}

/// The search for one sentence.
#[derive(Clone, Debug)]
pub struct Beam {
    /// Best first.
    live: Vec<Hypothesis>,
    /// With its score after the length penalty.
    ended: Option<(Hypothesis, f64)>,
    /// Hypotheses that have ended.
    count: usize,
    start: u32,
    limit: usize,
    /// Tokens of the source.
    length: usize,
}

/// E5M2's smallest number.
const LEAST: f32 = 1.0 / 65_536.0;

/// A hypothesis and what might follow.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    hypothesis: usize,
    token: u32,
    score: f64,
}

impl Beam {
    /// Nothing said yet; at most `limit` tokens for `length` tokens of the source.
    pub fn new(search: &Search, limit: usize, length: usize) -> Self {
        let empty = Hypothesis { tokens: Vec::new(), score: 0.0, parent: 0, coverage: vec![0.0; length] };
        Self { live: vec![empty; usize::from(limit > 0)], ended: None, count: 0, start: search.start, limit, length }
    }

    /// Hypotheses to be continued.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// The parent's row and the last token of each.
    pub fn rows(&self) -> impl Iterator<Item = (u32, u32)> {
        self.live.iter().map(|hypothesis| (hypothesis.parent, *hypothesis.tokens.last().unwrap_or(&self.start)))
    }

    /// One more token: `logits` (live, vocabulary), the first of which is row `first` of the step; `attention` (live, steps of the batch's source), or
    /// nothing.
    pub fn advance(&mut self, search: &Search, logits: &[f32], attention: &[f32], first: u32) {
        if self.live.is_empty() {
            return;
        }
        let (vocabulary, steps) = (logits.len() / self.live.len(), attention.len() / self.live.len());
        // Of so many, `beam` at least do not end the sentence.
        let mut best = Best { candidates: Vec::new(), most: 2 * search.beam };
        for (index, (hypothesis, logits)) in self.live.iter().zip(logits.chunks_exact(vocabulary)).enumerate() {
            let total = log_sum(logits);
            for (token, &logit) in (0..).zip(logits) {
                if token != search.start && token != search.padding {
                    let score = hypothesis.score + f64::from(logit) - total;
                    best.offer(Candidate { hypothesis: index, token, score });
                }
            }
        }
        let mut next = Vec::with_capacity(search.beam);
        for (rank, candidate) in best.candidates.into_iter().enumerate() {
            let from = &self.live[candidate.hypothesis];
            let attention = &attention[candidate.hypothesis * steps..][..steps.min(self.length)];
            let mut hypothesis =
                Hypothesis { score: candidate.score, parent: first + candidate.hypothesis as u32, ..from.clone() };
            hypothesis.coverage.iter_mut().zip(attention).for_each(|(sum, share)| *sum += share);
            if candidate.token != search.end {
                hypothesis.tokens.push(candidate.token);
                next.push(hypothesis);
            } else if rank < search.beam {
                let tokens = hypothesis.tokens.len() + 1;
                self.end(search, hypothesis, tokens);
            }
        }
        next.truncate(search.beam);
        // Where nothing can follow, the network has broken down: what was said is all there is.
        let last = if next.is_empty() { std::mem::take(&mut self.live) } else { Vec::new() };
        let at_limit = next.first().is_some_and(|hypothesis| hypothesis.tokens.len() >= self.limit);
        self.live = next;
        let unfinished = if at_limit || self.count >= search.beam { std::mem::take(&mut self.live) } else { last };
        if self.count == 0 {
            for hypothesis in unfinished {
                let tokens = hypothesis.tokens.len();
                self.end(search, hypothesis, tokens);
            }
        }
    }

    /// The best that has ended: the one before among equals.
    fn end(&mut self, search: &Search, hypothesis: Hypothesis, tokens: usize) {
        self.count += 1;
        let mut score = hypothesis.score / ((5.0 + tokens as f64) / 6.0).powf(search.length_penalty);
        if search.coverage_penalty != 0.0 {
            // Shares below the smallest of any format that keeps them count as it.
            let uncovered = hypothesis.coverage.iter().map(|&sum| f64::from(sum.clamp(LEAST, 1.0)).ln());
            score += search.coverage_penalty * uncovered.sum::<f64>();
        }
        if self.ended.as_ref().is_none_or(|(_, best)| score > *best) {
            self.ended = Some((hypothesis, score));
        }
    }

    /// What was found.
    pub fn best(self) -> Vec<u32> {
        self.ended.map_or_else(Vec::new, |(hypothesis, _)| hypothesis.tokens)
    }
}

/// The best candidates, best first; among equals, those that came first.
struct Best {
    candidates: Vec<Candidate>,
    most: usize,
}

impl Best {
    fn offer(&mut self, candidate: Candidate) {
        let full = self.candidates.len() == self.most;
        let better = self.candidates.last().is_none_or(|worst| candidate.score > worst.score);
        if !candidate.score.is_finite() || (full && !better) {
            return;
        }
        let place = self.candidates.partition_point(|other| other.score >= candidate.score);
        if full {
            self.candidates.pop();
        }
        self.candidates.insert(place, candidate);
    }
}

/// Logarithm of the sum of exponentials. Not finite where a logit is NaN or all are -Inf.
fn log_sum(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    largest + logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(beam: usize, length_penalty: f64) -> Search {
        Search { beam, length_penalty, coverage_penalty: 0.0, start: 1, end: 2, padding: 0 }
    }

    /// Logits whose softmax is `probabilities`.
    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| (p.ln() + 3.0) as f32).collect()
    }

    #[test]
    fn a_wider_beam_finds_what_greed_misses() {
        // Token 3 looks better at first, but 4 is followed by a sure end.
        let [begin, after_3, after_4] = [
            logits(&[0.0, 0.0, 0.01, 0.55, 0.44]),
            logits(&[0.0, 0.0, 0.4, 0.3, 0.3]),
            logits(&[0.0, 0.0, 0.98, 0.01, 0.01]),
        ];
        let mut greedy = Beam::new(&search(1, 0.0), 9, 2);
        greedy.advance(&search(1, 0.0), &begin, &[], 0);
        assert_eq!(greedy.rows().collect::<Vec<_>>(), [(0, 3)]);
        greedy.advance(&search(1, 0.0), &after_3, &[], 0);
        assert_eq!((greedy.live(), greedy.best()), (0, vec![3]));

        let mut wide = Beam::new(&search(2, 0.0), 9, 2);
        wide.advance(&search(2, 0.0), &begin, &[], 7);
        assert_eq!(wide.rows().collect::<Vec<_>>(), [(7, 3), (7, 4)]);
        wide.advance(&search(2, 0.0), &[after_3, after_4].concat(), &[], 10);
        assert_eq!((wide.live(), wide.best()), (0, vec![4]));
    }

    #[test]
    fn the_length_penalty_is_the_papers() {
        let ends = |length_penalty| {
            let search = search(3, length_penalty);
            let mut beam = Beam::new(&search, 99, 2);
            for (tokens, score) in [(vec![3], -2.0), (vec![3; 9], -2.5)] {
                let len = tokens.len() + 1;
                beam.end(&search, Hypothesis { tokens, score, parent: 0, coverage: vec![] }, len);
            }
            beam.best().len()
        };
        // -2 / (7/6)^a against -2.5 / (15/6)^a: equal at a = ln 1.25 / ln (15/7) = 0.2928.
        assert_eq!([0.0, 0.29, 0.30, 1.0].map(ends), [1, 1, 9, 9]);
    }

    /// Two translations as likely: one looked at one token of the source alone, the other at both.
    #[test]
    fn coverage_is_rewarded() {
        let says = |coverage_penalty| {
            let search = Search { coverage_penalty, ..search(2, 0.0) };
            let mut beam = Beam::new(&search, 9, 2);
            beam.advance(&search, &logits(&[0.0, 0.0, 0.02, 0.5, 0.48]), &[1.0, 0.0, 9.0], 0);
            let certain = logits(&[0.0, 0.0, 0.98, 0.01, 0.01]);
            beam.advance(&search, &[certain.clone(), certain].concat(), &[1.0, 0.0, 9.0, 0.5, 0.5, 9.0], 0);
            let (_, score) = beam.ended.clone().unwrap();
            (beam.best(), score)
        };
        assert_eq!(says(0.0).0, [3]);
        let (tokens, score) = says(0.2);
        // The third column is padding.
        let expected = (0.48_f64 * 0.98).ln() + 0.2 * 0.5_f64.ln();
        assert!(tokens == [4] && (score - expected).abs() < 1e-5, "{tokens:?} {score}");
    }

    #[test]
    fn limits_and_broken_logits_end_a_search() {
        let search = search(2, 1.0);
        assert_eq!(Beam::new(&search, 0, 2).live(), 0);
        let mut beam = Beam::new(&search, 2, 2);
        beam.advance(&search, &[0.0, 0.0, -9.0, 1.0, 0.0], &[], 0);
        beam.advance(&search, &[0.0, 0.0, -9.0, 1.0, 0.0, 0.0, 0.0, -9.0, 1.0, 0.0], &[], 0);
        assert_eq!((beam.live(), beam.best()), (0, vec![3, 3]));
        for broken in [[f32::NAN; 5], [f32::NEG_INFINITY; 5], [9.0, 9.0, f32::NAN, f32::INFINITY, 0.0]] {
            let mut beam = Beam::new(&search, 9, 2);
            beam.advance(&search, &broken, &[], 0);
            assert_eq!((beam.live(), beam.best()), (0, vec![]), "{broken:?}");
        }
    }
}
