//! Watermarks: since when a key must have been fetched to be used, after a purge (failures F1, F2) or after a
//! 304 that forbade to keep what was there.

use crate::language::{
    key::CacheKey,
    time::{BIRTH_ROUNDING, WallTime},
};
use alloc::collections::{BTreeMap, BTreeSet};

/// Keys remembered one by one; what is older counts for every key.
const KEYS_MAX: usize = 65_536;

/// Before when a response must not have been made to be used.
///
/// Comparing births needs edges whose calendars agree; the purge feed of the shared index replaces it there.
#[derive(Debug, Default)]
pub(super) struct Watermarks {
    by_key: BTreeMap<CacheKey, WallTime>,
    by_age: BTreeSet<(WallTime, CacheKey)>,
    everywhere: Option<WallTime>,
}

impl Watermarks {
    /// What was purged later already stays so: a purge that another edge was asked for may be heard of late.
    pub(super) fn raise(&mut self, key: CacheKey, at: WallTime) {
        let before = self.by_key.get(&key).copied();
        if before.is_some_and(|before| before >= at) {
            return;
        }
        if let Some(before) = before {
            self.by_age.remove(&(before, key));
        }
        self.by_key.insert(key, at);
        self.by_age.insert((at, key));
        if self.by_key.len() > KEYS_MAX
            && let Some((oldest, key)) = self.by_age.pop_first()
        {
            self.by_key.remove(&key);
            self.everywhere = self.everywhere.max(Some(oldest));
        }
    }

    /// Is what was born then too old to be used? In doubt it is.
    pub(super) fn covers(&self, key: CacheKey, born: WallTime) -> bool {
        self.of(key).is_some_and(|watermark| born <= watermark.after(BIRTH_ROUNDING))
    }

    /// Until when what is stored for `key` must not have been made.
    pub(super) fn of(&self, key: CacheKey) -> Option<WallTime> {
        self.everywhere.max(self.by_key.get(&key).copied())
    }
}
