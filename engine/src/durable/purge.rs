//! A purge of one key in the durable tier.
//!
//! It raises the generation, and with it takes the manifest and every lease, in one swap; so what began
//! before can never be published after (failure F1), on whichever edge it runs. It is confirmed when the
//! index confirms it, or shows a generation that was raised since. Only then it deletes the blob of the
//! manifest that it took.

use super::{Ask, BlobName, Generation, Stored, Terms, Told};
use crate::language::{key::CacheKey, time::WallTime, units::ByteCount};

/// One purge.
///
/// ```text
/// Reading ──entry──▶ Swapping ──done──▶ Deleting ──▶ ended
///    ▲ ╰──raised since──────────────────▶╯   │
///    ╰──conflict, no answer──╯               ╰ nothing was stored ▶ ended
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DurablePurge {
    key: CacheKey,
    terms: Terms,
    failures: u32,
    /// What the first answer of the index said.
    began_at: Option<Generation>,
    /// What was last seen published. Once the generation is raised, nothing names it any more.
    taken: Option<Taken>,
    state: PurgeState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Taken {
    /// None: it was in the row, and is gone with it.
    blob: Option<BlobName>,
    length: ByteCount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PurgeState {
    /// The index was asked for the entry.
    Reading,
    /// The index was asked to change it.
    Swapping,
    /// The store was asked to delete the blob.
    Deleting(ByteCount),
    /// Nothing more is asked.
    Ended,
}

/// How a purge goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PurgeStep {
    /// One question.
    Ask(Ask),
    /// It is over.
    Ended(PurgeEnd),
}

/// What a purge saw (failure R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PurgeEnd {
    /// It was stored, this long, and is not visible any more. If its blob could not be deleted, the collector
    /// does it.
    Removed(ByteCount),
    /// Nothing was stored. What began before cannot be stored any more.
    Absent,
    /// The index did not confirm it: it may be done, or done later. Purge again.
    Failed,
}

impl DurablePurge {
    /// Begins.
    pub const fn begin(key: CacheKey, terms: Terms) -> (Self, Ask) {
        let purge = Self { key, terms, failures: 0, began_at: None, taken: None, state: PurgeState::Reading };
        (purge, Ask::Read { key })
    }

    /// Takes the answer to the last question.
    pub fn on_told(&mut self, told: Told) -> PurgeStep {
        match (core::mem::replace(&mut self.state, PurgeState::Ended), told) {
            (PurgeState::Reading, Told::Entry { found, now }) => self.on_entry(found, now),
            (PurgeState::Swapping, Told::Swapped { now: _ }) => self.on_raised(),
            (PurgeState::Swapping, Told::Conflict)
            | (PurgeState::Reading | PurgeState::Swapping, Told::Unknown) => {
                self.failures += 1;
                if self.failures >= self.terms.tries_max() {
                    return PurgeStep::Ended(PurgeEnd::Failed);
                }
                self.state = PurgeState::Reading;
                PurgeStep::Ask(Ask::Read { key: self.key })
            }
            (PurgeState::Deleting(length), Told::Deleted | Told::Unknown) => {
                PurgeStep::Ended(PurgeEnd::Removed(length))
            }
            (state, told) => unreachable!("a purge that is {state:?} was told {told:?}"),
        }
    }

    fn on_entry(&mut self, found: Option<Stored>, now: WallTime) -> PurgeStep {
        let entry = found.as_ref().map(|stored| &stored.entry);
        let generation = entry.map_or(Generation::default(), |entry| entry.generation);
        if *self.began_at.get_or_insert(generation) < generation {
            // Ours or another's: whoever raised it took what was stored when we began.
            return self.on_raised();
        }
        if let Some(manifest) = entry.and_then(|entry| entry.manifest.as_ref()) {
            self.taken = Some(Taken { blob: manifest.blob(), length: manifest.record.length });
        }
        let expected = entry.map(|entry| entry.version);
        let expires = now.after(self.terms.fetch_max());
        let stored = Stored::purged(found.as_ref(), self.key, now, expires);
        self.state = PurgeState::Swapping;
        PurgeStep::Ask(Ask::Swap { expected, stored })
    }

    fn on_raised(&mut self) -> PurgeStep {
        match self.taken {
            None => PurgeStep::Ended(PurgeEnd::Absent),
            Some(Taken { blob: None, length }) => PurgeStep::Ended(PurgeEnd::Removed(length)),
            Some(Taken { blob: Some(blob), length }) => {
                self.state = PurgeState::Deleting(length);
                PurgeStep::Ask(Ask::Delete { blob })
            }
        }
    }
}

#[cfg(test)]
mod tests;
