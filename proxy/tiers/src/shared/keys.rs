//! The names that shared tiers use on their server, behind the prefix that is configured.

use tiergate_engine::{CacheKey, RecordName, StoredKey};

/// Where the head lies that is current.
pub(crate) fn current(key: StoredKey) -> String {
    let StoredKey { target, key: own } = key;
    if key.is_variant() { format!("{{{target}}}:variant:{own}") } else { format!("{{{target}}}") }
}

/// Where the generation of a target lies: what writers remember and a purge removes.
pub(crate) fn generation(target: CacheKey) -> String {
    format!("{{{target}}}:generation")
}

/// Where one fill's parts lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) key: StoredKey,
    pub(crate) name: RecordName,
}

impl Keys {
    pub(crate) fn part(self, index: u64) -> String {
        format!("{}:{:032x}:{index}", current(self.key), self.name.0)
    }

    pub(crate) fn head_in_waiting(self) -> String {
        format!("{}:{:032x}:head", current(self.key), self.name.0)
    }
}

/// What a generation is: the name of the fill that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(pub(crate) RecordName);

impl Generation {
    pub(crate) fn encode(self) -> String {
        format!("{:032x}", self.0.0)
    }

    /// `None` for what no build of ours wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let generation = Self(RecordName(u128::from_str_radix(text, 16).ok()?));
        (generation.encode() == text).then_some(generation)
    }
}
