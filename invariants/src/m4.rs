//! M4: a lane that was dropped never commits.
//!
//! It counts the lanes of each key into each tier: a `Stored` needs a lane that was opened and neither dropped nor
//! stored before. Two lanes of one key are not told apart, so while one is open another's commit passes. It does not
//! check that a lane is bounded, nor what it wrote; C5 sees a wrong byte when it is served.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::{CacheKey, Event, TierId};

/// The rule.
#[derive(Debug, Default)]
pub struct DroppedLanes {
    open: BTreeMap<(Edge, TierId, CacheKey), u32>,
}

impl DroppedLanes {
    fn close(&mut self, edge: Edge, tier: TierId, key: CacheKey, did: &str) -> Result<(), Violation> {
        let place = (edge, tier, key);
        match self.open.get_mut(&place) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.open.remove(&place);
            }
            None => {
                return Err(Violation {
                    rule: "M4",
                    detail: format!(
                        "edge {} {did} a copy of {key} in {}, but no lane into it was open",
                        edge.0,
                        tier.as_str()
                    ),
                });
            }
        }
        Ok(())
    }
}

impl Invariant for DroppedLanes {
    fn id(&self) -> &'static str {
        "M4"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine {
                edge,
                event: Event::LaneOpened { tier, key, .. },
                ..
            } => {
                *self.open.entry((*edge, *tier, *key)).or_default() += 1;
                Ok(())
            }
            What::Engine {
                edge,
                event: Event::LaneDropped { tier, key, .. },
                ..
            } => self.close(*edge, *tier, *key, "dropped"),
            What::Engine {
                edge,
                event: Event::Stored { tier, key, .. },
                ..
            } => self.close(*edge, *tier, *key, "stored"),
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.open.retain(|(other, _, _), _| other != edge);
                Ok(())
            }
            What::Engine { .. }
            | What::Published { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::ClientGot { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Healed
            | What::Settled { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, stored};
    use tiergate_engine::LaneEnd;

    const L2: TierId = TierId::L2;

    fn opened() -> Event {
        Event::LaneOpened {
            tier: L2,
            key: KEY,
            name: None,
        }
    }

    fn dropped() -> Event {
        Event::LaneDropped {
            tier: L2,
            key: KEY,
            why: LaneEnd::Full,
        }
    }

    /// Opened and stored, opened and dropped, and opened anew.
    #[test]
    fn one_end_for_each_lane_passes() {
        let mut history = History::of(DroppedLanes::default());
        for event in [
            opened(),
            stored(L2, KEY, 9, 9),
            opened(),
            dropped(),
            opened(),
            stored(L2, KEY, 9, 9),
        ] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
    }

    /// A commit after the drop, a commit out of nowhere, and a commit from before a crash.
    #[test]
    fn a_commit_without_a_lane_is_named() {
        let mut history = History::of(DroppedLanes::default());
        assert_eq!(history.event(stored(L2, KEY, 9, 9)), Err("M4"));
        history.event(opened()).unwrap();
        history.event(dropped()).unwrap();
        assert_eq!(history.event(stored(L2, KEY, 9, 9)), Err("M4"));
        history.event(opened()).unwrap();
        history.show(What::EdgeCrashed { edge: Edge(0) }).unwrap();
        assert_eq!(history.event(stored(L2, KEY, 9, 9)), Err("M4"));
    }
}
