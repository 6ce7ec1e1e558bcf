//! The names that this tier uses in Redis.

use tiergate_engine::{CacheKey, RecordName};

/// Where the head lies that is current.
pub(super) fn current(key: CacheKey) -> String {
    format!("tg:{{{key}}}")
}

/// Where the generation lies: what writers remember and a purge removes.
pub(super) fn generation(key: CacheKey) -> String {
    format!("tg:{{{key}}}:generation")
}

/// Where one fill's parts lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) key: CacheKey,
    pub(super) name: RecordName,
}

impl Keys {
    pub(super) fn part(self, index: u64) -> String {
        format!("tg:{{{}}}:{:032x}:{index}", self.key, self.name.0)
    }

    pub(super) fn head_in_waiting(self) -> String {
        format!("tg:{{{}}}:{:032x}:head", self.key, self.name.0)
    }
}
