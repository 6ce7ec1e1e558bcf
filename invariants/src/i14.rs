//! I14: every request is answered from one place, and bytes that are said to be sent have come from there.
//!
//! It checks of each response that ended whole that it was told to be a hit, stale, revalidated or a miss;
//! that what a tier answered is told once; that what came from the origin alone is as long as a fetch of that
//! key which ended whole, or as the part that was told; and, when an edge has settled, that requests are the
//! sum of what they came to. It does not see the fast path, nor check the length of what a tier gave, which
//! C5 sees, nor bytes of responses that broke off.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    ByteCount, CacheKey, End, Event, FetchEnd, FetchEvent, RequestEvent, RequestId, TierId,
};

/// Lengths of whole bodies that are remembered for each key: more than are ever published while one is on its
/// way.
const LENGTHS_MAX: usize = 4_096;

/// One shard of an edge: each numbers its own requests.
type Engine = (Edge, u32);

/// The rule.
#[derive(Debug, Default)]
pub struct Accounting {
    open: BTreeMap<(Engine, RequestId), Option<AnswerSource>>,
    /// How long a part is that a request gets of what is arriving.
    parts: BTreeMap<(Engine, RequestId), ByteCount>,
    /// How long the bodies were that came whole from the origin.
    received: BTreeMap<(Edge, CacheKey), BTreeSet<ByteCount>>,
    counts: BTreeMap<Edge, Counts>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerSource {
    Tier(TierId),
    /// A tier, past its lifetime or with the origin's word.
    Stale(TierId),
    Origin,
}

/// What requests came to.
#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    tiers: u64,
    origin: u64,
    passed: u64,
    refused: u64,
    /// Left, or broken off.
    aborted: u64,
}

impl Accounting {
    fn on_event(&mut self, engine: Engine, event: &Event) -> Result<(), String> {
        let (edge, _) = engine;
        let counts = self.counts.entry(edge).or_default();
        match event {
            Event::Request(RequestEvent::Requested { request, .. }) => {
                counts.requests += 1;
                self.open.insert((engine, *request), None);
            }
            Event::Request(RequestEvent::Hit { request, tier, .. }) => {
                return self.place(engine, *request, AnswerSource::Tier(*tier));
            }
            Event::Request(
                RequestEvent::ServedStale { request, tier, .. }
                | RequestEvent::Revalidated { request, tier, .. },
            ) => {
                return self.place(engine, *request, AnswerSource::Stale(*tier));
            }
            Event::Request(RequestEvent::Missed { request, .. }) => {
                return self.place(engine, *request, AnswerSource::Origin);
            }
            Event::Request(RequestEvent::FollowsPart { request, length, .. }) => {
                self.parts.insert((engine, *request), *length);
            }
            Event::Fetch(FetchEvent::FetchEnded { key, received, end: FetchEnd::Complete, .. }) => {
                let lengths = self.received.entry((edge, *key)).or_default();
                lengths.insert(*received);
                if lengths.len() > LENGTHS_MAX {
                    lengths.pop_first();
                }
            }
            Event::Request(RequestEvent::Passed { request, .. }) => {
                counts.passed += 1;
                self.open.remove(&(engine, *request));
            }
            Event::Request(RequestEvent::Refused { request, .. }) => {
                counts.refused += 1;
                self.open.remove(&(engine, *request));
            }
            Event::Request(RequestEvent::Served { request, end: End::Aborted(_), .. }) => {
                counts.aborted += 1;
                self.parts.remove(&(engine, *request));
                self.open.remove(&(engine, *request));
            }
            Event::Request(RequestEvent::Served { request, key, sent, end: End::Complete }) => {
                let part = self.parts.remove(&(engine, *request));
                match self.open.remove(&(engine, *request)).flatten() {
                    None => return Err(format!("{request:?} was answered, and nothing says from where")),
                    Some(AnswerSource::Tier(_) | AnswerSource::Stale(_)) => counts.tiers += 1,
                    Some(AnswerSource::Origin) => {
                        counts.origin += 1;
                        let lengths = self.received.get(&(edge, *key));
                        if part == Some(*sent) {
                            return Ok(());
                        }
                        if part.is_some() || lengths.is_none_or(|lengths| !lengths.contains(sent)) {
                            return Err(format!(
                                "{request:?} was sent {sent} of {key}; of a part of {part:?}, or of what was fetched: {lengths:?}"
                            ));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn place(&mut self, engine: Engine, request: RequestId, source: AnswerSource) -> Result<(), String> {
        let Some(before) = self.open.get_mut(&(engine, request)) else { return Ok(()) };
        match *before {
            Some(before @ (AnswerSource::Tier(_) | AnswerSource::Stale(_))) => {
                Err(format!("{request:?} was {before:?}, and now {source:?}"))
            }
            // Who was parted from a leader may join a lookup.
            None | Some(AnswerSource::Origin) => {
                *before = Some(source);
                Ok(())
            }
        }
    }

    fn on_settled(&self, edge: Edge) -> Result<(), String> {
        let Some(counts) = self.counts.get(&edge) else { return Ok(()) };
        let Counts { requests, tiers, origin, passed, refused, aborted } = counts;
        if *requests == tiers + origin + passed + refused + aborted {
            return Ok(());
        }
        Err(format!("{counts:?} does not add up"))
    }
}

impl Invariant for Accounting {
    fn id(&self) -> &'static str {
        "I14"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let (edge, checked) = match &fact.what {
            What::Engine { edge, shard, event } => (edge, self.on_event((*edge, *shard), event)),
            What::EdgeStarted { edge } => {
                self.open.retain(|((other, _), _), _| other != edge);
                self.parts.retain(|((other, _), _), _| other != edge);
                self.received.retain(|(other, _), _| other != edge);
                self.counts.remove(edge);
                return Ok(());
            }
            What::Settled { edge, .. } => (edge, self.on_settled(*edge)),
            _ => return Ok(()),
        };
        checked.map_err(|detail| Violation { rule: "I14", detail: format!("edge {}: {detail}", edge.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, fetch_ended, requested, served};
    use tiergate_engine::{Audit, MissReason};

    fn hit(request: u64) -> Event {
        RequestEvent::Hit { request: RequestId(request), key: KEY, tier: TierId::L1 }.into()
    }

    fn missed(request: u64) -> Event {
        RequestEvent::Missed { request: RequestId(request), key: KEY, reason: MissReason::Absent }.into()
    }

    fn revalidated(request: u64) -> Event {
        RequestEvent::Revalidated { request: RequestId(request), key: KEY, tier: TierId::L1 }.into()
    }

    fn show(events: &[Event]) -> Result<(), &'static str> {
        let mut history = History::of(Accounting::default());
        events.iter().try_for_each(|event| history.event(*event))?;
        history.show(What::Settled { edge: Edge(0), open: Audit::default() })
    }

    /// A hit, a miss, and a miss that the origin agreed to.
    #[test]
    fn one_source_each_passes() {
        let events = [
            requested(1),
            hit(1),
            served(1, 9, End::Complete),
            requested(2),
            missed(2),
            fetch_ended(1, KEY),
            served(2, 0, End::Complete),
            requested(3),
            missed(3),
            revalidated(3),
            served(3, 9, End::Complete),
        ];
        assert_eq!(show(&events), Ok(()));
    }

    /// A part of what is still arriving is as long as was told.
    #[test]
    fn a_part_is_as_long_as_told() {
        let length = ByteCount(3);
        let part = RequestEvent::FollowsPart { request: RequestId(1), key: KEY, length }.into();
        let served = |sent| show(&[requested(1), missed(1), part, served(1, sent, End::Complete)]);
        assert_eq!((served(3), served(2)), (Ok(()), Err("I14")));
    }

    /// From nowhere, from two places, more than came, and one that is counted nowhere.
    #[test]
    fn anything_else_is_named() {
        let end = served(1, 0, End::Complete);
        for events in [
            vec![requested(1), end],
            vec![requested(1), hit(1), missed(1)],
            vec![requested(1), missed(1), fetch_ended(1, KEY), served(1, 9, End::Complete)],
            vec![requested(1)],
        ] {
            assert_eq!(show(&events), Err("I14"), "{events:?}");
        }
    }
}
