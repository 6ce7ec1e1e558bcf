//! I15: an origin that fails is not asked much more often than one that does not.
//!
//! For each engine, attempts beyond the first are counted against what `resilience.retry` allows since it
//! began: the burst, a share of the first attempts, and so many a second. No fetch has more attempts than
//! `attempts_max`, they are counted one by one, and none begins before its rest is over. It does not say that
//! a retry was worth making.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::{Event, FetchEvent, FillId, Instant, RawRetry};

/// Attempts that rest, or that may yet fail, and are remembered: far more than are ever under way at once.
const ATTEMPTS_MAX: usize = 65_536;

/// The rule.
#[derive(Debug)]
pub struct Retries {
    allowed: RawRetry,
    began: BTreeMap<Edge, Instant>,
    counts: BTreeMap<(Edge, u32), Counts>,
    /// Which attempt each fetch is that is not a first one, and when it may begin.
    attempts: BTreeMap<(Edge, u32, FillId), (u32, Instant)>,
}

#[derive(Debug, Default)]
struct Counts {
    first: u64,
    retries: u64,
}

impl Retries {
    /// With what each engine is allowed.
    pub fn new(allowed: RawRetry) -> Self {
        Self { allowed, began: BTreeMap::new(), counts: BTreeMap::new(), attempts: BTreeMap::new() }
    }

    fn on_fetched(&mut self, now: Instant, edge: Edge, shard: u32, fill: FillId) -> Result<(), Violation> {
        match self.attempts.get(&(edge, shard, fill)) {
            Some((_, at)) if now < *at => {
                broken(format!("edge {} asks as fill {} before {at:?}", edge.0, fill.0))
            }
            Some(_) => Ok(()),
            None => {
                self.counts.entry((edge, shard)).or_default().first += 1;
                Ok(())
            }
        }
    }

    fn on_retried(
        &mut self,
        now: Instant,
        engine: (Edge, u32),
        (fill, next): (FillId, FillId),
        (attempt, at): (u32, Instant),
    ) -> Result<(), Violation> {
        let (edge, shard) = engine;
        let before = self.attempts.remove(&(edge, shard, fill)).map_or(1, |(attempt, _)| attempt);
        self.attempts.insert((edge, shard, next), (attempt, at));
        if self.attempts.len() > ATTEMPTS_MAX {
            self.attempts.pop_first();
        }
        if attempt != before + 1 || attempt > self.allowed.attempts_max {
            return broken(format!(
                "edge {}: attempt {attempt} follows attempt {before}, of {} at most",
                edge.0, self.allowed.attempts_max
            ));
        }
        let began = self.began.get(&edge).copied().unwrap_or(Instant::ZERO);
        let nanos = now.since(began).as_nanos();
        let counts = self.counts.entry(engine).or_default();
        counts.retries += 1;
        // In hundredths of a billionth of a retry, so that nothing is rounded.
        let allowed = u128::from(self.allowed.budget_burst) * 100_000_000_000
            + u128::from(self.allowed.budget_percent) * u128::from(counts.first) * 1_000_000_000
            + u128::from(self.allowed.budget_floor_per_s) * nanos * 100;
        if u128::from(counts.retries) * 100_000_000_000 > allowed {
            return broken(format!(
                "edge {} retries for the {}th time, after {} first attempts",
                edge.0, counts.retries, counts.first
            ));
        }
        Ok(())
    }
}

impl Default for Retries {
    /// What the most generous configuration allows.
    fn default() -> Self {
        Self::new(RawRetry {
            attempts_max: 10,
            budget_percent: 100,
            budget_floor_per_s: 1_000,
            budget_burst: 10_000,
            ..RawRetry::default()
        })
    }
}

fn broken(detail: String) -> Result<(), Violation> {
    Err(Violation { rule: "I15", detail })
}

impl Invariant for Retries {
    fn id(&self) -> &'static str {
        "I15"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Engine { edge, shard, event: Event::Fetch(FetchEvent::Fetched { fill, .. }) } => {
                self.on_fetched(fact.at, *edge, *shard, *fill)
            }
            What::Engine {
                edge,
                shard,
                event: Event::Fetch(FetchEvent::Retried { fill, next, attempt, at, .. }),
            } => self.on_retried(fact.at, (*edge, *shard), (*fill, *next), (*attempt, *at)),
            What::EdgeStarted { edge } => {
                self.began.insert(*edge, fact.at);
                self.counts.retain(|(other, _), _| other != edge);
                self.attempts.retain(|(other, ..), _| other != edge);
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
    use crate::history::{History, KEY, fetched};
    use tiergate_engine::{Purpose, RetryWhen};

    const ALLOWED: RawRetry = RawRetry {
        when: RetryWhen::TemporaryErrors,
        attempts_max: 3,
        delay_ms_first: 0,
        delay_ms_max: 0,
        retry_after_ms_max: 0,
        budget_percent: 50,
        budget_floor_per_s: 1,
        budget_burst: 1,
    };

    fn retried(fill: u64, next: u64, attempt: u32, at: u64) -> Event {
        let (fill, next, at) = (FillId(fill), FillId(next), Instant::from_nanos(at));
        FetchEvent::Retried { fill, next, key: KEY, attempt, at }.into()
    }

    fn first(history: &mut History, fill: u64) {
        history.event(fetched(fill, KEY, Purpose::Private)).unwrap();
    }

    /// One is saved up, every second fetch earns one, and so does every second; one more is named.
    #[test]
    fn retries_beyond_the_budget_are_named() {
        for (earned_by_time, more) in [(false, Err("I15")), (true, Ok(()))] {
            let mut history = History::of(Retries::new(ALLOWED));
            first(&mut history, 1);
            first(&mut history, 2);
            assert_eq!(history.event(retried(1, 11, 2, 0)), Ok(()));
            assert_eq!(history.event(retried(2, 12, 2, 0)), Ok(()));
            history.at(if earned_by_time { 1_000_000_000 } else { 999_999_999 });
            first(&mut history, 11);
            assert_eq!(history.event(retried(11, 21, 3, 0)), more, "an attempt earns no other");
        }
    }

    /// A fourth attempt of three, one that is not counted, and one that does not wait for its time are named.
    #[test]
    fn attempts_that_nobody_allowed_are_named() {
        let many = RawRetry { budget_burst: 100, ..ALLOWED };
        let mut history = History::of(Retries::new(many));
        first(&mut history, 1);
        assert_eq!(history.event(retried(1, 2, 2, 5)), Ok(()));
        assert_eq!(history.event(fetched(2, KEY, Purpose::Private)), Err("I15"), "too early");
        history.at(5);
        assert_eq!(history.event(fetched(2, KEY, Purpose::Private)), Ok(()));
        assert_eq!(history.event(retried(2, 3, 3, 5)), Ok(()));
        assert_eq!(history.event(retried(3, 4, 4, 5)), Err("I15"), "one too many");
        assert_eq!(history.event(retried(7, 8, 3, 5)), Err("I15"), "the second attempt is missing");
    }
}
