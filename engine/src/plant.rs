//! Faults that can be put into the engine on purpose, to see that the net catches them.
//!
//! Each is one row of `docs/failures.md`. They do nothing unless the crate is built with the feature `plant`, which only
//! the simulator's `prove` and its tests ask for.

/// A way in which such caches really failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A fetch that broke off looks like one that ended.
    T3,
    /// A lane that lost a chunk carries on and commits.
    T5,
    /// A purge does not stop what began before it.
    F1,
    /// What other edges purged is not heeded.
    F9,
    /// The breaker stands before the cache, and hides what is stored.
    R2,
    /// A retry is made at once, whatever its backoff.
    R3,
    /// Who loses the race for a key in the durable tier deletes the winner's blob.
    T8,
    /// Whoever was first in the durable tier has won for ever, expired or not.
    F6,
}

impl Fault {
    /// Every fault that can be planted.
    pub const ALL: [Self; 8] =
        [Self::T3, Self::T5, Self::F1, Self::F9, Self::T8, Self::F6, Self::R2, Self::R3];

    /// Its row in `docs/failures.md`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::T3 => "T3",
            Self::T5 => "T5",
            Self::F1 => "F1",
            Self::F9 => "F9",
            Self::R2 => "R2",
            Self::R3 => "R3",
            Self::T8 => "T8",
            Self::F6 => "F6",
        }
    }

    /// What goes wrong when it is planted.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::T3 => "a fetch that broke off looks like one that ended",
            Self::T5 => "a lane that lost a chunk carries on and commits",
            Self::F1 => "a purge does not stop what began before it",
            Self::F9 => "what other edges purged is not heeded",
            Self::R2 => "the breaker stands before the cache, and hides what is stored",
            Self::R3 => "a retry is made at once, whatever its backoff",
            Self::T8 => "who loses the race for a key in L3 deletes the winner's blob",
            Self::F6 => "who was first in L3 has won for ever, expired or not",
        }
    }
}
