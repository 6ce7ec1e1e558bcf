//! The objects of a history: what a version of a key is, to the byte.

use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tiergate_engine::{
    ByteCount, CacheKey, Fields, Head, Record, RecordName, StoredFreshness, StoredKey, WallTime,
};

/// One version of one key; a version's head changes when it is freshened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Which fill it came of.
    pub number: u64,
    /// The bytes of its body.
    pub length: usize,
    /// How often it was freshened.
    pub freshened: u64,
}

/// A key of a target; the first is the target's own.
pub fn key(target: u64, variant: u64) -> StoredKey {
    let target_key = CacheKey::of("disk.example", &format!("/{target}"));
    let own = CacheKey::of("variant.example", &format!("/{target}/{variant}"));
    StoredKey { target: target_key, key: if variant == 0 { target_key } else { own } }
}

impl Version {
    /// What its record is called.
    pub fn name(self) -> RecordName {
        RecordName(u128::from(self.number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    /// Bytes without a short period, so that no piece passes for another.
    pub fn body(self) -> Bytes {
        let mut state = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..self.length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_le_bytes()[7]
            })
            .collect()
    }

    /// The record, as it is stored for a key.
    pub fn record(self, key: StoredKey) -> Arc<Record> {
        let fields =
            Fields::from_iter([("etag", self.number.to_string()), ("x-state", self.freshened.to_string())]);
        Arc::new(Record {
            key: key.key,
            target: key.target,
            name: self.name(),
            head: Arc::new(Head { status: 200, fields }),
            length: ByteCount(self.length as u64),
            freshness: StoredFreshness {
                as_of: WallTime::from_unix_millis(1_700_000_000_000 + self.number * 1_000 + self.freshened),
                age_then: Duration::ZERO,
                lifetime: Duration::from_secs(3_600),
            },
        })
    }
}
