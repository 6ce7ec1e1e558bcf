//! How often keys were hit below L0, for promotions that wait for the n-th hit.

use crate::language::key::CacheKey;
use alloc::collections::{BTreeMap, VecDeque};

/// Keys counted at a time; the one counted first is forgotten for a new one. Four mebibytes or so.
const KEYS_MAX: usize = 65_536;

/// A bounded count by key.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    counts: BTreeMap<CacheKey, u32>,
    order: VecDeque<CacheKey>,
}

impl Hits {
    /// Counts a hit; says how many that makes.
    pub(crate) fn count(&mut self, key: CacheKey) -> u32 {
        if let Some(count) = self.counts.get_mut(&key) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.counts.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.counts.insert(key, 1);
        self.order.push_back(key);
        1
    }
}
