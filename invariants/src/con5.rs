//! CON5: at most one origin fetch per key, variant, edge and time is for everybody.
//!
//! It counts `Fetched` with purpose `Shared` against `FetchEnded`. A purge overtakes what is under way:
//! requests after it must not join a fetch from before it, so that fetch no longer counts. Nor does one whose
//! head says that its response may not be stored: it is one request's alone from then on. Which variant a
//! fetch is of may show only with its head: then another of the same may be under way. And a fetch that
//! begins after a purge, but only for requests that came before it, is beside the one that later requests
//! share. Whoever takes over from a leader that failed, and fails too, is the last. It does not count private
//! fetches, and it does not say that a fetch was needed. What an edge had under way is forgotten when it
//! crashes or starts.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    CacheKey, Event, FetchEvent, FillId, MissReason, PurgeEvent, Purpose, RequestEvent, RequestId,
    SelectorKind, Storable,
};

/// Fetches that a purge overtook and that are remembered: far more than are ever under way at once.
const OVERTAKEN_MAX: usize = 65_536;

/// One engine: an edge's, and which of its shards it has. Names of requests and fetches are its own.
type Shard = (Edge, u32);

/// The rule.
#[derive(Debug, Default)]
pub struct OneFetch {
    /// Shared fetches that later requests may join, by variant, and whose variant it is.
    current: BTreeMap<(Shard, CacheKey), (FillId, CacheKey)>,
    /// When each request came that is still to be answered, counted in events, and for what.
    requested: BTreeMap<(Shard, RequestId), (u64, CacheKey)>,
    /// When a key was last purged, counted in events.
    purged: BTreeMap<(Shard, CacheKey), u64>,
    /// When many keys were last purged at once, counted in events.
    banned: BTreeMap<Shard, u64>,
    /// Fetches that a purge overtook, and the attempts that follow them: for requests from before it.
    overtaken: BTreeSet<(Shard, FillId)>,
    /// Current fetches whose head has told their variant.
    filed: BTreeSet<(Shard, FillId)>,
    /// Attempts that are put off.
    resting: BTreeMap<(Shard, FillId), CacheKey>,
    /// The requests that missed and whose fetch has not begun, and when they came.
    missed: BTreeMap<(Shard, CacheKey), Vec<(RequestId, u64)>>,
    /// Requests that took over from a leader.
    leaders: BTreeSet<(Shard, RequestId)>,
    /// Engines whose last event was a refusal of one of these.
    refused_leader: BTreeSet<Shard>,
    events: u64,
}

impl OneFetch {
    fn on_fetched(
        &mut self,
        shard: Shard,
        (key, variant): (CacheKey, CacheKey),
        fill: FillId,
        has_rested: bool,
    ) -> Result<(), Violation> {
        let missed = self.missed.remove(&(shard, key)).unwrap_or_default();
        let purged = self.purged.get(&(shard, key)).max(self.banned.get(&shard)).copied().unwrap_or(0);
        let is_late = !missed.is_empty() && missed.iter().all(|(_, came)| *came < purged);
        if is_late || self.overtaken.contains(&(shard, fill)) {
            self.overtake(shard, fill);
            return Ok(());
        }
        match self.current.insert((shard, variant), (fill, key)) {
            None => Ok(()),
            // It turned out to be of this variant while the other one rested.
            Some((other, _)) if has_rested && self.filed.contains(&(shard, other)) => Ok(()),
            Some((other, _)) => Err(Violation {
                rule: "CON5",
                detail: format!(
                    "edge {} fetches {key} (variant {variant}) as fill {} while fill {} is under way",
                    shard.0.0, fill.0, other.0
                ),
            }),
        }
    }

    /// The head says which variant the fetch is of. Another one may be under way for it already, begun when
    /// that was not known.
    fn on_filed(&mut self, shard: Shard, key: CacheKey, variant: CacheKey, fill: FillId) {
        if self.on_closed(shard, fill) {
            self.filed.insert((shard, fill));
            self.current.entry((shard, variant)).or_insert((fill, key));
        }
    }

    fn overtake(&mut self, shard: Shard, fill: FillId) {
        self.overtaken.insert((shard, fill));
        if self.overtaken.len() > OVERTAKEN_MAX {
            self.overtaken.pop_first();
        }
    }

    /// Another attempt is for the same requests as the one that failed.
    fn on_retried(&mut self, shard: Shard, key: CacheKey, fill: FillId, next: FillId) {
        if self.overtaken.contains(&(shard, fill)) {
            self.overtake(shard, next);
        } else {
            self.resting.insert((shard, next), key);
        }
    }

    /// No later request joins this fetch.
    fn on_closed(&mut self, shard: Shard, fill: FillId) -> bool {
        self.filed.remove(&(shard, fill));
        let before = self.current.len();
        self.current.retain(|(other, _), (current, _)| *other != shard || *current != fill);
        self.current.len() < before
    }

    /// The request waits for no fetch of its own to begin, so its miss says nothing of one that does.
    fn on_placed(&mut self, shard: Shard, request: RequestId) {
        if let Some((_, key)) = self.requested.get(&(shard, request))
            && let Some(missed) = self.missed.get_mut(&(shard, *key))
        {
            missed.retain(|(other, _)| *other != request);
        }
    }

    fn on_event(&mut self, shard: Shard, event: &Event) -> Result<(), Violation> {
        self.events += 1;
        let was_leader_refused = self.refused_leader.remove(&shard);
        match event {
            Event::Request(RequestEvent::LeaderReplaced { request, .. }) if was_leader_refused => {
                let detail = format!("edge {} lets {request:?} lead, after two who failed", shard.0.0);
                return Err(Violation { rule: "CON5", detail });
            }
            Event::Request(event) => self.on_request(shard, event),
            Event::Fetch(event) => return self.on_fetch(shard, event),
            Event::Purge(event) => self.on_purge(shard, event),
            Event::Copy(_) | Event::Residence(_) | Event::Resilience(_) | Event::Durable(_) => {}
        }
        Ok(())
    }

    fn on_request(&mut self, shard: Shard, event: &RequestEvent) {
        match event {
            RequestEvent::Requested { request, key } => {
                self.requested.insert((shard, *request), (self.events, *key));
            }
            // It asks for itself at once.
            RequestEvent::Missed { reason: MissReason::Uncacheable, .. } => {}
            RequestEvent::Missed { request, key, .. } => {
                let known = self.requested.get(&(shard, *request));
                let came = known.map_or(self.events, |(came, _)| *came);
                self.missed.entry((shard, *key)).or_default().push((*request, came));
            }
            RequestEvent::Collapsed { request, .. } | RequestEvent::AttachRefused { request, .. } => {
                self.on_placed(shard, *request);
            }
            RequestEvent::LeaderReplaced { request, .. } => {
                self.leaders.insert((shard, *request));
            }
            RequestEvent::Refused { request, .. } => {
                if self.on_over(shard, *request) {
                    self.refused_leader.insert(shard);
                }
            }
            RequestEvent::Passed { request, .. } | RequestEvent::Served { request, .. } => {
                self.on_over(shard, *request);
            }
            RequestEvent::Hit { .. }
            | RequestEvent::ServedStale { .. }
            | RequestEvent::FollowsPart { .. }
            | RequestEvent::Revalidated { .. }
            | RequestEvent::Hedged { .. } => {}
        }
    }

    /// The request has ended. Was it one that took over from a leader?
    fn on_over(&mut self, shard: Shard, request: RequestId) -> bool {
        self.on_placed(shard, request);
        self.requested.remove(&(shard, request));
        self.leaders.remove(&(shard, request))
    }

    fn on_fetch(&mut self, shard: Shard, event: &FetchEvent) -> Result<(), Violation> {
        match event {
            FetchEvent::Fetched { fill, key, variant, purpose: Purpose::Shared | Purpose::Part, .. } => {
                let has_rested = self.resting.remove(&(shard, *fill)).is_some();
                return self.on_fetched(shard, (*key, *variant), *fill, has_rested);
            }
            FetchEvent::Fetched { fill, purpose: Purpose::Private, .. } | FetchEvent::GaveUp { fill, .. } => {
                self.resting.remove(&(shard, *fill));
            }
            FetchEvent::FetchEnded { fill, .. }
            | FetchEvent::HeadArrived { fill, storable: Storable::No(_), .. } => {
                self.on_closed(shard, *fill);
            }
            FetchEvent::HeadArrived { fill, key, variant, storable: Storable::Yes, .. } => {
                self.on_filed(shard, *key, *variant, *fill);
            }
            FetchEvent::Retried { fill, next, key, .. } => self.on_retried(shard, *key, *fill, *next),
            // Nobody joins what is adopted, and the origin was asked for nothing.
            FetchEvent::Adopted { .. }
            | FetchEvent::NotAdopted { .. }
            | FetchEvent::AdoptionEnded { .. }
            | FetchEvent::FoundUncacheable { .. } => {}
        }
        Ok(())
    }

    fn on_purge(&mut self, shard: Shard, event: &PurgeEvent) {
        let what = match event {
            PurgeEvent::PurgeBegan { what, .. } | PurgeEvent::RemotePurged { what, .. } => *what,
            PurgeEvent::PurgesMissed => SelectorKind::All,
            PurgeEvent::PurgeEnded { .. } => return,
        };
        let covers = |of: CacheKey| match what {
            SelectorKind::Key(key) => of == key,
            // What a purge of many keys covers only the shard can tell: in doubt it overtakes.
            SelectorKind::Tag | SelectorKind::Prefix | SelectorKind::All => true,
        };
        match what {
            SelectorKind::Key(key) => self.purged.insert((shard, key), self.events),
            SelectorKind::Tag | SelectorKind::Prefix | SelectorKind::All => {
                self.banned.insert(shard, self.events)
            }
        };
        let current: Vec<_> = self
            .current
            .extract_if(.., |(other, _), (_, of)| *other == shard && covers(*of))
            .map(|(_, (fill, _))| fill)
            .collect();
        let resting: Vec<_> = self
            .resting
            .extract_if(.., |(other, _), of| *other == shard && covers(*of))
            .map(|((_, fill), _)| fill)
            .collect();
        current.into_iter().chain(resting).for_each(|fill| self.overtake(shard, fill));
    }
}

impl Invariant for OneFetch {
    fn id(&self) -> &'static str {
        "CON5"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, shard, event } => self.on_event((*edge, *shard), event),
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.current.retain(|(other, _), _| other.0 != *edge);
                self.requested.retain(|(other, _), _| other.0 != *edge);
                self.purged.retain(|(other, _), _| other.0 != *edge);
                self.banned.retain(|other, _| other.0 != *edge);
                self.missed.retain(|(other, _), _| other.0 != *edge);
                self.leaders.retain(|(other, _)| other.0 != *edge);
                self.filed.retain(|(other, _)| other.0 != *edge);
                self.overtaken.retain(|(other, _)| other.0 != *edge);
                self.resting.retain(|(other, _), _| other.0 != *edge);
                Ok(())
            }
            What::Published { .. }
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
    use crate::history::{History, KEY, OTHER, fetch_ended, fetched, requested};
    use tiergate_engine::{
        Instant, Length, MissReason, NotStorable, OriginFailure, PurgeId, PurgeMode, Refusal,
    };

    /// Two shards of one edge name their requests and fetches alike, and know nothing of each other's.
    #[test]
    fn shards_have_names_of_their_own() {
        let mut history = History::of(OneFetch::default());
        let of = |shard, event| What::Engine { edge: Edge(0), shard, event };
        let begun = PurgeMode::Hard;
        for what in [
            of(0, requested(1)),
            of(1, Event::Request(RequestEvent::Requested { request: RequestId(1), key: OTHER })),
            of(
                0,
                Event::Purge(PurgeEvent::PurgeBegan {
                    purge: PurgeId(1),
                    what: SelectorKind::All,
                    mode: begun,
                }),
            ),
            of(
                0,
                Event::Request(RequestEvent::Missed {
                    request: RequestId(1),
                    key: KEY,
                    reason: MissReason::Absent,
                }),
            ),
            of(0, requested(2)),
            of(
                0,
                Event::Request(RequestEvent::Missed {
                    request: RequestId(2),
                    key: KEY,
                    reason: MissReason::Absent,
                }),
            ),
            of(0, fetched(5, KEY, Purpose::Shared)),
            of(1, fetched(5, OTHER, Purpose::Shared)),
            of(1, fetch_ended(5, OTHER)),
        ] {
            assert_eq!(history.show(what.clone()), Ok(()), "{what:?}");
        }
        let again = of(0, fetched(6, KEY, Purpose::Shared));
        assert_eq!(history.show(again), Err("CON5"), "the other shard's fetch ended, not this one's");
    }

    /// One after the other, side by side for two keys, private ones, after a purge and after a crash: all
    /// pass.
    #[test]
    fn one_at_a_time_passes() {
        let mut history = History::of(OneFetch::default());
        assert_eq!(history.event(fetched(1, KEY, Purpose::Shared)), Ok(()));
        assert_eq!(history.event(fetched(2, OTHER, Purpose::Shared)), Ok(()));
        assert_eq!(history.event(fetched(3, KEY, Purpose::Private)), Ok(()));
        assert_eq!(history.event(fetch_ended(3, KEY)), Ok(()));
        assert_eq!(history.event(fetch_ended(1, KEY)), Ok(()));
        assert_eq!(history.event(fetched(4, KEY, Purpose::Shared)), Ok(()));
        let began = Event::Purge(PurgeEvent::PurgeBegan {
            purge: PurgeId(1),
            what: SelectorKind::Key(KEY),
            mode: PurgeMode::Hard,
        });
        assert_eq!(history.event(began), Ok(()));
        assert_eq!(history.event(fetched(5, KEY, Purpose::Shared)), Ok(()));
        assert_eq!(history.event(fetch_ended(4, KEY)), Ok(()));
        assert_eq!(history.show(What::EdgeCrashed { edge: Edge(0) }), Ok(()));
        assert_eq!(history.event(fetched(1, KEY, Purpose::Shared)), Ok(()));
    }

    /// A response that may not be stored cannot be shared, so the next request fetches for itself.
    #[test]
    fn after_a_head_that_may_not_be_stored_another_fetch_passes() {
        let mut history = History::of(OneFetch::default());
        let head = |fill, storable| {
            Event::Fetch(FetchEvent::HeadArrived {
                fill: FillId(fill),
                key: KEY,
                variant: KEY,
                status: 200,
                length: Length::Unknown,
                storable,
            })
        };
        history.event(fetched(1, KEY, Purpose::Shared)).unwrap();
        history.event(head(1, Storable::No(NotStorable::NoStore))).unwrap();
        assert_eq!(history.event(fetched(2, KEY, Purpose::Shared)), Ok(()));
        history.event(head(2, Storable::Yes)).unwrap();
        assert_eq!(history.event(fetched(3, KEY, Purpose::Shared)), Err("CON5"));
    }

    /// A purge overtakes a fetch, or its rest: the attempts that follow are for those from before it, and
    /// later requests fetch beside them. Without the purge they would have to wait.
    #[test]
    fn attempts_that_a_purge_overtook_pass() {
        for purged_at_rest in [true, false] {
            let mut history = History::of(OneFetch::default());
            let began = Event::Purge(PurgeEvent::PurgeBegan {
                purge: PurgeId(1),
                what: SelectorKind::Key(KEY),
                mode: PurgeMode::Hard,
            });
            let (at, attempt) = (Instant::ZERO, 2);
            history.event(fetched(1, KEY, Purpose::Shared)).unwrap();
            if !purged_at_rest {
                history.event(began).unwrap();
            }
            history.event(fetch_ended(1, KEY)).unwrap();
            history
                .event(FetchEvent::Retried { fill: FillId(1), next: FillId(2), key: KEY, attempt, at })
                .unwrap();
            if purged_at_rest {
                history.event(began).unwrap();
            }
            history.event(fetched(3, KEY, Purpose::Shared)).unwrap();
            assert_eq!(history.event(fetched(2, KEY, Purpose::Shared)), Ok(()));
            assert_eq!(history.event(fetched(4, KEY, Purpose::Shared)), Err("CON5"));
        }
    }

    fn request(history: &mut History, request: u64) {
        let request = RequestId(request);
        history.event(RequestEvent::Requested { request, key: KEY }).unwrap();
    }

    fn miss(history: &mut History, request: u64) {
        let (request, reason) = (RequestId(request), MissReason::Absent);
        history.event(RequestEvent::Missed { request, key: KEY, reason }).unwrap();
    }

    /// A request that came before a purge and whose lookup ends after it does not share with those that came
    /// later.
    #[test]
    fn those_from_before_a_purge_fetch_beside_those_from_after_it() {
        let mut history = History::of(OneFetch::default());
        request(&mut history, 1);
        history
            .event(PurgeEvent::PurgeBegan {
                purge: PurgeId(1),
                what: SelectorKind::Key(KEY),
                mode: PurgeMode::Hard,
            })
            .unwrap();
        request(&mut history, 2);
        miss(&mut history, 2);
        history.event(fetched(2, KEY, Purpose::Shared)).unwrap();
        miss(&mut history, 1);
        assert_eq!(history.event(fetched(1, KEY, Purpose::Shared)), Ok(()));
        request(&mut history, 3);
        miss(&mut history, 3);
        assert_eq!(history.event(fetched(3, KEY, Purpose::Shared)), Err("CON5"));
    }

    /// A second one is named, also when a private one, or one that a purge overtook, ended in between.
    #[test]
    fn a_second_shared_fetch_is_named() {
        let mut history = History::of(OneFetch::default());
        history.event(fetched(1, KEY, Purpose::Shared)).unwrap();
        history
            .event(PurgeEvent::PurgeBegan {
                purge: PurgeId(1),
                what: SelectorKind::Key(KEY),
                mode: PurgeMode::Hard,
            })
            .unwrap();
        history.event(fetched(2, KEY, Purpose::Shared)).unwrap();
        history.event(fetch_ended(1, KEY)).unwrap();
        history.event(fetched(3, KEY, Purpose::Private)).unwrap();
        history.event(fetch_ended(3, KEY)).unwrap();
        assert_eq!(history.event(fetched(4, KEY, Purpose::Shared)), Err("CON5"));
    }

    /// Variants of one key are fetched side by side, each of them once: also one that showed only with its
    /// head.
    #[test]
    fn each_variant_is_fetched_for_itself() {
        let fetched = |fill, variant| {
            Event::Fetch(FetchEvent::Fetched {
                fill: FillId(fill),
                key: KEY,
                variant: CacheKey(variant),
                origin: tiergate_engine::OriginId(0),
                purpose: Purpose::Shared,
            })
        };
        let head = |fill, variant| {
            Event::Fetch(FetchEvent::HeadArrived {
                fill: FillId(fill),
                key: KEY,
                variant: CacheKey(variant),
                status: 200,
                length: Length::Unknown,
                storable: Storable::Yes,
            })
        };
        let mut history = History::of(OneFetch::default());
        for event in [fetched(1, KEY.0), head(1, 71), fetched(2, 72), head(2, 72)] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
        assert_eq!(history.event(fetched(3, 71)), Err("CON5"));
        let mut history = History::of(OneFetch::default());
        for event in [fetched(1, KEY.0), fetched(2, 71), head(1, 71), fetch_ended(2, KEY)] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
        let purge = PurgeId(1);
        let what = SelectorKind::Key(KEY);
        history.event(fetched(3, 72)).unwrap();
        history
            .event(PurgeEvent::PurgeBegan { purge, what, mode: tiergate_engine::PurgeMode::Hard })
            .unwrap();
        assert_eq!(history.event(fetched(4, 72)), Ok(()), "the purge overtook what was under way");
    }

    /// A waiter takes over from a leader that failed; nobody takes over from that one.
    #[test]
    fn the_second_leader_is_the_last() {
        let mut history = History::of(OneFetch::default());
        let refused = |request| {
            let refusal = Refusal::Origin(OriginFailure::Unreachable);
            Event::Request(RequestEvent::Refused { request: RequestId(request), refusal })
        };
        let replaced = |fill, request| {
            Event::Request(RequestEvent::LeaderReplaced { fill: FillId(fill), request: RequestId(request) })
        };
        for event in [refused(1), replaced(1, 2), refused(2), refused(3)] {
            assert_eq!(history.event(event), Ok(()), "{event:?}");
        }
        for event in [refused(4), replaced(5, 6), refused(6)] {
            history.event(event).unwrap();
        }
        assert_eq!(history.event(replaced(6, 7)), Err("CON5"));
    }
}
