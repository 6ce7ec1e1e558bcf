//! What happens next: steps by time, and by the order of scheduling where times are equal.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};
use tiergate_engine::Instant;

/// Steps to come.
#[derive(Debug)]
pub(in crate::explore) struct Queue<T> {
    /// What was planned in its order. It would only make the heap deep.
    planned: VecDeque<QueueEntry>,
    /// Everything else.
    heap: BinaryHeap<QueueEntry>,
    /// Beside the heap, which moves its entries about.
    steps: Vec<Option<T>>,
    /// Places in `steps` that are empty.
    free: Vec<u32>,
    scheduled: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct QueueEntry {
    at: Instant,
    order: u64,
    place: u32,
}

impl<T> Queue<T> {
    pub(in crate::explore) fn new() -> Self {
        Self {
            planned: VecDeque::new(),
            heap: BinaryHeap::new(),
            steps: Vec::new(),
            free: Vec::new(),
            scheduled: 0,
        }
    }

    /// `step` will happen at `at`, after everything that was scheduled for that instant before.
    pub(in crate::explore) fn schedule(&mut self, at: Instant, step: T) {
        let entry = self.enter(at, step);
        self.heap.push(entry);
    }

    /// The same for a step that is not to happen before any that was planned so.
    pub(in crate::explore) fn plan(&mut self, at: Instant, step: T) {
        assert!(self.planned.back().is_none_or(|last| last.at <= at), "what is planned comes in its order");
        let entry = self.enter(at, step);
        self.planned.push_back(entry);
    }

    fn enter(&mut self, at: Instant, step: T) -> QueueEntry {
        self.scheduled += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.steps.push(None);
            u32::try_from(self.steps.len() - 1).expect("memory runs out before four billion steps")
        });
        self.steps[place as usize] = Some(step);
        QueueEntry { at, order: self.scheduled, place }
    }

    /// The next step.
    pub(in crate::explore) fn pop(&mut self) -> Option<(Instant, T)> {
        // The greater comes first.
        let entry = if self.planned.front() > self.heap.peek() {
            self.planned.pop_front()?
        } else {
            self.heap.pop()?
        };
        Some((entry.at, self.take_out(entry)))
    }

    /// Takes out the steps that `wanted` accepts, in the order in which they would have happened.
    pub(in crate::explore) fn take(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let is_wanted = |entry: &QueueEntry| self.steps[entry.place as usize].as_ref().is_some_and(&wanted);
        let heap = std::mem::take(&mut self.heap).into_vec();
        let planned = std::mem::take(&mut self.planned);
        let (mut taken, rest): (Vec<_>, Vec<_>) = heap.into_iter().partition(is_wanted);
        self.heap = rest.into();
        let (also_taken, rest): (Vec<_>, Vec<_>) = planned.into_iter().partition(is_wanted);
        self.planned = rest.into();
        taken.extend(also_taken);
        taken.sort_unstable();
        taken.reverse();
        taken.into_iter().map(|entry| self.take_out(entry)).collect()
    }

    fn take_out(&mut self, entry: QueueEntry) -> T {
        self.free.push(entry.place);
        self.steps[entry.place as usize].take().expect("an entry of the heap has a step")
    }
}

impl PartialOrd for QueueEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reversed, for the heap hands out its greatest first.
impl Ord for QueueEntry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<&'static str> {
        let mut queue = Queue::new();
        queue.plan(Instant::from_nanos(2), "planned");
        for (at, step) in [(5, "late"), (1, "early"), (5, "later"), (3, "middle")] {
            queue.schedule(Instant::from_nanos(at), step);
        }
        queue.plan(Instant::from_nanos(5), "last");
        queue
    }

    /// By time, then by the order of scheduling.
    #[test]
    fn steps_come_in_order() {
        let mut queue = queue();
        let steps: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, step)| step).collect();
        assert_eq!(steps, ["early", "planned", "middle", "late", "later", "last"]);
    }

    /// What is taken out comes in order too, and the rest stays.
    #[test]
    fn taken_steps_are_gone() {
        let mut queue = queue();
        assert_eq!(queue.take(|step| step.starts_with("la")), ["late", "later", "last"]);
        assert_eq!(queue.pop(), Some((Instant::from_nanos(1), "early")));
        assert_eq!(queue.pop(), Some((Instant::from_nanos(2), "planned")));
        assert_eq!(queue.pop(), Some((Instant::from_nanos(3), "middle")));
        assert_eq!(queue.pop(), None);
    }
}
