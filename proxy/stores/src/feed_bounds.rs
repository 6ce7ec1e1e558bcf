//! How much of the purge feed a store keeps.

use std::time::Duration;
use tiergate_engine::WallTime;

/// Entries that are older, or more, are trimmed, oldest first, as writes go by. An edge that was away for
/// longer than that hears of a gap and asks the origin about everything that is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedBounds {
    /// How long an entry is kept, by the store's clock. Default: one day.
    pub keep: Duration,
    /// How many are kept. Default: 100 000, which is about 10 MB of purges by key.
    pub entries_max: u64,
}

impl Default for FeedBounds {
    fn default() -> Self {
        Self { keep: Duration::from_secs(24 * 60 * 60), entries_max: 100_000 }
    }
}

impl FeedBounds {
    /// Must the oldest of so many entries go, which was appended then?
    pub(crate) fn is_over(&self, entries: u64, appended: WallTime, now: WallTime) -> bool {
        self.entries_max < entries || appended.after(self.keep) <= now
    }
}
