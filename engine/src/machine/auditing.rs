//! The engine counts itself: what is open, and whether every total is the sum of its parts.

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
    pub clients_max: usize,
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
            clients_max: self.clients_max.max(other.clients_max),
            lane_chunks_max: self.lane_chunks_max.max(other.lane_chunks_max),
        }
    }
}
