//! I3: what was made before a purge of its key does not become visible after it.
//!
//! The purge that an unsafe request makes counts, but not for the answer to that request. It checks each
//! `Stored` against the last hard purge of that key which its own edge was asked for, whatever tier it is in
//! and wherever the copy came from: the response is not older than the purge. Ages may be off by what the
//! calendar is rounded by, and by a second where origins say a `Date`, which is in whole seconds. It does not
//! check purges of more than a key, nor those of other edges, nor a head that a tier below L0 has freshened,
//! nor what an edge finds after a restart; what clients get is C7's.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{
    CacheKey, Event, FetchEvent, Instant, PurgeEvent, PurgeMode, ResidenceEvent, SelectorKind, TierId,
};

/// What the ways over the calendar may take from an age.
const ROUNDING: Duration = Duration::from_millis(5);

/// The rule.
#[derive(Debug)]
pub struct PurgedForGood {
    /// How much older than it is a response may seem.
    rounding: Duration,
    purged: BTreeMap<(Edge, CacheKey), Instant>,
    /// What that was before the last purge.
    purged_before: BTreeMap<(Edge, CacheKey), Instant>,
    /// Whose variant a key is, where that was told.
    targets: BTreeMap<CacheKey, CacheKey>,
}

impl Default for PurgedForGood {
    fn default() -> Self {
        Self {
            rounding: ROUNDING,
            purged: BTreeMap::new(),
            purged_before: BTreeMap::new(),
            targets: BTreeMap::new(),
        }
    }
}

impl PurgedForGood {
    /// The rule for a world whose origins say when they made a response, in whole seconds (RFC 9110 section
    /// 6.6.1): the age that follows from it is up to a second too much.
    pub fn with_dates() -> Self {
        Self { rounding: ROUNDING + Duration::from_secs(1), ..Self::default() }
    }

    fn replace_before(&mut self, of: (Edge, CacheKey), before: Option<Instant>) {
        match before {
            Some(before) => drop(self.purged_before.insert(of, before)),
            None => drop(self.purged_before.remove(&of)),
        }
    }

    /// The answer to a POST is younger than the purge that came with its head; of any other purge it must be
    /// known that its request was sent after it.
    fn on_adopted(&mut self, at: Instant, of: (Edge, CacheKey), sent_ago: Duration) -> Result<(), Violation> {
        let Some(before) = self.purged_before.remove(&of) else {
            self.purged.remove(&of);
            return Ok(());
        };
        self.purged.insert(of, before);
        if sent_ago <= at.since(before) {
            return Ok(());
        }
        let (edge, key) = (of.0.0, of.1);
        Err(Violation {
            rule: "I3",
            detail: format!(
                "edge {edge} stores an answer for {key} that was asked for {sent_ago:?} ago, though it was purged at {before:?}"
            ),
        })
    }
}

impl Invariant for PurgedForGood {
    fn id(&self) -> &'static str {
        "I3"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, event, .. } => match event {
                Event::Purge(PurgeEvent::PurgeBegan {
                    what: SelectorKind::Key(key),
                    mode: PurgeMode::Hard,
                    ..
                }) => {
                    let before = self.purged.insert((*edge, *key), fact.at);
                    self.replace_before((*edge, *key), before);
                }
                Event::Fetch(FetchEvent::Adopted { key, variant, sent_ago, .. }) => {
                    if key != variant {
                        self.targets.insert(*variant, *key);
                    }
                    return self.on_adopted(fact.at, (*edge, *key), *sent_ago);
                }
                Event::Fetch(FetchEvent::HeadArrived { key, variant, .. }) if key != variant => {
                    self.targets.insert(*variant, *key);
                }
                // What a shared tier says that it has freshened, the purge's delete finds there.
                Event::Residence(ResidenceEvent::Stored { tier, from: Some(from), .. })
                    if tier == from && *tier != TierId::L0 => {}
                Event::Residence(ResidenceEvent::Stored { tier, key, age, .. }) => {
                    let target = self.targets.get(key).unwrap_or(key);
                    if let Some(purged) = self.purged.get(&(*edge, *target))
                        && *age > fact.at.since(*purged).saturating_add(self.rounding)
                    {
                        return Err(Violation {
                            rule: "I3",
                            detail: format!(
                                "edge {} stores {key} in {tier:?}, {age:?} old, though it was purged at {purged:?}",
                                edge.0
                            ),
                        });
                    }
                }
                _ => {}
            },
            What::EdgeStarted { edge } => {
                self.purged.retain(|(other, _), _| other != edge);
                self.purged_before.retain(|(other, _), _| other != edge);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY};
    use tiergate_engine::{ByteCount, FillId, Length, PurgeId};

    fn stored(age: Duration) -> Event {
        let (tier, length, size) = (TierId::L1, ByteCount(9), ByteCount(9));
        ResidenceEvent::Stored { tier, key: KEY, name: None, length, size, age, from: None }.into()
    }

    /// What was made after the purge passes, and what is older than it is named, until a restart.
    #[test]
    fn what_is_older_than_its_purge_is_named() {
        let mut history = History::of(PurgedForGood::default());
        history.at(7_000_000_000);
        let (purge, what, mode) = (PurgeId(1), SelectorKind::Key(KEY), PurgeMode::Hard);
        history.event(PurgeEvent::PurgeBegan { purge, what, mode }).unwrap();
        history.at(8_000_000_000);
        let second = Duration::from_secs(1);
        assert_eq!(history.event(stored(second + ROUNDING)), Ok(()));
        assert_eq!(history.event(stored(second + ROUNDING * 2)), Err("I3"));
        history.show(What::EdgeStarted { edge: Edge(0) }).unwrap();
        assert_eq!(history.event(stored(second * 2)), Ok(()));
    }

    /// Where ages come from dates, a second more passes and no more.
    #[test]
    fn dates_are_in_whole_seconds() {
        let second = Duration::from_secs(1);
        let mut history = History::of(PurgedForGood::with_dates());
        history.at(7_000_000_000);
        let (purge, what, mode) = (PurgeId(1), SelectorKind::Key(KEY), PurgeMode::Hard);
        history.event(PurgeEvent::PurgeBegan { purge, what, mode }).unwrap();
        history.at(8_000_000_000);
        assert_eq!(history.event(stored(second * 2 + ROUNDING)), Ok(()));
        assert_eq!(history.event(stored(second * 2 + ROUNDING * 2)), Err("I3"));
    }

    /// The answer to a POST may be older than the purge that came with it, and than no other.
    #[test]
    fn an_answer_is_younger_than_its_own_purge() {
        let (what, mode) = (SelectorKind::Key(KEY), PurgeMode::Hard);
        let purge = |purge| PurgeEvent::PurgeBegan { purge: PurgeId(purge), what, mode };
        let adopted = |sent_ago| FetchEvent::Adopted {
            fill: FillId(1),
            key: KEY,
            variant: KEY,
            length: Length::Known(ByteCount(9)),
            sent_ago,
        };
        let second = Duration::from_secs(1);
        for (sent_ago, told) in [(second / 2, Ok(())), (second * 2, Err("I3"))] {
            let mut history = History::of(PurgedForGood::default());
            history.at(7_000_000_000);
            history.event(purge(1)).unwrap();
            history.at(8_000_000_000);
            history.event(purge(2)).unwrap();
            assert_eq!(history.event(adopted(sent_ago)), told);
            assert_eq!(history.event(stored(sent_ago)), told);
        }
        let mut history = History::of(PurgedForGood::default());
        history.at(8_000_000_000);
        history.event(purge(1)).unwrap();
        history.event(adopted(second)).unwrap();
        history.event(purge(2)).unwrap();
        assert_eq!(history.event(stored(second)), Err("I3"));
    }
}
