//! I11: what is visible in a tier never gives way to an older response.
//!
//! It checks L0: while a key is there, whatever takes its place was made no earlier;
//! nor does anything older come back after a 304 that forbade to keep what was there.
//! Ages are compared as they are told; they differ by what the calendar is rounded by. It does not check what
//! comes after a removal for another reason, nor the tiers below, which keep their own index: that L2 does
//! not let an older response follow a younger one is its store's to keep (`sim/tests/disk.rs`).

use crate::{Edge, Fact, Invariant, Violation, What};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{CacheKey, Event, Instant, Removal, ResidenceEvent, TierId};

/// What a way over the calendar and back may add to an age, each time.
const ROUNDING: Duration = Duration::from_millis(2);

/// The rule.
#[derive(Debug, Default)]
pub struct NewerStays {
    /// When what is visible was made, in nanoseconds of the world's clock; below zero for what is older than
    /// that.
    made: BTreeMap<(Edge, u32, TierId, CacheKey), i128>,
}

fn made(at: Instant, age: Duration) -> i128 {
    let nanos = |nanos: u128| i128::try_from(nanos).unwrap_or(i128::MAX);
    i128::from(at.as_nanos()) - nanos(age.as_nanos())
}

impl Invariant for NewerStays {
    fn id(&self) -> &'static str {
        "I11"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine {
                edge,
                shard,
                event: Event::Residence(ResidenceEvent::Stored { tier: tier @ TierId::L0, key, age, .. }),
            } => {
                let now = made(fact.at, *age);
                let before = self.made.insert((*edge, *shard, *tier, *key), now);
                match before {
                    Some(before) if now.saturating_add(made_of(ROUNDING)) < before => Err(Violation {
                        rule: "I11",
                        detail: format!(
                            "edge {} stores {key} in {tier:?}, {age:?} old, in place of what is younger by {} ns",
                            edge.0,
                            before - now
                        ),
                    }),
                    Some(_) | None => Ok(()),
                }
            }
            What::Engine {
                edge,
                shard,
                event: Event::Residence(ResidenceEvent::Removed { tier, key, why, .. }),
            } if !matches!(why, Removal::Replaced | Removal::Forbidden) => {
                self.made.remove(&(*edge, *shard, *tier, *key));
                Ok(())
            }
            What::EdgeStarted { edge } => {
                self.made.retain(|(other, ..), _| other != edge);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn made_of(span: Duration) -> i128 {
    i128::try_from(span.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, removed};
    use tiergate_engine::ByteCount;

    fn stored(age: Duration) -> Event {
        let (tier, length, size) = (TierId::L0, ByteCount(9), ByteCount(9));
        ResidenceEvent::Stored { tier, key: KEY, name: None, length, size, age, from: None }.into()
    }

    /// A younger one takes the place of an older one, and what was evicted may come back older.
    #[test]
    fn a_younger_one_passes() {
        let mut history = History::of(NewerStays::default());
        let second = Duration::from_secs(1);
        assert_eq!(history.event(stored(second)), Ok(()));
        assert_eq!(history.event(stored(Duration::ZERO)), Ok(()));
        history.event(removed(TierId::L0, KEY, 9)).unwrap();
        assert_eq!(history.event(stored(second)), Ok(()));
    }

    /// After a 304 that forbade to keep what was there, an older one is named.
    #[test]
    fn what_was_forbidden_does_not_come_back_older() {
        let mut history = History::of(NewerStays::default());
        history.event(stored(Duration::ZERO)).unwrap();
        let (tier, size, why) = (TierId::L0, ByteCount(9), Removal::Forbidden);
        history.event(ResidenceEvent::Removed { tier, key: KEY, size, why }).unwrap();
        assert_eq!(history.event(stored(Duration::from_secs(1))), Err("I11"));
    }

    /// An older one is named, but not for what the calendar rounds.
    #[test]
    fn an_older_one_is_named() {
        let mut history = History::of(NewerStays::default());
        history.event(stored(Duration::ZERO)).unwrap();
        assert_eq!(history.event(stored(ROUNDING)), Ok(()));
        assert_eq!(history.event(stored(ROUNDING * 3)), Err("I11"));
    }
}
