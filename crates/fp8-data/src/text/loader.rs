//! Batches of tokens, made ahead of the consumer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde::{Deserialize, Serialize};

use super::batch::{Encoded, batches};
use super::shuffle::Shuffle;
use super::{Batch, Bpe, Dropped, Limits, Pair, Source};
use crate::random::{Purpose, Random};
use crate::{Error, Result, Split};

/// How pairs become batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Most tokens of a batch on each side, PAD among them. Default 4096.
    pub tokens: usize,
    /// Which pairs are kept.
    pub limits: Limits,
    /// Pairs in memory at a time: as many are shuffled with each other, and as many sorted by length. Default 65,536.
    pub window: usize,
    /// Seed of the order. Default 0.
    pub seed: u64,
    /// Threads that encode. Batches do not depend on it. Default 1.
    pub workers: usize,
    /// Batches that are ready before they are asked for. Default 8.
    pub prefetch: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { tokens: 4096, limits: Limits::default(), window: 1 << 16, seed: 0, workers: 1, prefetch: 8 }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let counts = [("window", self.window), ("workers", self.workers), ("prefetch", self.prefetch)];
        let wrong = |option, value: String, expected| Err(Error::Option { option, value, expected });
        if let Some((option, value)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return wrong(option, value.to_string(), "it must be at least 1");
        }
        if self.limits.tokens < 2 || self.tokens < self.limits.tokens {
            let expected = "a batch must have room for the longest sentence, which is 2 tokens or more";
            return wrong("tokens", self.tokens.to_string(), expected);
        }
        if self.limits.ratio.is_nan() || self.limits.ratio < 1.0 {
            return wrong("ratio", self.limits.ratio.to_string(), "it must be at least 1");
        }
        Ok(())
    }
}

/// Makes batches of pairs.
///
/// Training goes through the pairs in an order of the seed and the epoch; validation, window by window, in the order of length. Neither depends on the
/// number of threads.
pub struct Loader {
    source: Source,
    split: Split,
    bpe: Arc<Bpe>,
    options: Options,
}

impl Loader {
    /// A loader of a part of `source`.
    pub fn new(source: Source, split: Split, bpe: Arc<Bpe>, options: Options) -> Result<Self> {
        options.check()?;
        Ok(Self { source, split, bpe, options })
    }

    /// The batches of `epoch` from number `first` on. Those before it are made and left out: nothing of an order is kept but the seed.
    pub fn epoch(&self, epoch: u32, first: usize) -> Result<Batches> {
        let pairs = self.source.pairs(self.split)?;
        let random = |index| Random::new(self.options.seed, Purpose::Order, epoch, index);
        let window = self.options.window;
        let (pairs, random): (Box<dyn Iterator<Item = _> + Send>, _) = match self.split {
            Split::Training => (Box::new(Shuffle::new(pairs, window, random(0))), Some(random(1))),
            Split::Validation => (pairs, None),
        };
        let (sender, receiver) = sync_channel(self.options.prefetch);
        let maker = Maker { bpe: self.bpe.clone(), options: self.options.clone(), random, first, sender };
        let thread = thread::Builder::new().name("fp8-text".into());
        thread.spawn(move || maker.run(pairs)).map_err(|source| Error::Thread { source })?;
        Ok(Batches { receiver })
    }
}

/// The batches of an epoch, in order. After an error nothing more comes. Dropping it ends its threads after the window that they are at.
pub struct Batches {
    receiver: Receiver<Result<Batch>>,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        self.receiver.recv().ok()
    }
}

/// Nobody waits for batches any more.
struct Stopped;

struct Maker {
    bpe: Arc<Bpe>,
    options: Options,
    /// Order of the batches of a window.
    random: Option<Random>,
    first: usize,
    sender: SyncSender<Result<Batch>>,
}

impl Maker {
    fn run(mut self, mut pairs: impl Iterator<Item = Result<Pair>>) {
        let (mut number, mut dropped) = (0, Dropped::default());
        // Waits for the next one, so that what is dropped at the end of the epoch is told too.
        let mut last: Option<Batch> = None;
        loop {
            let window: Result<Vec<Pair>> = pairs.by_ref().take(self.options.window).collect();
            let made = window.and_then(|window| self.batches(&window, &mut dropped).map(|made| (window.len(), made)));
            let (read, made) = match made {
                Ok(made) => made,
                Err(error) => return self.end(last, Some(error)),
            };
            for batch in made {
                let batch = Batch { number, dropped: std::mem::take(&mut dropped), ..batch };
                number += 1;
                if last.replace(batch).is_some_and(|ready| self.send(ready).is_err()) {
                    return;
                }
            }
            if read < self.options.window {
                break;
            }
        }
        match &mut last {
            Some(last) => last.dropped += dropped,
            None => return self.end(None, Some(Error::NothingLeft { dropped })),
        }
        self.end(last, None)
    }

    fn send(&self, batch: Batch) -> std::result::Result<(), Stopped> {
        if batch.number < self.first {
            return Ok(());
        }
        self.sender.send(Ok(batch)).map_err(|_| Stopped)
    }

    /// Hands over what is left. Where nobody listens any more, nobody misses it.
    fn end(&self, last: Option<Batch>, error: Option<Error>) {
        let _ = last.map_or(Ok(()), |last| self.send(last));
        if let Some(error) = error {
            let _ = self.sender.send(Err(error));
        }
    }

    fn batches(&mut self, window: &[Pair], dropped: &mut Dropped) -> Result<Vec<Batch>> {
        let mut pairs = self.encode(window)?;
        pairs.retain(|pair| self.options.limits.keep(pair.source.len(), pair.target.len(), dropped));
        Ok(batches(&pairs, self.options.tokens, self.random.as_mut()))
    }

    /// Each thread encodes its share; the shares are put together in order.
    fn encode(&self, window: &[Pair]) -> Result<Vec<Encoded>> {
        let encode = |pair: &Pair| {
            Ok(Encoded { source: self.bpe.encode(&pair.source)?, target: self.bpe.encode(&pair.target)? })
        };
        let share = window.len().div_ceil(self.options.workers).max(1);
        let shares: Vec<Result<Vec<Encoded>>> = thread::scope(|scope| {
            let shares = window.chunks(share).map(|part| scope.spawn(move || part.iter().map(encode).collect()));
            let running: Vec<_> = shares.collect();
            running
                .into_iter()
                .map(|share| share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let shares: Vec<Vec<Encoded>> = shares.into_iter().collect::<Result<_>>()?;
        Ok(shares.into_iter().flatten().collect())
    }
}
