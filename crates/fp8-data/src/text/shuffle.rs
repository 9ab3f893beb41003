//! A random order of what is too long for the memory.

use crate::random::Random;

/// Gives back the items of an iterator in a random order, with at most `len` of them in memory: each item that comes takes the place of one of those,
/// and that one goes. Where all fit, every order is as likely.
pub struct Shuffle<I: Iterator> {
    items: I,
    waiting: Vec<I::Item>,
    len: usize,
    random: Random,
}

impl<I: Iterator> Shuffle<I> {
    pub fn new(items: I, len: usize, random: Random) -> Self {
        Self { items, waiting: Vec::new(), len, random }
    }
}

impl<I: Iterator> Iterator for Shuffle<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        while self.waiting.len() < self.len {
            let Some(item) = self.items.next() else { break };
            self.waiting.push(item);
        }
        if self.waiting.is_empty() {
            return None;
        }
        let place = self.random.below(self.waiting.len());
        Some(self.waiting.swap_remove(place))
    }
}
