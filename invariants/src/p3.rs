//! P3: what is not to be promoted costs nothing: no copy is begun over an edge whose policy is `never`.
//!
//! It checks each copy that is begun while a tier answers somebody: not over an edge that is `never`, and
//! over one that is `after_hits` only once the edge has had as many hits of that target below L0. It does not
//! check `never_if_length_unknown`, which events do not show, nor that a copy is begun where one is wanted.
//! Without policies (the default) it allows all.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::{CacheKey, CopyEvent, Event, Promotion, RequestEvent, RequestId, TierId};

/// The rule.
#[derive(Debug, Default)]
pub struct WantedCopies {
    policies: BTreeMap<(TierId, TierId), Promotion>,
    /// Answers from below L0 by target.
    hits: BTreeMap<(Edge, CacheKey), u32>,
    /// Who is answered from there, and with what.
    asked: BTreeMap<(Edge, u32, RequestId), CacheKey>,
}

impl WantedCopies {
    /// The rule for these policies, each of an edge from a tier to a faster one.
    pub fn new(policies: impl IntoIterator<Item = ((TierId, TierId), Promotion)>) -> Self {
        Self { policies: policies.into_iter().collect(), ..Self::default() }
    }

    fn on_event(&mut self, edge: Edge, shard: u32, event: &Event) -> Result<(), String> {
        match event {
            Event::Request(
                RequestEvent::Hit { request, key, tier } | RequestEvent::Revalidated { request, key, tier },
            ) if *tier != TierId::L0 => {
                *self.hits.entry((edge, *key)).or_default() += 1;
                self.asked.insert((edge, shard, *request), *key);
            }
            Event::Request(RequestEvent::Served { request, .. }) => {
                self.asked.remove(&(edge, shard, *request));
            }
            Event::Copy(CopyEvent::LaneOpened { tier: into, promotes: Some((from, request)), .. }) => {
                let target = self.asked.get(&(edge, shard, *request));
                let hits = target.and_then(|key| self.hits.get(&(edge, *key))).copied().unwrap_or(0);
                let is_wanted = match self.policies.get(&(*from, *into)) {
                    Some(Promotion::Never) => false,
                    Some(Promotion::AfterHits(wanted)) => hits >= *wanted,
                    Some(Promotion::OnStreamCommitAtFinish | Promotion::NeverIfLengthUnknown) | None => true,
                };
                if !is_wanted {
                    return Err(format!(
                        "edge {} begins a copy from {from:?} into {into:?} after {hits} hits",
                        edge.0
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Invariant for WantedCopies {
    fn id(&self) -> &'static str {
        "P3"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, shard, event } => {
                self.on_event(*edge, *shard, event).map_err(|detail| Violation { rule: "P3", detail })
            }
            What::EdgeStarted { edge } => {
                self.hits.retain(|(other, _), _| other != edge);
                self.asked.retain(|(other, ..), _| other != edge);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, lane_opened};

    fn history() -> History {
        History::of(WantedCopies::new([
            ((TierId::L1, TierId::L0), Promotion::Never),
            ((TierId::L2, TierId::L0), Promotion::AfterHits(2)),
        ]))
    }

    fn hit(request: u64) -> Event {
        RequestEvent::Hit { request: RequestId(request), key: KEY, tier: TierId::L2 }.into()
    }

    /// An edge without such a policy passes, and one that waits for the second hit passes at the second.
    #[test]
    fn wanted_copies_pass() {
        let mut history = history();
        for event in
            [lane_opened(TierId::L1, Some((TierId::L2, 1))), lane_opened(TierId::L1, None), hit(1), hit(2)]
        {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
        assert_eq!(history.event(lane_opened(TierId::L0, Some((TierId::L2, 2)))), Ok(()));
    }

    /// One over an edge that is never used, and one a hit early.
    #[test]
    fn unwanted_copies_are_named() {
        assert_eq!(history().event(lane_opened(TierId::L0, Some((TierId::L1, 1)))), Err("P3"));
        let mut early = history();
        early.event(hit(1)).unwrap();
        assert_eq!(early.event(lane_opened(TierId::L0, Some((TierId::L2, 1)))), Err("P3"));
    }
}
