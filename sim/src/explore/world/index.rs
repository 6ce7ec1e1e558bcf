//! Which record a key stands for in a tier, and who leaves it.
//!
//! L1 evicts nothing by policy here: it loses what it likes. L2 decides as its log does, over the lengths of
//! bodies.

use std::collections::BTreeMap;
use tiergate_engine::{ByteCount, CacheKey, LogIndex, RecordName, Seed, StoredKey};

/// The index of one tier.
pub(in crate::explore) enum Index {
    Keeps(BTreeMap<StoredKey, RecordName>),
    Log(Box<LogIndex<RecordName>>),
}

/// A body is larger than the tier ever takes.
pub(in crate::explore) struct TooLarge;

impl Index {
    /// Nobody leaves.
    pub(in crate::explore) const fn boundless() -> Self {
        Self::Keeps(BTreeMap::new())
    }

    /// An empty log.
    pub(in crate::explore) fn log(capacity: ByteCount, seed: Seed) -> Self {
        Self::Log(Box::new(LogIndex::of_bodies(capacity, seed)))
    }

    pub(in crate::explore) fn get(&self, key: StoredKey) -> Option<RecordName> {
        match self {
            Self::Keeps(names) => names.get(&key).copied(),
            Self::Log(log) => log.find(key).copied(),
        }
    }

    /// The same, which counts as a use.
    pub(in crate::explore) fn use_of(&mut self, key: StoredKey) -> Option<RecordName> {
        match self {
            Self::Keeps(names) => names.get(&key).copied(),
            Self::Log(log) => log.use_of(key).map(|name| *name),
        }
    }

    /// Takes a record in, in place of an older one of its key. Says who leaves for it.
    pub(in crate::explore) fn insert(
        &mut self,
        key: StoredKey,
        length: ByteCount,
        name: RecordName,
    ) -> Result<Vec<RecordName>, TooLarge> {
        let replaced = self.get(key);
        match self {
            Self::Keeps(names) => {
                names.insert(key, name);
                Ok(replaced.into_iter().collect())
            }
            Self::Log(log) => {
                log.insert(key, 0, length, name).map_err(|_| TooLarge)?;
                Ok(replaced.into_iter().chain(log.take_left().map(|(_, name)| name)).collect())
            }
        }
    }

    pub(in crate::explore) fn remove(&mut self, key: StoredKey) {
        match self {
            Self::Keeps(names) => drop(names.remove(&key)),
            Self::Log(log) => drop(log.remove(key)),
        }
    }

    pub(in crate::explore) fn remove_target(&mut self, target: CacheKey) {
        match self {
            Self::Keeps(names) => names.retain(|key, _| key.target != target),
            Self::Log(log) => drop(log.remove_target(target)),
        }
    }

    /// The edge's process has begun anew.
    pub(in crate::explore) fn restart(&mut self) {
        match self {
            Self::Keeps(_) => {}
            Self::Log(log) => log.restart(),
        }
    }
}
