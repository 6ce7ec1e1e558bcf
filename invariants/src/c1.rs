//! C1: no client is refused, and no response breaks off, for the failure of what it does not depend on.
//!
//! A refusal for the origin's sake needs a fetch of that key which failed, or a wait for it that was too
//! long, since the request was taken; so does a response that breaks off for its sake. One that breaks off
//! for a tier's sake needs a read that failed, or found rot, since then, and one in that tier: a tier that
//! fails a lookup or a copy changes nothing for a client.
//!
//! It does not check whether the request could have been served otherwise, nor what was sent until then (C5),
//! nor refusals for a breaker (O2) or a limit, nor a request that is taken twice.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::{
    AbortReason, CacheKey, End, Event, FetchEnd, FetchEvent, Late, Refusal, RequestEvent, RequestId,
    ResilienceEvent, TierId, TierOperation,
};

/// The rule.
#[derive(Debug, Default)]
pub struct NoTierFails {
    /// How many events there were, to know what came first.
    events: u64,
    taken: BTreeMap<(Edge, u32, RequestId), (u64, CacheKey)>,
    /// When the origin last failed for a key.
    origin_failed: BTreeMap<(Edge, CacheKey), u64>,
    /// When a read in a tier last failed.
    read_failed: BTreeMap<(Edge, TierId), u64>,
}

impl NoTierFails {
    fn on_event(&mut self, edge: Edge, shard: u32, event: &Event) -> Result<(), String> {
        self.events += 1;
        let now = self.events;
        match event {
            Event::Request(RequestEvent::Requested { request, key }) => {
                self.taken.insert((edge, shard, *request), (now, *key));
            }
            Event::Fetch(FetchEvent::FetchEnded { key, end: FetchEnd::Failed(_), .. })
            | Event::Resilience(ResilienceEvent::DeadlineMissed {
                key,
                what: Late::Answer | Late::Head | Late::Chunk,
            }) => {
                self.origin_failed.insert((edge, *key), now);
            }
            Event::Resilience(
                ResilienceEvent::TierFailed { tier, operation: TierOperation::Read }
                | ResilienceEvent::FoundRotten { tier, .. }
                | ResilienceEvent::DeadlineMissed { what: Late::Read(tier), .. },
            ) => {
                self.read_failed.insert((edge, *tier), now);
            }
            Event::Request(RequestEvent::Refused { request, refusal }) => {
                let taken = self.taken.remove(&(edge, shard, *request));
                if let Refusal::Origin(failure) = refusal {
                    self.blame_origin(edge, taken, &format!("is refused for {failure:?}"))?;
                }
            }
            Event::Request(RequestEvent::Passed { request, .. }) => {
                self.taken.remove(&(edge, shard, *request));
            }
            Event::Request(RequestEvent::Served { request, end, .. }) => {
                let taken = self.taken.remove(&(edge, shard, *request));
                match end {
                    End::Aborted(AbortReason::Origin(failure)) => {
                        self.blame_origin(edge, taken, &format!("breaks off for {failure:?}"))?;
                    }
                    End::Aborted(AbortReason::TierRead(tier)) => {
                        let since = taken.map_or(0, |(since, _)| since);
                        // Of two copies that could be read, one may have failed others before.
                        let of_edge = self.read_failed.iter().filter(|((other, _), _)| *other == edge);
                        let is_recent = of_edge.map(|(_, failed)| *failed).max() >= Some(since);
                        if !is_recent || !self.read_failed.contains_key(&(edge, *tier)) {
                            return Err(format!(
                                "{request:?} breaks off for a read in {tier:?}, and none failed"
                            ));
                        }
                    }
                    End::Complete | End::Aborted(AbortReason::ClientLeft) => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn blame_origin(&self, edge: Edge, taken: Option<(u64, CacheKey)>, what: &str) -> Result<(), String> {
        let Some((since, key)) = taken else { return Ok(()) };
        match self.origin_failed.get(&(edge, key)) {
            Some(failed) if *failed > since => Ok(()),
            _ => Err(format!("a request for {key} {what}, and no fetch of it has failed since it came")),
        }
    }
}

impl Invariant for NoTierFails {
    fn id(&self) -> &'static str {
        "C1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, shard, event } => self
                .on_event(*edge, *shard, event)
                .map_err(|detail| Violation { rule: "C1", detail: format!("edge {}: {detail}", edge.0) }),
            What::EdgeStarted { edge } => {
                self.taken.retain(|(other, ..), _| other != edge);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, requested, served};
    use tiergate_engine::{ByteCount, FillId, OriginFailure};

    fn failed() -> Event {
        let (fill, key, received) = (FillId(1), KEY, ByteCount::ZERO);
        FetchEvent::FetchEnded { fill, key, received, end: FetchEnd::Failed(OriginFailure::TimedOut) }.into()
    }

    fn tier_failed(operation: TierOperation) -> Event {
        ResilienceEvent::TierFailed { tier: TierId::L2, operation }.into()
    }

    fn refused() -> Event {
        RequestEvent::Refused { request: RequestId(1), refusal: Refusal::Origin(OriginFailure::TimedOut) }
            .into()
    }

    fn after(before: &[Event], last: Event) -> Result<(), &'static str> {
        let mut history = History::of(NoTierFails::default());
        for event in before {
            history.event(*event).unwrap();
        }
        history.event(last)
    }

    /// A fetch that failed explains a refusal and a broken body, a read that failed explains the other one.
    #[test]
    fn what_has_its_reason_passes() {
        let origin = End::Aborted(AbortReason::Origin(OriginFailure::TimedOut));
        let tier = End::Aborted(AbortReason::TierRead(TierId::L2));
        assert_eq!(after(&[requested(1), failed()], refused()), Ok(()));
        assert_eq!(after(&[requested(1), failed()], served(1, 0, origin)), Ok(()));
        assert_eq!(after(&[requested(1), tier_failed(TierOperation::Read)], served(1, 0, tier)), Ok(()));
    }

    /// A tier that failed otherwise, a fetch that failed before, and no reason at all.
    #[test]
    fn what_has_another_reason_is_named() {
        let tier = End::Aborted(AbortReason::TierRead(TierId::L2));
        assert_eq!(after(&[requested(1), tier_failed(TierOperation::Lookup)], refused()), Err("C1"));
        assert_eq!(after(&[failed(), requested(1)], refused()), Err("C1"));
        assert_eq!(after(&[requested(1), tier_failed(TierOperation::Write)], served(1, 0, tier)), Err("C1"));
    }
}
