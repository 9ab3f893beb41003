//! The threads behind a loader: each takes the next batch that nobody makes yet; the consumer gets them in order.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::{Batch, Plan};
use crate::{Error, Result};

/// The batches of an epoch, in order. After an error nothing more comes. Dropping it ends its threads after the image that each is at.
pub struct Batches {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Batches of the whole epoch.
    batches: usize,
}

struct Shared {
    plan: Plan,
    state: Mutex<State>,
    /// The consumer took a batch, or stopped.
    taken: Condvar,
    /// A batch is ready.
    ready: Condvar,
    stopped: AtomicBool,
}

struct State {
    /// The next batch that no worker has begun.
    next_to_make: usize,
    /// The next batch that the consumer gets.
    next_to_take: usize,
    made: BTreeMap<usize, Result<Batch>>,
}

impl Batches {
    pub(super) fn start(plan: Plan, first: usize) -> Result<Self> {
        let (batches, workers) = (plan.batches, plan.options.workers);
        let shared = Arc::new(Shared {
            plan,
            state: Mutex::new(State { next_to_make: first, next_to_take: first, made: BTreeMap::new() }),
            taken: Condvar::new(),
            ready: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        // Dropping it ends the threads that did start when one does not.
        let mut this = Self { shared, workers: Vec::with_capacity(workers), batches };
        for _ in 0..workers.min(batches.saturating_sub(first)) {
            let shared = this.shared.clone();
            let thread = thread::Builder::new().name("fp8-data".into()).spawn(move || shared.work());
            this.workers.push(thread.map_err(|source| Error::Thread { source })?);
        }
        Ok(this)
    }

    /// Ends the threads and waits for them.
    fn stop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // What it panicked of was handed over as an error.
            let _ = worker.join();
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let batch = {
            let mut state = self.shared.lock();
            if state.next_to_take >= self.batches {
                return None;
            }
            let number = state.next_to_take;
            let batch = loop {
                if let Some(batch) = state.made.remove(&number) {
                    break batch;
                }
                state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            state.next_to_take = if batch.is_ok() { number + 1 } else { self.batches };
            batch
        };
        if batch.is_ok() {
            self.shared.taken.notify_all();
        } else {
            self.stop();
        }
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let state = self.shared.lock();
        let left = self.batches.saturating_sub(state.next_to_take);
        (left.min(1), Some(left))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// The state. It is whole even if a thread died while it held it: every change to it is a single step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        // Set while the state is locked, so that no worker is between looking at it and going to sleep.
        let _state = self.lock();
        self.stopped.store(true, Ordering::Relaxed);
        self.taken.notify_all();
    }

    /// What a worker thread does.
    fn work(&self) {
        let mut transformer = None;
        while let Some(number) = self.claim() {
            let batch = catch_unwind(AssertUnwindSafe(|| {
                let transformer = match &mut transformer {
                    Some(transformer) => transformer,
                    none => match self.plan.transformer() {
                        Ok(made) => none.insert(made),
                        Err(error) => return Some(Err(error)),
                    },
                };
                self.plan.batch(number, transformer, || self.is_stopped())
            }));
            let batch = batch.unwrap_or_else(|panic| Some(Err(self.panicked(number, &*panic))));
            let Some(batch) = batch else { return };
            self.lock().made.insert(number, batch);
            self.ready.notify_all();
        }
    }

    /// The next batch to make, as soon as the consumer is near enough; nothing when all are made, or on stopping.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if self.is_stopped() || state.next_to_make >= self.plan.batches {
                return None;
            }
            if state.next_to_make < state.next_to_take + self.plan.options.prefetch {
                state.next_to_make += 1;
                return Some(state.next_to_make - 1);
            }
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn panicked(&self, batch: usize, panic: &(dyn Any + Send)) -> Error {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into());
        Error::Panic { epoch: self.plan.epoch, batch, message }
    }
}
