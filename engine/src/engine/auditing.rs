//! The engine counts itself: what is open, and whether every total is the sum of its parts.

use super::{Engine, Progress, Request, durable::Durable};
use crate::{
    chunk::Chunk,
    fill::{Fill, Source, Stage, Stored},
};

/// What an engine holds open at one moment. All zero once everything has ended (CON6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Requests without an end.
    pub requests: usize,
    /// Effects without an answer.
    pub operations: usize,
    /// Fetches and lookups under way.
    pub fills: usize,
    /// Records being copied into faster tiers.
    pub promotions: usize,
    /// Records being written.
    pub writers: usize,
    /// Uploads into the durable tier without an end.
    pub uploads: usize,
    /// Records open for reading.
    pub records: usize,
    /// Purges without an end.
    pub purges: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Bytes of bodies in progress held in memory.
    pub window_bytes: u64,
}

impl Audit {
    /// Is nothing open?
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            operations: self.operations + other.operations,
            fills: self.fills + other.fills,
            promotions: self.promotions + other.promotions,
            writers: self.writers + other.writers,
            uploads: self.uploads + other.uploads,
            records: self.records + other.records,
            purges: self.purges + other.purges,
            timers: self.timers + other.timers,
            window_bytes: self.window_bytes + other.window_bytes,
        }
    }
}

impl<C: Chunk> Engine<C> {
    /// What is open now, counted from the tables themselves.
    ///
    /// # Panics
    /// When a total does not equal the sum of its parts: a bug of ours.
    pub fn audit(&self) -> Audit {
        if let Some(memory) = &self.memory {
            assert_eq!(memory.recount(), memory.used(), "L0's sum is not that of its objects");
        }
        for (tier, index) in &self.indexes {
            assert_eq!(index.recount(), index.used(), "{tier:?}'s sum is not that of its objects");
        }
        let mut fetches = 0;
        let mut window_bytes = 0;
        for fill in self.fills.values() {
            match &fill.stage {
                Stage::Looking { .. } => {}
                Stage::Asking { .. } => fetches += 1,
                Stage::Streaming(stream) => {
                    fetches += usize::from(stream.source != Source::Ended);
                    window_bytes += stream.window.held();
                }
            }
        }
        assert_eq!(fetches, self.fetches, "the count of fetches is not that of the fills");
        let holders: usize = self.records.values().map(|record| record.holders).sum();
        let reads = |request: &&Request| matches!(request.progress, Progress::Reading { .. });
        let readers = self.requests.values().filter(reads).count();
        let keeps = |fill: &&Fill<C>| matches!(fill.errand.stored, Some(Stored::Record(_)));
        let keepers = self.fills.values().filter(keeps).count();
        assert_eq!(
            holders,
            readers + keepers,
            "records are held {readers} times by readers and {keepers} by fills"
        );
        for fill in self.flights.values() {
            assert!(self.fills.contains_key(fill), "{fill:?} can be joined but does not exist");
        }
        Audit {
            requests: self.requests.len(),
            operations: self.pending.len(),
            fills: self.fills.len(),
            promotions: self.promotions.len(),
            writers: self.lanes.len(),
            uploads: self.durable.as_ref().map_or(0, Durable::uploads),
            records: self.records.len(),
            purges: self.purges.len(),
            timers: self.stalls.len() + self.durable.as_ref().map_or(0, Durable::renewals),
            window_bytes,
        }
    }
}
