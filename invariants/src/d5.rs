//! D5: what an edge accounts for in its own tier is what lies there, after a restart and at the end.
//!
//! It checks that each record which a tier kept over a restart is taken in, or said not to be, before the recovery is told
//! to be over; and that in the end no key lies in the tier of which the edge knows nothing. Which sums follow, M5 checks. It
//! does not check the other way round, for a tier may lose what it likes, nor which record of a key it is, nor what a
//! world leaves out because the tier could not be told to remove it.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::{CacheKey, Event, LaneEnd, TierId};

/// The rule.
#[derive(Debug, Default)]
pub struct WholeRecovery {
    /// Records of which nothing was said yet.
    recovering: BTreeMap<(Edge, TierId), u64>,
    /// How often each key is accounted for.
    known: BTreeMap<(Edge, TierId, CacheKey), u64>,
}

impl WholeRecovery {
    fn on_event(&mut self, edge: Edge, event: &Event) -> Result<(), String> {
        match event {
            Event::Stored { tier, key, .. } => {
                *self.known.entry((edge, *tier, *key)).or_default() += 1;
                self.told_of(edge, *tier);
            }
            Event::Rejected { tier, .. } | Event::LaneDropped { tier, why: LaneEnd::Superseded, .. } => {
                self.told_of(edge, *tier);
            }
            Event::Removed { tier, key, .. } => {
                if let Some(count) = self.known.get_mut(&(edge, *tier, *key)) {
                    *count -= 1;
                    if *count == 0 {
                        self.known.remove(&(edge, *tier, *key));
                    }
                }
            }
            Event::Recovered { tier, .. } => {
                if let Some(1..) = self.recovering.remove(&(edge, *tier)) {
                    return Err(format!("edge {} has taken in less than {tier:?} kept", edge.0));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn told_of(&mut self, edge: Edge, tier: TierId) {
        if let Some(left) = self.recovering.get_mut(&(edge, tier)) {
            *left = left.saturating_sub(1);
        }
    }
}

impl Invariant for WholeRecovery {
    fn id(&self) -> &'static str {
        "D5"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let checked = match &fact.what {
            What::Engine { edge, event, .. } => self.on_event(*edge, event),
            What::EdgeStarted { edge } => {
                self.known.retain(|(other, ..), _| other != edge);
                Ok(())
            }
            What::Recovering { edge, tier, records } => {
                self.recovering.insert((*edge, *tier), *records);
                Ok(())
            }
            What::TierHolds { edge, tier, keys } => {
                match keys.iter().find(|key| !self.known.contains_key(&(*edge, *tier, **key))) {
                    Some(key) => {
                        Err(format!("{key} lies in {tier:?} of edge {}, which knows nothing of it", edge.0))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        };
        checked.map_err(|detail| Violation { rule: "D5", detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, OTHER, copied, recovered, removed};
    use tiergate_engine::Rejection;

    const L2: TierId = TierId::L2;

    fn recovering(records: u64) -> What {
        What::Recovering { edge: Edge(0), tier: L2, records }
    }

    fn holds(keys: &[CacheKey]) -> What {
        What::TierHolds { edge: Edge(0), tier: L2, keys: keys.to_vec() }
    }

    /// Each record is taken in or refused, and what was removed is gone.
    #[test]
    fn what_is_accounted_for_passes() {
        let mut history = History::of(WholeRecovery::default());
        history.show(recovering(2)).unwrap();
        history.event(copied(L2, None)).unwrap();
        let rejected = Event::Rejected { tier: L2, key: OTHER, why: Rejection::OverCapacity };
        history.event(rejected).unwrap();
        assert_eq!(history.event(recovered(L2, 2)), Ok(()));
        assert_eq!(history.show(holds(&[KEY])), Ok(()));
        history.event(removed(L2, KEY, 9)).unwrap();
        assert_eq!(history.show(holds(&[])), Ok(()));
    }

    /// A record that was overlooked, and one that lies there without being known.
    #[test]
    fn what_is_not_is_named() {
        let mut history = History::of(WholeRecovery::default());
        history.show(recovering(2)).unwrap();
        history.event(copied(L2, None)).unwrap();
        assert_eq!(history.event(recovered(L2, 2)), Err("D5"));
        assert_eq!(history.show(holds(&[KEY, OTHER])), Err("D5"));
    }
}
