//! One exchange of an upload with the index: a swap, and what its answer comes to.

use super::{Ask, Stored, Told, Version};
use crate::language::{key::CacheKey, time::WallTime};

/// The entry as the index last told it, and its clock then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) stored: Option<Stored>,
    pub(super) now: WallTime,
}

/// One exchange with the index: how often it failed, and what was asked last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Round {
    pub(super) failures: u32,
    pub(super) asked: Asked,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    Read,
    Swap { expected: Option<Version>, sent: Stored },
}

impl Known {
    pub(super) fn version(&self) -> Option<Version> {
        self.stored.as_ref().map(|stored| stored.entry.version)
    }
}

/// What the index's answer comes to.
pub(super) enum Heard {
    /// Our change is made, and this is the entry.
    Swapped(Known),
    /// This is the entry.
    Known(Known),
    /// Neither; so often by now.
    Failed(u32),
}

impl Round {
    pub(super) fn swap(known: &Known, sent: Stored, failures: u32) -> Self {
        Self { failures, asked: Asked::Swap { expected: known.version(), sent } }
    }

    pub(super) fn ask(&self, key: CacheKey) -> Ask {
        match &self.asked {
            Asked::Read => Ask::Read { key },
            Asked::Swap { expected, sent } => Ask::Swap { expected: *expected, stored: sent.clone() },
        }
    }

    pub(super) fn on_told(&self, told: Told) -> Heard {
        match (&self.asked, told) {
            (Asked::Swap { sent, .. }, Told::Swapped { now }) => {
                Heard::Swapped(Known { stored: Some(sent.clone()), now })
            }
            (Asked::Read, Told::Entry { found, now }) => Heard::Known(Known { stored: found, now }),
            (Asked::Swap { .. }, Told::Conflict) | (Asked::Swap { .. } | Asked::Read, Told::Unknown) => {
                Heard::Failed(self.failures.saturating_add(1))
            }
            (asked, told) => unreachable!("the answer to {asked:?} was {told:?}"),
        }
    }
}
