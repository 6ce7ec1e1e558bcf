//! MM1 and MM2: where nothing fails and nothing is late, a cache of any tiers is one flat map with lifetimes.
//!
//! The map holds, for each key and variant, which version was fetched and until when it is fresh. A request
//! must get the version that is fresh there, or else what the origin publishes now. MM1 is that rule with
//! every tier there is, MM2 with some of them disabled. The map knows nothing of tiers, and the workload of a
//! seed is the same whichever there are: so disabling any of them changes counters, never bytes.
//!
//! It holds in a calm world only: one edge, no faults, messages that take no time, and between a request and
//! the next publication or purge a pause in which all is settled. Where tiers are too small for everything
//! the cache may have forgotten, and then what is published now is as good as what is fresh; but it never
//! goes back to an older version, and never gets to one that was not fetched; but what a client gets alone,
//! its key being remembered as uncacheable, is not stored, and what credentials brought may not be, nor what
//! was fetched whole for somebody who wanted a part. What it does not check: answers without a byte of a
//! version.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tiergate_engine::{CacheKey, Event, FetchEvent, Instant, MissReason, Purpose, RequestEvent, RequestId};
use tiergate_invariants::{Fact, Got, Version, Violation, What};

/// How exactly lifetimes are compared: a calm request takes far less, and stores count in milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

/// The map.
#[derive(Debug)]
pub(in crate::explore) struct Flat {
    rule: &'static str,
    /// Is nothing ever forgotten?
    is_exact: bool,
    published: BTreeMap<CacheKey, Published>,
    kept: BTreeMap<Variant, Vec<Kept>>,
    asks: BTreeMap<u64, Ask>,
    passed: BTreeSet<RequestId>,
    /// When a key was last fetched, and for whom.
    fetched: BTreeMap<CacheKey, (Instant, Purpose)>,
    /// Requests that found their key remembered as uncacheable: what they get is not stored, so what is older
    /// may be there.
    alone: BTreeSet<RequestId>,
    /// When a key was last purged by a POST. Stores tell births near a purge from those before it only
    /// roughly, so what is asked for right afterwards may be lost.
    posted: BTreeMap<CacheKey, Instant>,
    /// Requests with credentials: what they get is stored only where the origin says so.
    credentials: BTreeSet<RequestId>,
}

/// What a key stands for, to those who say the same.
type Variant = (CacheKey, u64);

/// The newest version of a key.
#[derive(Clone, Copy, Debug)]
struct Published {
    version: Version,
    /// None: it may not be stored.
    lifetime: Option<Duration>,
}

/// A version that may be stored, and until when it is fresh.
#[derive(Clone, Copy, Debug)]
struct Kept {
    version: Version,
    until: Instant,
    /// Was it fetched without credentials, so that nothing kept it from being stored?
    is_sure: bool,
}

/// An open request.
#[derive(Debug)]
struct Ask {
    request: RequestId,
    variant: Variant,
    asked_at: Instant,
    allowed: Vec<Version>,
    /// What is published, and may the origin be asked for it?
    newest: Option<Published>,
    may_ask: bool,
}

impl Flat {
    pub(in crate::explore) fn new(rule: &'static str, is_exact: bool) -> Self {
        Self {
            rule,
            is_exact,
            published: BTreeMap::new(),
            kept: BTreeMap::new(),
            asks: BTreeMap::new(),
            passed: BTreeSet::new(),
            fetched: BTreeMap::new(),
            alone: BTreeSet::new(),
            posted: BTreeMap::new(),
            credentials: BTreeSet::new(),
        }
    }

    /// This request has credentials.
    pub(in crate::explore) fn has_credentials(&mut self, request: RequestId) {
        self.credentials.insert(request);
    }

    /// A purge covers the key: nothing from before is fresh.
    pub(in crate::explore) fn purge(&mut self, key: CacheKey) {
        self.kept.retain(|(kept, _), _| *kept != key);
    }

    /// The answer to a POST has come, of this version: what was kept before is purged, and that may be kept.
    /// Or may not, for it may depend on what a client says, or lose its place to what is fetched meanwhile.
    pub(in crate::explore) fn post(&mut self, now: Instant, (key, said): Variant, version: Version) {
        self.purge(key);
        self.posted.insert(key, now);
        let published = self.published.get(&key).filter(|published| published.version == version);
        if let Some(lifetime) = published.and_then(|published| published.lifetime) {
            let (until, is_sure) = (now.after(lifetime), false);
            self.kept.entry((key, said)).or_default().push(Kept { version, until, is_sure });
        }
    }

    pub(in crate::explore) fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Published { key, version, storable, lifetime_ns, .. } => {
                let lifetime = storable.then_some(Duration::from_nanos(*lifetime_ns));
                self.published.insert(*key, Published { version: *version, lifetime });
            }
            What::Engine { event: Event::Request(RequestEvent::Passed { request, .. }), .. } => {
                self.passed.insert(*request);
            }
            What::Engine {
                event: Event::Request(RequestEvent::Missed { request, reason: MissReason::Uncacheable, .. }),
                ..
            } => {
                self.alone.insert(*request);
            }
            What::Engine { event: Event::Fetch(FetchEvent::Fetched { key, purpose, .. }), .. } => {
                self.fetched.insert(*key, (fact.at, *purpose));
            }
            What::ClientGot { ask, got, .. } => self.on_got(*ask, got)?,
            What::Engine { .. }
            | What::ClientAsked { .. }
            | What::EdgeStarted { .. }
            | What::EdgeCrashed { .. }
            | What::Audited { .. }
            | What::OriginAnswered { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Healed
            | What::Settled { .. } => {}
        }
        Ok(())
    }

    /// A client that wants this variant of a key asks.
    pub(in crate::explore) fn ask(&mut self, now: Instant, ask: u64, variant: Variant, request: RequestId) {
        let kept = self.kept.entry(variant).or_default();
        kept.retain(|kept| kept.until.after(ROUNDING) > now);
        let is_sure =
            self.is_exact && kept.iter().any(|kept| kept.is_sure && kept.until > now.after(ROUNDING));
        let newest = self.published.get(&variant.0).copied();
        let allowed = kept.iter().map(|kept| kept.version);
        let published = newest.filter(|_| !is_sure).map(|newest| newest.version);
        let allowed = allowed.chain(published).collect();
        self.asks.insert(ask, Ask { request, variant, asked_at: now, allowed, newest, may_ask: !is_sure });
    }

    fn on_got(&mut self, ask: u64, got: &Got) -> Result<(), Violation> {
        let Some(ended) = self.asks.remove(&ask) else { return Ok(()) };
        let Ask { request, variant, asked_at, mut allowed, newest, may_ask } = ended;
        let is_passed = self.passed.contains(&request);
        if is_passed {
            allowed = newest.iter().map(|newest| newest.version).collect();
        }
        let version = match got {
            Got::Whole { spans, .. } => spans.first().and_then(|span| span.of).map(|(_, version)| version),
            Got::Broken | Got::Nothing | Got::Left => None,
        };
        if let Some(version) = version.filter(|version| !allowed.contains(version)) {
            return Err(Violation {
                rule: self.rule,
                detail: format!(
                    "ask {ask} for {} got version {}, and due was {allowed:?}",
                    variant.0, version.0
                ),
            });
        }
        let kept = self.kept.entry(variant).or_default();
        let fetched = self.fetched.get(&variant.0).filter(|(since, _)| *since >= asked_at);
        let is_for_part = matches!(fetched, Some((_, Purpose::Part)));
        if is_passed && !is_for_part {
            return Ok(());
        }
        let is_sure = !is_for_part && !self.credentials.contains(&request);
        if let Some(version) = version.filter(|_| is_sure && !self.alone.contains(&request)) {
            kept.retain(|kept| kept.version >= version);
        }
        if let Some(Published { version: newest, lifetime: Some(lifetime) }) =
            newest.filter(|_| may_ask && fetched.is_some())
            && version.is_none_or(|version| version == newest)
        {
            let until = asked_at.after(lifetime);
            let is_after_post = |at: &Instant| asked_at > at.after(ROUNDING);
            let is_sure = is_sure && self.posted.get(&variant.0).is_none_or(is_after_post);
            match kept.iter_mut().find(|kept| kept.version == newest) {
                Some(known) if known.until < until => (known.until, known.is_sure) = (until, is_sure),
                Some(_) => {}
                None => kept.push(Kept { version: newest, until, is_sure }),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiergate_engine::{FillId, OriginId};
    use tiergate_invariants::{Edge, Span};

    const KEY: CacheKey = CacheKey(7);
    const SECOND: u64 = 1_000_000_000;

    struct History(Flat, u64);

    impl History {
        fn see(&mut self, at: u64, what: What) -> Result<(), &'static str> {
            let at = Instant::from_nanos(at * SECOND);
            self.0.observe(&Fact { at, what }).map_err(|violation| violation.rule)
        }

        fn publish(&mut self, version: u32, lifetime_s: u64) {
            let (version, lifetime_ns) = (Version(version), lifetime_s * SECOND);
            let what =
                What::Published { key: KEY, version, length: 9, storable: lifetime_s > 0, lifetime_ns };
            assert_eq!(self.see(0, what), Ok(()));
        }

        fn get(&mut self, at: u64, version: u32) -> Result<(), &'static str> {
            self.get_fetched(at, Some(version), Some(Purpose::Shared))
        }

        /// A client gets this version, or a head alone, after a fetch for this purpose.
        fn get_fetched(
            &mut self,
            at: u64,
            version: Option<u32>,
            purpose: Option<Purpose>,
        ) -> Result<(), &'static str> {
            self.1 += 1;
            let (ask, edge) = (self.1, Edge(0));
            self.0.ask(Instant::from_nanos(at * SECOND), ask, (KEY, 0), RequestId(ask));
            if let Some(purpose) = purpose {
                let (fill, origin) = (FillId(1), OriginId(0));
                let event = FetchEvent::Fetched { fill, key: KEY, variant: KEY, origin, purpose }.into();
                self.see(at, What::Engine { edge, shard: 0, event })?;
            }
            let span = |version| Span { of: Some((KEY, Version(version))), offset: 0, length: 9 };
            let spans = version.into_iter().map(span).collect();
            let got = Got::Whole { status: 200, age: None, spans };
            self.see(at, What::ClientGot { ask, edge, key: KEY, got })
        }
    }

    fn history(is_exact: bool) -> History {
        let mut history = History(Flat::new("MM1", is_exact), 0);
        history.publish(1, 10);
        assert_eq!(history.get(0, 1), Ok(()));
        history.publish(2, 10);
        history
    }

    /// What one client gets alone is not stored: an older version that is still fresh may follow it (explore
    /// seed 4384).
    #[test]
    fn who_asks_alone_leaves_what_is_stored() {
        for (is_alone, expected) in [(true, Ok(())), (false, Err("MM1"))] {
            let mut history = history(false);
            if is_alone {
                let (request, reason) = (RequestId(history.1 + 1), MissReason::Uncacheable);
                let event = Event::Request(RequestEvent::Missed { request, key: KEY, reason });
                let what = What::Engine { edge: Edge(0), shard: 0, event };
                assert_eq!(history.see(1, what), Ok(()));
            }
            assert_eq!(history.get(1, 2), Ok(()));
            assert_eq!(history.get(2, 1), expected);
        }
    }

    /// What credentials brought may be stored or not: what is published now is as good.
    #[test]
    fn what_credentials_brought_may_be_stored() {
        for (has_credentials, expected) in [(true, Ok(())), (false, Err("MM1"))] {
            for (next, expected) in [(1, Ok(())), (2, expected)] {
                let mut history = History(Flat::new("MM1", true), 0);
                history.publish(1, 10);
                if has_credentials {
                    history.0.has_credentials(RequestId(history.1 + 1));
                }
                assert_eq!(history.get(0, 1), Ok(()));
                history.publish(2, 10);
                assert_eq!(history.get(1, next), expected, "{has_credentials}");
            }
        }
    }

    /// What is fresh is due, and after its lifetime or a purge what is published; nothing else ever.
    #[test]
    fn what_is_fresh_is_due() {
        assert_eq!(history(true).get(9, 1), Ok(()));
        assert_eq!(history(true).get(9, 2), Err("MM1"));
        assert_eq!(history(true).get(11, 2), Ok(()));
        assert_eq!(history(true).get(11, 1), Err("MM1"));
        let mut purged = history(true);
        purged.0.purge(KEY);
        assert_eq!(purged.get(9, 1), Err("MM1"));
        assert_eq!(purged.get(9, 2), Ok(()));
    }

    /// Who may forget may ask the origin early, but then never goes back.
    #[test]
    fn who_forgets_never_goes_back() {
        let mut history = history(false);
        assert_eq!(history.get(8, 1), Ok(()));
        assert_eq!(history.get(9, 2), Ok(()));
        assert_eq!(history.get(9, 1), Err("MM1"));
        assert_eq!(history.get(9, 3), Err("MM1"));
    }

    /// What was fetched for a part may be stored or not, from then on; a hit of it fetches nothing (explore
    /// seed 13672).
    #[test]
    fn what_was_fetched_for_a_part_may_be_stored() {
        for version in [1, 2] {
            let mut history = History(Flat::new("MM1", true), 0);
            history.publish(1, 10);
            assert_eq!(history.get_fetched(0, None, Some(Purpose::Part)), Ok(()));
            assert_eq!(history.get_fetched(5, None, None), Ok(()));
            history.publish(2, 10);
            assert_eq!(history.get(9, version), Ok(()));
            assert_eq!(history.get(11, 2), Ok(()));
        }
    }

    /// What was asked for right after the answer to a POST may be lost, for its birth is too near that purge
    /// (explore seed 7472); what was asked for later may not.
    #[test]
    fn what_comes_right_after_a_post_may_be_lost() {
        for (posted_at, expected) in [(5, Ok(())), (4, Err("MM1"))] {
            let mut history = History(Flat::new("MM1", true), 0);
            history.publish(1, 10);
            history.0.post(Instant::from_nanos(posted_at * SECOND), (KEY, 0), Version(1));
            assert_eq!(history.get(5, 1), Ok(()));
            history.publish(2, 10);
            assert_eq!(history.get(6, 2), expected, "{posted_at}");
        }
    }

    /// What may not be stored is never fresh.
    #[test]
    fn what_may_not_be_stored_is_not_kept() {
        let mut history = History(Flat::new("MM1", true), 0);
        history.publish(1, 0);
        assert_eq!(history.get(1, 1), Ok(()));
        history.publish(2, 0);
        assert_eq!(history.get(1, 2), Ok(()));
        assert_eq!(history.get(1, 1), Err("MM1"));
    }
}
