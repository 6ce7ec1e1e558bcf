//! O1: when the last client has left, or its response broke off, a fetch is given up where policy says so.
//!
//! With `fill.on_abandon: cancel` no fetch is under way for a key for which no request is open, but one that
//! revalidates behind the back of a client that was served, and one of a whole of which somebody wanted a
//! part, up to a size. A response that ended whole leaves nothing to
//! give up: the rest of its fetch is already here. It does not check the other policy, under which a fetch
//! goes on as long as a tier keeps it; that no stream is left open at the origin in the end is for a world to
//! see.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    ByteCount, CacheKey, End, Event, FetchEvent, FillId, Instant, Length, OnAbandon, Purpose, RequestEvent,
    RequestId, StaleUse,
};

/// One shard of an edge: each numbers its own requests and fetches.
type Engine = (Edge, u32);

/// The rule.
#[derive(Debug)]
pub struct Abandoned {
    policy: OnAbandon,
    /// The largest whole that is fetched for the tiers because somebody wanted a part of it.
    for_part_max: ByteCount,
    open: BTreeMap<(Engine, RequestId), CacheKey>,
    /// Fetches under way, and for whom.
    fetches: BTreeMap<(Engine, FillId), (CacheKey, Whom)>,
    /// Attempts that are put off, of such a one.
    behind: BTreeSet<(Engine, FillId)>,
    /// Such a one that ended last: it may be about to be tried again.
    ended_in_background: Option<(Engine, FillId)>,
    /// Keys of which something stale was served a moment ago: the fetch that follows is a background
    /// revalidation.
    served_stale: BTreeMap<(Engine, CacheKey), Instant>,
    /// A client left a fetch to nobody: it must be given up at the same moment.
    left: Option<(Instant, Engine, CacheKey)>,
}

/// For whom a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    /// Its readers: without one it is given up.
    Readers,
    /// A client that was served already: it revalidates.
    Behind,
    /// The tiers, because somebody wanted a part.
    Tiers,
}

impl Abandoned {
    /// The rule under this policy, with this bound for wholes of which somebody wanted a part.
    pub const fn new(policy: OnAbandon, for_part_max: ByteCount) -> Self {
        Self {
            policy,
            for_part_max,
            open: BTreeMap::new(),
            fetches: BTreeMap::new(),
            behind: BTreeSet::new(),
            ended_in_background: None,
            served_stale: BTreeMap::new(),
            left: None,
        }
    }

    fn on_event(&mut self, at: Instant, engine: Engine, event: &Event) {
        match event {
            Event::Request(RequestEvent::Requested { request, key }) => {
                self.open.insert((engine, *request), *key);
            }
            Event::Request(RequestEvent::ServedStale { key, why: StaleUse::WhileRevalidate, .. }) => {
                self.served_stale.insert((engine, *key), at);
            }
            Event::Fetch(FetchEvent::Fetched { fill, key, purpose, .. }) => {
                let is_behind = self.behind.remove(&(engine, *fill))
                    || self.served_stale.get(&(engine, *key)).is_some_and(|since| *since == at);
                let whom = match purpose {
                    _ if is_behind => Whom::Behind,
                    Purpose::Part => Whom::Tiers,
                    Purpose::Shared | Purpose::Private => Whom::Readers,
                };
                self.fetches.insert((engine, *fill), (*key, whom));
            }
            // The attempts that follow are for the same clients.
            Event::Fetch(FetchEvent::Retried { fill, next, .. }) => {
                let ended = self.ended_in_background.take_if(|ended| *ended == (engine, *fill));
                if ended.is_some() || self.is_over(engine, *fill) {
                    self.behind.insert((engine, *next));
                }
            }
            // All of it is here.
            Event::Fetch(FetchEvent::HeadArrived {
                fill, length: Length::Known(ByteCount::ZERO), ..
            }) => {
                self.fetches.remove(&(engine, *fill));
            }
            Event::Fetch(FetchEvent::HeadArrived { fill, length: Length::Known(length), .. })
                if *length > self.for_part_max =>
            {
                if let Some((_, whom @ Whom::Tiers)) = self.fetches.get_mut(&(engine, *fill)) {
                    *whom = Whom::Readers;
                }
            }
            Event::Fetch(FetchEvent::FetchEnded { fill, .. }) => {
                let is_behind = self.is_over(engine, *fill);
                self.ended_in_background = is_behind.then_some((engine, *fill));
            }
            Event::Fetch(FetchEvent::GaveUp { fill, .. }) => {
                self.fetches.remove(&(engine, *fill));
            }
            Event::Request(RequestEvent::Served { request, key, end, .. }) => {
                self.open.remove(&(engine, *request));
                if matches!(end, End::Aborted(_)) {
                    self.left = Some((at, engine, *key));
                }
            }
            Event::Request(RequestEvent::Passed { request, .. } | RequestEvent::Refused { request, .. }) => {
                self.open.remove(&(engine, *request));
            }
            _ => {}
        }
    }

    /// A fetch is no longer under way; was it a background revalidation?
    fn is_over(&mut self, engine: Engine, fill: FillId) -> bool {
        matches!(self.fetches.remove(&(engine, fill)), Some((_, Whom::Behind)))
    }

    /// The moment is over in which a client left.
    fn check(&self, (engine, key): (Engine, CacheKey)) -> Result<(), Violation> {
        if self.open.iter().any(|((other, _), of)| (*other, *of) == (engine, key)) {
            return Ok(());
        }
        let mut fetches = self.fetches.iter();
        match fetches.find(|((other, _), (of, whom))| (*other, *of, *whom) == (engine, key, Whom::Readers)) {
            Some(((_, fill), _)) => Err(Violation {
                rule: "O1",
                detail: format!("edge {} goes on with {fill:?} of {key}, for which nobody waits", engine.0.0),
            }),
            None => Ok(()),
        }
    }
}

impl Default for Abandoned {
    fn default() -> Self {
        Self::new(OnAbandon::Finish, ByteCount::UNLIMITED)
    }
}

impl Invariant for Abandoned {
    fn id(&self) -> &'static str {
        "O1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        if self.policy == OnAbandon::Finish {
            return Ok(());
        }
        if let Some((at, engine, key)) = self.left
            && at < fact.at
        {
            self.left = None;
            self.check((engine, key))?;
        }
        match &fact.what {
            What::Engine { edge, shard, event } => self.on_event(fact.at, (*edge, *shard), event),
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.open.retain(|((other, _), _), _| other != edge);
                self.fetches.retain(|((other, _), _), _| other != edge);
                self.behind.retain(|((other, _), _)| other != edge);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, fetch_ended, fetched, requested, served};
    use tiergate_engine::{AbortReason, Storable, TierId};

    const BOUND: ByteCount = ByteCount(100);

    const LEFT: End = End::Aborted(AbortReason::ClientLeft);

    fn head(length: ByteCount) -> Event {
        Event::Fetch(FetchEvent::HeadArrived {
            fill: FillId(1),
            key: KEY,
            variant: KEY,
            status: 200,
            length: Length::Known(length),
            storable: Storable::Yes,
        })
    }

    fn after(events: &[Event]) -> Result<(), &'static str> {
        let mut history = History::of(Abandoned::new(OnAbandon::Cancel, BOUND));
        events.iter().try_for_each(|event| history.event(*event))?;
        history.at(1);
        history.event(requested(9))
    }

    /// A fetch is given up with its last client, goes on for another, and goes on behind one that was served.
    #[test]
    fn what_has_a_reason_passes() {
        let fetch = fetched(1, KEY, Purpose::Shared);
        let behind = Event::Request(RequestEvent::ServedStale {
            request: RequestId(1),
            key: KEY,
            tier: TierId::L0,
            why: StaleUse::WhileRevalidate,
        });
        for events in [
            vec![requested(1), fetch, served(1, 0, LEFT), fetch_ended(1, KEY)],
            vec![requested(1), requested(2), fetch, served(1, 0, LEFT)],
            vec![requested(1), behind, fetch, served(1, 0, LEFT)],
            vec![requested(1), fetched(1, KEY, Purpose::Part), head(BOUND), served(1, 0, LEFT)],
        ] {
            assert_eq!(after(&events), Ok(()), "{events:?}");
        }
    }

    /// A background revalidation that failed and is tried again is still for nobody (explore seed 27931).
    #[test]
    fn a_retried_background_revalidation_passes() {
        let mut history = History::of(Abandoned::new(OnAbandon::Cancel, BOUND));
        let (request, tier, why) = (RequestId(1), TierId::L0, StaleUse::WhileRevalidate);
        let stale = Event::Request(RequestEvent::ServedStale { request, key: KEY, tier, why });
        let (fill, next) = (FillId(1), FillId(2));
        let retried = Event::Fetch(FetchEvent::Retried {
            fill,
            key: KEY,
            next,
            attempt: 2,
            at: Instant::from_nanos(1),
        });
        let fetch = |fill| fetched(fill, KEY, Purpose::Shared);
        for event in [requested(1), stale, fetch(1)] {
            assert_eq!(history.event(event), Ok(()));
        }
        history.at(1);
        for event in [fetch_ended(1, KEY), retried, fetch(2), served(1, 0, LEFT)] {
            assert_eq!(history.event(event), Ok(()));
        }
        history.at(2);
        assert_eq!(history.event(requested(9)), Ok(()));
    }

    /// One that goes on for nobody, because the last client left or because its response broke off.
    #[test]
    fn what_has_none_is_named() {
        for end in [LEFT, End::Aborted(AbortReason::TierRead(TierId::L2))] {
            assert_eq!(
                after(&[requested(1), fetched(1, KEY, Purpose::Shared), served(1, 0, end)]),
                Err("O1")
            );
        }
        let too_large = head(ByteCount(BOUND.0 + 1));
        let events = [requested(1), fetched(1, KEY, Purpose::Part), too_large, served(1, 0, LEFT)];
        assert_eq!(after(&events), Err("O1"));
    }
}
