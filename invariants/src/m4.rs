//! M4: a lane that was dropped never commits, and no two lanes write under one name.
//!
//! It counts the lanes of each key into each tier: a `Stored` needs a lane that was opened and neither
//! dropped nor stored before. Two lanes of one key are not told apart, so while one is open another's commit
//! passes. It does not check what is stored before an edge's first request, for that is what recovery found;
//! nor that a lane is bounded, nor what it wrote; C5 sees a wrong byte when it is served.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tiergate_engine::{CacheKey, CopyEvent, Event, RecordName, RequestEvent, ResidenceEvent, TierId};

/// Names that are remembered: far more than are ever written under at once.
const NAMES_MAX: usize = 65_536;

/// The rule.
#[derive(Debug, Default)]
pub struct DroppedLanes {
    open: BTreeMap<(Edge, TierId, CacheKey), u32>,
    /// Edges that have not seen a request since they started.
    starting: BTreeSet<Edge>,
    /// Names that were given to records, the youngest ones.
    names: BTreeSet<RecordName>,
    by_age: VecDeque<RecordName>,
}

impl DroppedLanes {
    fn on_named(&mut self, edge: Edge, name: RecordName) -> Result<(), Violation> {
        if !self.names.insert(name) {
            let detail = format!("edge {} begins a copy under {name:?}, a name that was used before", edge.0);
            return Err(Violation { rule: "M4", detail });
        }
        self.by_age.push_back(name);
        if self.by_age.len() > NAMES_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.names.remove(&oldest);
        }
        Ok(())
    }

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
            // What a 304 freshened is stored anew, without a lane: its body is there already.
            What::Engine {
                edge, event: Event::Residence(ResidenceEvent::Freshened { tier, key }), ..
            } => {
                *self.open.entry((*edge, *tier, *key)).or_default() += 1;
                Ok(())
            }
            What::Engine {
                edge, event: Event::Copy(CopyEvent::LaneOpened { tier, key, name, .. }), ..
            } => {
                *self.open.entry((*edge, *tier, *key)).or_default() += 1;
                name.map_or(Ok(()), |name| self.on_named(*edge, name))
            }
            What::Engine { edge, event: Event::Copy(CopyEvent::LaneDropped { tier, key, .. }), .. } => {
                self.close(*edge, *tier, *key, "dropped")
            }
            What::Engine { edge, event: Event::Request(RequestEvent::Requested { .. }), .. } => {
                self.starting.remove(edge);
                Ok(())
            }
            What::Engine { edge, event: Event::Residence(ResidenceEvent::Stored { .. }), .. }
                if self.starting.contains(edge) =>
            {
                Ok(())
            }
            What::Engine {
                edge, event: Event::Residence(ResidenceEvent::Stored { tier, key, .. }), ..
            } => self.close(*edge, *tier, *key, "stored"),
            What::EdgeStarted { edge } => {
                self.open.retain(|(other, _, _), _| other != edge);
                self.starting.insert(*edge);
                Ok(())
            }
            What::Engine { .. }
            | What::EdgeCrashed { .. }
            | What::Published { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::ClientGot { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Audited { .. }
            | What::Healed
            | What::Settled { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, stored};
    use tiergate_engine::{LaneEnd, RequestId};

    const L2: TierId = TierId::L2;

    fn opened() -> Event {
        CopyEvent::LaneOpened { tier: L2, key: KEY, name: None, promotes: None }.into()
    }

    fn dropped() -> Event {
        CopyEvent::LaneDropped { tier: L2, key: KEY, name: None, why: LaneEnd::Full }.into()
    }

    /// Opened and stored, opened and dropped, and opened anew.
    #[test]
    fn one_end_for_each_lane_passes() {
        let mut history = History::of(DroppedLanes::default());
        for event in [opened(), stored(L2, KEY, 9, 9), opened(), dropped(), opened(), stored(L2, KEY, 9, 9)] {
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
        history.show(What::EdgeStarted { edge: Edge(0) }).unwrap();
        assert_eq!(history.event(stored(L2, KEY, 9, 9)), Ok(()), "found by recovery");
        let request = RequestId(1);
        history.event(RequestEvent::Requested { request, key: KEY }).unwrap();
        assert_eq!(history.event(stored(L2, KEY, 9, 9)), Err("M4"));
    }

    /// Two records of one name are named, also on two edges.
    #[test]
    fn a_name_that_is_used_twice_is_named() {
        let mut history = History::of(DroppedLanes::default());
        let named = |name| {
            let name = Some(RecordName(name));
            Event::Copy(CopyEvent::LaneOpened { tier: L2, key: KEY, name, promotes: None })
        };
        assert_eq!([1, 2, 1].map(|name| history.event(named(name))), [Ok(()), Ok(()), Err("M4")]);
    }
}
