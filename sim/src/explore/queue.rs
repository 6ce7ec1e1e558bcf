//! What happens next: a heap of steps by time, and by the order of scheduling where times are equal.

use std::{cmp::Ordering, collections::BinaryHeap};
use tiergate_engine::Instant;

/// Steps to come.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    scheduled: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    order: u64,
    step: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), scheduled: 0 }
    }

    /// `step` will happen at `at`, after everything that was scheduled for that instant before.
    pub(super) fn schedule(&mut self, at: Instant, step: T) {
        self.scheduled += 1;
        self.heap.push(Entry { at, order: self.scheduled, step });
    }

    /// The next step.
    pub(super) fn pop(&mut self) -> Option<(Instant, T)> {
        self.heap.pop().map(|entry| (entry.at, entry.step))
    }

    /// Takes out the steps that `wanted` accepts, in the order in which they would have happened.
    pub(super) fn take(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let (mut taken, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.heap).into_vec().into_iter().partition(|entry| wanted(&entry.step));
        self.heap = rest.into();
        taken.sort_unstable();
        taken.reverse();
        taken.into_iter().map(|entry| entry.step).collect()
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reversed, for the heap hands out its greatest first.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<&'static str> {
        let mut queue = Queue::new();
        for (at, step) in [(5, "late"), (1, "early"), (5, "later"), (3, "middle")] {
            queue.schedule(Instant::from_nanos(at), step);
        }
        queue
    }

    /// By time, then by the order of scheduling.
    #[test]
    fn steps_come_in_order() {
        let mut queue = queue();
        let steps: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, step)| step).collect();
        assert_eq!(steps, ["early", "middle", "late", "later"]);
    }

    /// What is taken out comes in order too, and the rest stays.
    #[test]
    fn taken_steps_are_gone() {
        let mut queue = queue();
        assert_eq!(queue.take(|step| step.starts_with("la")), ["late", "later"]);
        assert_eq!(queue.pop(), Some((Instant::from_nanos(1), "early")));
        assert_eq!(queue.pop(), Some((Instant::from_nanos(3), "middle")));
        assert_eq!(queue.pop(), None);
    }
}
