//! Tasks on the threads of the current rayon pool, whose caller stays awake.
//!
//! A parallel iterator of rayon lets its caller sleep where another thread takes longer for its last task, and waking it takes as long as many a phase
//! of a network. Here the caller looks for other work until all is done. And what a thread did in the last phase it does in the next, if nothing
//! delays it: tasks belong to threads, who take those of others when they have done their own.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `task(i)` for every `i` below `count`, on the threads of the current rayon pool, in any order.
///
/// # Panics
/// Where a task does; others may be left out.
pub(crate) fn each(count: usize, task: impl Fn(usize) + Sync) {
    let threads = rayon::current_num_threads().min(count);
    if threads < 2 {
        return (0..count).for_each(task);
    }
    let shares: Vec<Share> = (0..threads).map(|i| Share::new(i * count / threads..(i + 1) * count / threads)).collect();
    let left = AtomicUsize::new(count);
    let work = || {
        let own = rayon::current_thread_index().unwrap_or(0) % threads;
        for share in shares.iter().cycle().skip(own).take(threads) {
            while let Some(i) = share.take() {
                let _done = Done(&left);
                task(i);
            }
        }
    };
    rayon::scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| work()));
        work();
        while left.load(Ordering::Acquire) > 0 {
            rayon::yield_now();
        }
    });
}

/// Does `task(i, item)` for every item, as [`each`].
pub(crate) fn each_of<T: Send>(items: impl IntoIterator<Item = T>, task: impl Fn(usize, T) + Sync) {
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    each(items.len(), |i| {
        if let Some(item) = items[i].lock().unwrap_or_else(PoisonError::into_inner).take() {
            task(i, item);
        }
    });
}

/// Tasks that belong to a thread, alone in its line of the cache.
#[repr(align(64))]
struct Share {
    next: AtomicUsize,
    end: usize,
}

impl Share {
    fn new(tasks: Range<usize>) -> Self {
        Self { next: AtomicUsize::new(tasks.start), end: tasks.end }
    }

    /// The next of them, if there is one.
    fn take(&self) -> Option<usize> {
        let is_left = |i: usize| (i < self.end).then_some(i + 1);
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_left).ok()
    }
}

/// One task less, also where it panics.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::*;

    fn in_pools(body: impl Fn() + Sync) {
        for threads in 1..5 {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&body);
        }
    }

    #[test]
    fn every_task_is_done_once() {
        in_pools(|| {
            for count in [0, 1, 2, 3, 7, 100] {
                let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                // Some threads have more to do than others, and tasks have tasks.
                each(count, |i| {
                    if i % 3 == 0 {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                    each_of([i], |_, i| each(2, |_| _ = done[i].fetch_add(1, Ordering::Relaxed)));
                });
                assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 2), "{count}: {done:?}");
            }
        });
    }

    #[test]
    fn items_come_with_their_index() {
        in_pools(|| {
            let mut squares = [0; 37];
            each_of(&mut squares, |i, square| *square = i * i);
            assert!(squares.iter().enumerate().all(|(i, square)| *square == i * i));
        });
    }

    #[test]
    fn panics_are_passed_on() {
        in_pools(|| {
            for wrong in [0, 9] {
                let of_all = AssertUnwindSafe(|| each(10, |i| assert!(i != wrong, "of task {i}")));
                let caught = catch_unwind(of_all).unwrap_err();
                assert_eq!(caught.downcast_ref::<String>(), Some(&format!("of task {wrong}")));
            }
            each(10, |_| ());
        });
    }
}
