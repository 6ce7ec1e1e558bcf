//! CON1: of the uploads of one key into the durable tier exactly one wins at a time, and its blob is its own.
//!
//! It checks what each upload was told, over all edges: no two of a key win with one version, no blob wins
//! twice, a winner keeps its blob, if it has one, and nobody loses to a blob that has itself lost or was
//! given up. It does not look into the stores: that a manifest names a whole blob (D2) is the world's to see.

use crate::{Fact, Invariant, Violation, What};
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    CacheKey, DurableEvent, Event, RecordName,
    durable::{BlobFate, PublishEnd, Version},
};

/// The rule.
#[derive(Debug, Default)]
pub struct OneWinner {
    won: BTreeMap<(CacheKey, Version), RecordName>,
    winners: BTreeSet<RecordName>,
    losers: BTreeSet<RecordName>,
}

impl OneWinner {
    fn on_ended(
        &mut self,
        key: CacheKey,
        name: RecordName,
        end: PublishEnd,
        blob: BlobFate,
    ) -> Result<(), String> {
        match end {
            PublishEnd::Won { version } => {
                if !self.winners.insert(name) || self.losers.contains(&name) {
                    return Err(format!("{name:?} of {key} ended twice, or won what it had lost"));
                }
                if !matches!(blob, BlobFate::Named | BlobFate::InRow) {
                    return Err(format!("{name:?} of {key} won, and its blob is {blob:?}"));
                }
                match self.won.insert((key, version), name) {
                    Some(other) => Err(format!("{other:?} and {name:?} of {key} both won with {version:?}")),
                    None => Ok(()),
                }
            }
            PublishEnd::Lost { winner } => {
                self.losers.insert(name);
                if winner == name || self.losers.contains(&winner) {
                    return Err(format!("{name:?} of {key} lost to {winner:?}, which did not win"));
                }
                Ok(())
            }
            PublishEnd::Purged | PublishEnd::LeaseLost | PublishEnd::TooLate | PublishEnd::Crowded => {
                self.losers.insert(name);
                Ok(())
            }
            // A swap whose answer was lost may still be done: these may win without learning of it.
            PublishEnd::IndexFailed | PublishEnd::Abandoned => Ok(()),
        }
    }
}

impl Invariant for OneWinner {
    fn id(&self) -> &'static str {
        "CON1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let What::Engine {
            event: Event::Durable(DurableEvent::UploadEnded { key, name, end, blob }), ..
        } = &fact.what
        else {
            return Ok(());
        };
        self.on_ended(*key, *name, *end, *blob).map_err(|detail| Violation { rule: "CON1", detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, OTHER};

    fn ended(key: CacheKey, name: u128, end: PublishEnd, blob: BlobFate) -> Event {
        DurableEvent::UploadEnded { key, name: RecordName(name), end, blob }.into()
    }

    fn won(key: CacheKey, name: u128, version: u64) -> Event {
        ended(key, name, PublishEnd::Won { version: Version(version) }, BlobFate::Named)
    }

    fn lost(name: u128, winner: u128) -> Event {
        ended(KEY, name, PublishEnd::Lost { winner: RecordName(winner) }, BlobFate::Deleted)
    }

    /// One after the other may win, others lose to them, and other keys are other races.
    #[test]
    fn winners_one_at_a_time_pass() {
        let mut history = History::of(OneWinner::default());
        for event in [won(KEY, 1, 5), lost(2, 1), won(KEY, 3, 6), won(OTHER, 4, 5), lost(5, 3)] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
    }

    /// Two winners of one version, one that wins twice, one without its blob, and one that lost to a loser.
    #[test]
    fn anything_else_is_named() {
        let homeless = ended(KEY, 1, PublishEnd::Won { version: Version(5) }, BlobFate::Deleted);
        for events in [
            vec![won(KEY, 1, 5), won(KEY, 2, 5)],
            vec![won(KEY, 1, 5), won(KEY, 1, 6)],
            vec![homeless],
            vec![won(KEY, 1, 5), lost(2, 1), lost(3, 2)],
            vec![lost(2, 2)],
        ] {
            let mut history = History::of(OneWinner::default());
            let (last, before) = events.split_last().expect("a history has events");
            for event in before {
                assert_eq!(history.event(*event), Ok(()), "{event:?}");
            }
            assert_eq!(history.event(*last), Err("CON1"), "{last:?}");
        }
    }
}
