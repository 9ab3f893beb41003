//! Threads that stay awake while something is computed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rayon::Yield;

/// How often a thread looks in vain for something to do, and lets others have the core in between, before it sleeps: about a millisecond.
const LOOKS: u32 = 2000;
/// How long it sleeps before it looks again.
const NAP: Duration = Duration::from_micros(100);

/// Does `work` on the first thread of a pool, while the others wait, awake, for what it leaves to them: a sleeping thread takes longer to wake than most
/// operations of a small network take.
pub fn within(pool: &rayon::ThreadPool, work: &mut (dyn FnMut() + Send)) {
    let (work, is_done) = (Mutex::new(work), AtomicBool::new(false));
    pool.broadcast(|thread| {
        if thread.index() == 0 {
            let _end = End(&is_done);
            work.lock().unwrap_or_else(PoisonError::into_inner)();
        } else {
            help(&is_done);
        }
    });
}

/// Does what other threads of the pool have left to do, until all is done.
fn help(is_done: &AtomicBool) {
    let mut looks = 0;
    while !is_done.load(Ordering::Relaxed) {
        match rayon::yield_now() {
            Some(Yield::Executed) => looks = 0,
            _ if looks < LOOKS => {
                looks += 1;
                thread::yield_now();
            }
            _ => thread::sleep(NAP),
        }
    }
}

/// Says that all is done, where it panics too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn work_is_done_once_and_in_the_pool() {
        for threads in 1..4 {
            let (pool, mut found) = (pool(threads), Vec::new());
            within(&pool, &mut || {
                // Long enough for the others to take a nap.
                thread::sleep(Duration::from_millis(5));
                let sum: u64 = (0..10_000_u64).into_par_iter().sum();
                found.push((rayon::current_thread_index(), rayon::current_num_threads(), sum));
            });
            assert_eq!(found, [(Some(0), threads, 49_995_000)]);
        }
    }

    #[test]
    fn within_itself() {
        let (pool, mut found) = (pool(2), 0);
        within(&pool, &mut || within(&pool, &mut || found += 1));
        assert_eq!(found, 1);
    }

    #[test]
    fn panics_are_passed_on() {
        let pool = pool(3);
        let work = std::panic::AssertUnwindSafe(|| within(&pool, &mut || panic!("of the work")));
        let caught = std::panic::catch_unwind(work);
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"of the work"));
        assert_eq!(pool.install(|| 1), 1);
    }
}
