//! O2: a breaker that is open stops what goes out and nothing else, and one that is half-open resolves.
//!
//! It checks that an origin is not asked while its breaker is open; that whoever is refused for it had missed
//! in the cache before, so that nothing stored is hidden (failure R2); that a tier is skipped only while its
//! breaker is not closed, and never for a delete; that no breaker stays half-open for longer than its bound,
//! or when everything has ended; and that one of a tier opens only if the tier has failed since it was
//! closed: what it does not have is no failure. It does not check that a breaker opens when it should, and
//! not the fast path, which shows no events.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tiergate_engine::{
    BreakerState, CopyEvent, Dependency, Event, FetchEvent, Instant, LaneEnd, Late, Refusal, RequestEvent,
    RequestId, ResilienceEvent, TierId, TierOperation,
};

/// The rule.
#[derive(Debug)]
pub struct Breakers {
    half_open_max: Duration,
    /// Where each breaker that is not closed stands, and since when.
    standing: BTreeMap<(Edge, u32, Dependency), (Instant, BreakerState)>,
    /// Requests that missed and are not over.
    missed: BTreeSet<(Edge, u32, RequestId)>,
    /// Who has failed since its breaker was closed.
    failed: BTreeSet<(Edge, u32, Dependency)>,
    /// A breaker that opened, and when: the failure is told at the same moment.
    unexplained: Option<(Instant, (Edge, u32, Dependency))>,
}

impl Breakers {
    /// With the longest that a breaker may be half-open: twice `resilience.breaker.probe_ms_max`, and what
    /// timers are late by.
    pub fn new(half_open_max: Duration) -> Self {
        Self {
            half_open_max,
            standing: BTreeMap::new(),
            missed: BTreeSet::new(),
            failed: BTreeSet::new(),
            unexplained: None,
        }
    }

    /// A breaker has opened: its failure was told before, or is at the same moment.
    fn explain(&mut self, at: Instant, edge: Edge, shard: u32, event: &Event) -> Result<(), Violation> {
        if let Some((since, (of, its, who))) = self.unexplained {
            if (of, its) == (edge, shard) && has_failed(event, who) {
                self.unexplained = None;
            } else if since < at {
                return broken(format!(
                    "edge {}: the breaker of {who:?} opened, and nothing had failed",
                    of.0
                ));
            }
        }
        let tiers = [TierId::L1, TierId::L2, TierId::L3].map(Dependency::Tier);
        for who in tiers.into_iter().chain([Dependency::Index]) {
            if has_failed(event, who) {
                self.failed.insert((edge, shard, who));
            }
        }
        match event {
            Event::Resilience(ResilienceEvent::BreakerChanged { who, state: BreakerState::Closed }) => {
                self.failed.remove(&(edge, shard, *who));
            }
            Event::Resilience(ResilienceEvent::BreakerChanged { who, state: BreakerState::Open { .. } }) => {
                let is_told = match who {
                    Dependency::Tier(_) | Dependency::Index => self.failed.contains(&(edge, shard, *who)),
                    // Which origin a fetch was from is not told with its end.
                    Dependency::Origin(_) => true,
                };
                if !is_told {
                    self.unexplained = Some((at, (edge, shard, *who)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_event(&mut self, at: Instant, edge: Edge, shard: u32, event: &Event) -> Result<(), Violation> {
        match event {
            Event::Request(event) => self.on_request(edge, shard, event),
            Event::Resilience(event) => self.on_resilience(at, edge, shard, event),
            Event::Fetch(FetchEvent::Fetched { fill, origin, .. }) => {
                match self.standing.get(&(edge, shard, Dependency::Origin(*origin))) {
                    Some((_, BreakerState::Open { until })) => broken(format!(
                        "edge {} fetches as fill {} though its origin's breaker is open until {until:?}",
                        edge.0, fill.0
                    )),
                    Some((_, BreakerState::Closed | BreakerState::HalfOpen)) | None => Ok(()),
                }
            }
            Event::Fetch(
                FetchEvent::HeadArrived { .. }
                | FetchEvent::Adopted { .. }
                | FetchEvent::NotAdopted { .. }
                | FetchEvent::AdoptionEnded { .. }
                | FetchEvent::FoundUncacheable { .. }
                | FetchEvent::FetchEnded { .. }
                | FetchEvent::Retried { .. }
                | FetchEvent::GaveUp { .. },
            )
            | Event::Copy(_)
            | Event::Residence(_)
            | Event::Purge(_)
            | Event::Durable(_) => Ok(()),
        }
    }

    fn on_request(&mut self, edge: Edge, shard: u32, event: &RequestEvent) -> Result<(), Violation> {
        match event {
            RequestEvent::Missed { request, .. } => {
                self.missed.insert((edge, shard, *request));
            }
            RequestEvent::Refused { request, refusal } => {
                let missed = self.missed.remove(&(edge, shard, *request));
                match refusal {
                    Refusal::BreakerOpen { .. } if !missed => {
                        return broken(format!(
                            "edge {} refuses request {} for a breaker before it looked in the cache",
                            edge.0, request.0
                        ));
                    }
                    Refusal::BreakerOpen { .. }
                    | Refusal::Origin(_)
                    | Refusal::TooManyFills
                    | Refusal::TooManyWaiters => {}
                }
            }
            RequestEvent::Served { request, .. } | RequestEvent::Passed { request, .. } => {
                self.missed.remove(&(edge, shard, *request));
            }
            RequestEvent::Requested { .. }
            | RequestEvent::Hit { .. }
            | RequestEvent::ServedStale { .. }
            | RequestEvent::Revalidated { .. }
            | RequestEvent::Collapsed { .. }
            | RequestEvent::AttachRefused { .. }
            | RequestEvent::LeaderReplaced { .. }
            | RequestEvent::FollowsPart { .. }
            | RequestEvent::Hedged { .. } => {}
        }
        Ok(())
    }

    fn on_resilience(
        &mut self,
        at: Instant,
        edge: Edge,
        shard: u32,
        event: &ResilienceEvent,
    ) -> Result<(), Violation> {
        match event {
            ResilienceEvent::BreakerChanged { who, state } => {
                match state {
                    BreakerState::Closed => self.standing.remove(&(edge, shard, *who)),
                    BreakerState::Open { .. } | BreakerState::HalfOpen => {
                        self.standing.insert((edge, shard, *who), (at, *state))
                    }
                };
                Ok(())
            }
            ResilienceEvent::TierSkipped { tier, operation: TierOperation::Delete, .. } => {
                broken(format!("edge {} skips a delete in {tier:?}", edge.0))
            }
            ResilienceEvent::TierSkipped { tier, .. } => {
                let stands = |who| self.standing.contains_key(&(edge, shard, who));
                if stands(Dependency::Tier(*tier)) || *tier == TierId::L3 && stands(Dependency::Index) {
                    return Ok(());
                }
                broken(format!("edge {} skips {tier:?} though its breaker is closed", edge.0))
            }
            ResilienceEvent::TierJoined { .. }
            | ResilienceEvent::TierFailed { .. }
            | ResilienceEvent::FoundRotten { .. }
            | ResilienceEvent::DeadlineMissed { .. }
            | ResilienceEvent::LateAnswer { .. } => Ok(()),
        }
    }

    fn is_resolved(&self, at: Instant, edge: Edge, longest: Duration) -> Result<(), Violation> {
        let stuck = self.standing.iter().find(|((other, ..), (since, standing))| {
            *other == edge && *standing == BreakerState::HalfOpen && at.since(*since) > longest
        });
        match stuck {
            Some(((_, _, who), (since, _))) => {
                broken(format!("edge {}: the breaker of {who:?} is half-open since {since:?}", edge.0))
            }
            None => Ok(()),
        }
    }
}

impl Default for Breakers {
    fn default() -> Self {
        Self::new(Duration::MAX)
    }
}

fn broken(detail: String) -> Result<(), Violation> {
    Err(Violation { rule: "O2", detail })
}

/// Does this event say that a tier has failed?
fn has_failed(event: &Event, who: Dependency) -> bool {
    let failed = match event {
        // A lookup was given up with everything else.
        Event::Resilience(ResilienceEvent::DeadlineMissed { what: Late::Answer, .. }) => return true,
        Event::Copy(CopyEvent::LaneDropped { tier, why: LaneEnd::Stalled, .. })
        | Event::Resilience(
            ResilienceEvent::TierFailed { tier, .. }
            | ResilienceEvent::DeadlineMissed { what: Late::Lookup(tier) | Late::Read(tier), .. },
        ) => *tier,
        _ => return false,
    };
    // Which of L3's stores it was is not told.
    who == Dependency::Tier(failed) || failed == TierId::L3 && who == Dependency::Index
}

impl Invariant for Breakers {
    fn id(&self) -> &'static str {
        "O2"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, shard, event } => {
                self.explain(fact.at, *edge, *shard, event)?;
                self.on_event(fact.at, *edge, *shard, event)?;
                self.is_resolved(fact.at, *edge, self.half_open_max)
            }
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.standing.retain(|(other, ..), _| other != edge);
                self.missed.retain(|(other, ..)| other != edge);
                self.failed.retain(|(other, ..)| other != edge);
                self.unexplained = self.unexplained.filter(|(_, (other, ..))| other != edge);
                Ok(())
            }
            What::Settled { edge, .. } => {
                let stuck = self.standing.iter().find(|((other, ..), (_, standing))| {
                    other == edge && *standing == BreakerState::HalfOpen
                });
                match stuck {
                    Some(((_, _, who), _)) => {
                        broken(format!("edge {}: the breaker of {who:?} never resolved", edge.0))
                    }
                    None => Ok(()),
                }
            }
            What::Published { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::ClientGot { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Audited { .. }
            | What::Healed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, fetched};
    use tiergate_engine::{Audit, MissReason, OriginId, Purpose};

    const ORIGIN: Dependency = Dependency::Origin(OriginId(0));

    fn stands(who: Dependency, state: BreakerState) -> Event {
        ResilienceEvent::BreakerChanged { who, state }.into()
    }

    fn open() -> BreakerState {
        BreakerState::Open { until: Instant::from_nanos(100) }
    }

    fn skipped(operation: TierOperation) -> Event {
        ResilienceEvent::TierSkipped { tier: TierId::L1, operation, until: Instant::ZERO }.into()
    }

    fn failed() -> Event {
        ResilienceEvent::TierFailed { tier: TierId::L1, operation: TierOperation::Lookup }.into()
    }

    /// Fetches before it opens and after it has gone half-open pass; one in between is named.
    #[test]
    fn a_fetch_through_an_open_breaker_is_named() {
        let mut history = History::of(Breakers::default());
        assert_eq!(history.event(fetched(1, KEY, Purpose::Shared)), Ok(()));
        history.event(stands(ORIGIN, open())).unwrap();
        assert_eq!(history.event(fetched(2, KEY, Purpose::Shared)), Err("O2"));
        history.event(stands(ORIGIN, BreakerState::HalfOpen)).unwrap();
        assert_eq!(history.event(fetched(3, KEY, Purpose::Shared)), Ok(()));
    }

    /// Whoever missed may be refused; whoever was not looked for may not.
    #[test]
    fn a_refusal_before_the_lookup_is_named() {
        let mut history = History::of(Breakers::default());
        let request = RequestId(1);
        let refusal = Refusal::BreakerOpen { retry_after: Duration::ZERO };
        history.event(RequestEvent::Missed { request, key: KEY, reason: MissReason::Absent }).unwrap();
        assert_eq!(history.event(RequestEvent::Refused { request, refusal }), Ok(()));
        assert_eq!(history.event(RequestEvent::Refused { request: RequestId(2), refusal }), Err("O2"));
    }

    /// A tier is skipped while its breaker is not closed, but never for a delete.
    #[test]
    fn a_tier_that_is_skipped_without_reason_is_named() {
        let mut history = History::of(Breakers::default());
        assert_eq!(history.event(skipped(TierOperation::Lookup)), Err("O2"));
        history.event(failed()).unwrap();
        history.event(stands(Dependency::Tier(TierId::L1), open())).unwrap();
        assert_eq!(history.event(skipped(TierOperation::Lookup)), Ok(()));
        assert_eq!(history.event(skipped(TierOperation::Delete)), Err("O2"));
    }

    /// L3 is skipped while the breaker of its index or of its blob store is not closed, and either opens for
    /// a failure of L3.
    #[test]
    fn each_store_of_l3_has_a_breaker() {
        let (tier, operation) = (TierId::L3, TierOperation::Lookup);
        let skipped = || Event::from(ResilienceEvent::TierSkipped { tier, operation, until: Instant::ZERO });
        for who in [Dependency::Index, Dependency::Tier(TierId::L3)] {
            let mut history = History::of(Breakers::default());
            assert_eq!(history.event(skipped()), Err("O2"));
            history.event(ResilienceEvent::TierFailed { tier, operation }).unwrap();
            history.event(stands(who, open())).unwrap();
            history.at(1);
            assert_eq!(history.event(skipped()), Ok(()));
        }
        let mut history = History::of(Breakers::default());
        history.event(failed()).unwrap();
        history.event(stands(Dependency::Index, open())).unwrap();
        history.at(1);
        assert_eq!(history.event(skipped()), Err("O2"), "it was L1 that failed");
    }

    /// A half-open breaker is given its time and no more, and none is left when everything has ended.
    #[test]
    fn a_half_open_breaker_that_does_not_resolve_is_named() {
        let mut history = History::of(Breakers::new(Duration::from_nanos(10)));
        let settled = || What::Settled { edge: Edge(0), open: Audit::default() };
        history.event(stands(ORIGIN, BreakerState::HalfOpen)).unwrap();
        history.at(10);
        assert_eq!(history.event(fetched(1, KEY, Purpose::Shared)), Ok(()));
        assert_eq!(history.show(settled()), Err("O2"));
        history.at(11);
        assert_eq!(history.event(fetched(1, KEY, Purpose::Shared)), Err("O2"));
        history.event(stands(ORIGIN, BreakerState::Closed)).unwrap();
        assert_eq!(history.show(settled()), Ok(()));
    }

    /// A tier's breaker opens after a failure, or with one; without any it is named.
    #[test]
    fn a_breaker_that_opens_for_nothing_is_named() {
        let tier = Dependency::Tier(TierId::L1);
        for (is_told, expected) in [(true, Ok(())), (false, Err("O2"))] {
            let mut history = History::of(Breakers::default());
            history.event(stands(tier, open())).unwrap();
            if is_told {
                history.event(failed()).unwrap();
            }
            history.at(1);
            assert_eq!(history.event(stands(tier, BreakerState::HalfOpen)), expected);
        }
    }
}
