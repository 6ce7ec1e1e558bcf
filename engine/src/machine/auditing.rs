//! The engine counts itself: what is open, and whether every total is the sum of its parts.

use super::{
    Engine,
    caring::Waiter,
    clients::{Progress, Request},
};
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
    /// Rights to ask a tier or an origin that were not given back.
    pub permits: u64,
    /// Timers that are set.
    pub timers: usize,
    /// Bytes of bodies in progress held in memory.
    pub window_bytes: u64,
    /// The most of them for one body, without the chunk that came last.
    pub window_bytes_max: u64,
    /// Fetches that the origin works at, or that are about to be made again.
    pub fetches: usize,
    /// The most clients that one fill serves.
    pub crowd_max: usize,
    /// The most chunks that wait for one tier.
    pub lane_chunks_max: usize,
}

impl Audit {
    /// Is nothing open?
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            operations: self.operations + other.operations,
            fills: self.fills + other.fills,
            promotions: self.promotions + other.promotions,
            writers: self.writers + other.writers,
            uploads: self.uploads + other.uploads,
            records: self.records + other.records,
            purges: self.purges + other.purges,
            permits: self.permits + other.permits,
            timers: self.timers + other.timers,
            window_bytes: self.window_bytes + other.window_bytes,
            window_bytes_max: self.window_bytes_max.max(other.window_bytes_max),
            fetches: self.fetches + other.fetches,
            crowd_max: self.crowd_max.max(other.crowd_max),
            lane_chunks_max: self.lane_chunks_max.max(other.lane_chunks_max),
        }
    }
}

impl<C: Chunk> Engine<C> {
    /// What is open now, counted from the tables themselves.
    ///
    /// # Panics
    /// When a total does not equal the sum of its parts: a bug of ours.
    pub fn audit(&self) -> Audit {
        self.residence.audit();
        let of_fills = self.audit_fills();
        assert_eq!(of_fills.fetches, self.fetches, "the count of fetches is not that of the fills");
        let permits = self.cx.caring.permits();
        let held = self.cx.pending.values().filter(|open| open.held.is_some()).count();
        assert_eq!(permits, held as u64, "the permits that are out are not those of the open operations");
        for waiter in self.cx.caring.deadlines.known() {
            let is_known = match waiter {
                Waiter::Fill(fill) => self.fills.contains_key(&fill),
                Waiter::Reader(request) => self.clients.requests.contains_key(&request),
            };
            assert!(is_known, "{waiter:?} has a deadline but does not exist");
        }
        let holders: usize = self.clients.records.values().map(|record| record.holders).sum();
        let reads = |request: &&Request| matches!(request.progress, Progress::Reading { .. });
        let readers = self.clients.requests.values().filter(reads).count();
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
            requests: self.clients.requests.len(),
            operations: self.cx.pending.len(),
            fills: self.fills.len(),
            promotions: self.copying.promotions(),
            writers: self.copying.lanes(),
            uploads: self.copying.uploads(),
            records: self.clients.records.len(),
            purges: self.purging.under_way(),
            permits,
            timers: self.copying.timers() + self.cx.caring.timers(),
            lane_chunks_max: self.copying.waiting_max(),
            ..of_fills
        }
    }

    /// What the fills alone hold.
    fn audit_fills(&self) -> Audit {
        let mut audit = Audit::default();
        for fill in self.fills.values() {
            audit.crowd_max = fill.stage.crowd().max(audit.crowd_max);
            match &fill.stage {
                Stage::Looking { .. } => {}
                Stage::Asking { .. } | Stage::Resting { .. } => audit.fetches += 1,
                Stage::Streaming(stream) => {
                    audit.fetches += usize::from(stream.source != Source::Ended);
                    audit.window_bytes += stream.window.held();
                    audit.window_bytes_max = stream.window.held_before_last().max(audit.window_bytes_max);
                }
            }
        }
        audit
    }
}
