//! C6: nothing is served past its lifetime, and no response says it is younger than it is.
//!
//! The true age of a version is the time since the origin last answered with it, to anybody. Of each whole
//! response it checks, as of the moment it was asked for, that this age is within the lifetime and that the
//! `Age` it carried is not below it. Both with `slack`: the longest that an answer's head travels, for a
//! cache counts from when it arrives.
//!
//! It does not check a request that came while a fetch of its key was under way at its edge: sharing that
//! answer is right however long it takes. It must not be used where a calendar may be set back, which makes
//! stored responses look younger (so it is not among the rules of every world). Of stale windows it knows the
//! longest that its world allows, not which response may be served in which.

use crate::{Edge, Fact, Got, Invariant, Span, Version, Violation, What};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{CacheKey, Event, FetchEvent, Instant};

/// The rule.
#[derive(Debug)]
pub struct Lifetimes {
    slack: Duration,
    stale_window: Duration,
    lifetimes: BTreeMap<(CacheKey, Version), Duration>,
    answered: BTreeMap<(CacheKey, Version), Instant>,
    fetches: BTreeMap<(Edge, CacheKey), u32>,
    /// When each open ask that must not see an old answer was asked.
    asks: BTreeMap<u64, Instant>,
}

impl Lifetimes {
    /// The rule for a world in which no answer's head travels longer than `slack`, and none is served longer
    /// past its lifetime than `stale_window`.
    pub fn new(slack: Duration, stale_window: Duration) -> Self {
        Self {
            slack,
            stale_window,
            lifetimes: BTreeMap::new(),
            answered: BTreeMap::new(),
            fetches: BTreeMap::new(),
            asks: BTreeMap::new(),
        }
    }

    fn on_event(&mut self, edge: Edge, event: &Event) {
        match event {
            Event::Fetch(FetchEvent::Fetched { key, .. }) => {
                *self.fetches.entry((edge, *key)).or_default() += 1
            }
            Event::Fetch(FetchEvent::FetchEnded { key, .. }) => {
                if let Some(count) = self.fetches.get_mut(&(edge, *key)) {
                    *count = count.saturating_sub(1);
                }
            }
            Event::Request(_)
            | Event::Fetch(
                FetchEvent::HeadArrived { .. }
                | FetchEvent::Adopted { .. }
                | FetchEvent::NotAdopted { .. }
                | FetchEvent::AdoptionEnded { .. }
                | FetchEvent::Retried { .. }
                | FetchEvent::GaveUp { .. }
                | FetchEvent::FoundUncacheable { .. },
            )
            | Event::Copy(_)
            | Event::Residence(_)
            | Event::Resilience(_)
            | Event::Purge(_)
            | Event::Durable(_) => {}
        }
    }

    fn check(
        &self,
        asked_at: Instant,
        key: CacheKey,
        age: Option<u64>,
        spans: &[Span],
    ) -> Result<(), String> {
        for (_, version) in spans.iter().filter_map(|span| span.of) {
            let known = (self.answered.get(&(key, version)), self.lifetimes.get(&(key, version)));
            let (Some(answered), Some(lifetime)) = known else {
                continue;
            };
            let true_age = asked_at.since(*answered).saturating_sub(self.slack);
            if true_age > lifetime.saturating_add(self.stale_window) {
                return Err(format!(
                    "version {}, at least {true_age:?} old when asked for, past its lifetime of {lifetime:?} and every window",
                    version.0
                ));
            }
            if age.is_some_and(|age| age < true_age.as_secs()) {
                return Err(format!(
                    "version {} with Age {age:?}, but it was at least {true_age:?} old when asked for",
                    version.0
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for Lifetimes {
    fn id(&self) -> &'static str {
        "C6"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Published { key, version, lifetime_ns, .. } => {
                self.lifetimes.insert((*key, *version), Duration::from_nanos(*lifetime_ns));
            }
            What::OriginAnswered { key, version, .. } => {
                self.answered.insert((*key, *version), fact.at);
            }
            What::Engine { edge, event, .. } => self.on_event(*edge, event),
            What::EdgeStarted { edge } | What::EdgeCrashed { edge } => {
                self.fetches.retain(|(other, _), _| other != edge);
            }
            What::ClientAsked { ask, edge, key, .. } => {
                if self.fetches.get(&(*edge, *key)).is_none_or(|count| *count == 0) {
                    self.asks.insert(*ask, fact.at);
                }
            }
            What::ClientGot { ask, key, got, .. } => {
                let asked_at = self.asks.remove(ask);
                if let (Some(asked_at), Got::Whole { age, spans, .. }) = (asked_at, got) {
                    self.check(asked_at, *key, *age, spans).map_err(|detail| Violation {
                        rule: "C6",
                        detail: format!("ask {ask} for {key} got {detail}"),
                    })?;
                }
            }
            What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Audited { .. }
            | What::Healed
            | What::Settled { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, fetch_ended, fetched, span};
    use tiergate_engine::Purpose;

    const SECOND: u64 = 1_000_000_000;

    /// Version 1 has a lifetime of one second, the slack is one second, and the origin answered at 10 s.
    fn history() -> History {
        let mut history = History::of(Lifetimes::new(Duration::from_secs(1), Duration::ZERO));
        history.published(KEY, 1, 100, true).unwrap();
        history.at(10 * SECOND);
        history.answered(KEY, 1).unwrap();
        history
    }

    fn get(history: &mut History, at: u64, age: u64) -> Result<(), &'static str> {
        history.at(at);
        history.asked(at, KEY)?;
        history.whole(at, KEY, 200, Some(age), vec![span(KEY, 1, 0, 100)])
    }

    /// Up to lifetime and slack, with an honest age.
    #[test]
    fn within_its_lifetime_passes() {
        assert_eq!(get(&mut history(), 11 * SECOND, 0), Ok(()));
        assert_eq!(get(&mut history(), 12 * SECOND, 1), Ok(()));
    }

    /// Past both, or younger than it can be.
    #[test]
    fn past_its_lifetime_or_too_young_is_named() {
        assert_eq!(get(&mut history(), 12 * SECOND + 1, 2), Err("C6"));
        assert_eq!(get(&mut history(), 12 * SECOND, 0), Err("C6"));
    }

    /// A request that shares a fetch under way is not checked; after that fetch it is again.
    #[test]
    fn sharing_a_fetch_passes() {
        let mut history = history();
        history.event(fetched(1, KEY, Purpose::Shared)).unwrap();
        assert_eq!(get(&mut history, 20 * SECOND, 0), Ok(()));
        history.event(fetch_ended(1, KEY)).unwrap();
        assert_eq!(get(&mut history, 21 * SECOND, 11), Err("C6"));
    }
}
