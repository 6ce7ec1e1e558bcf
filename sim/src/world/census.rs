//! What the figures of a scenario's `expect` come to: counted from facts, and from what clients say of their
//! answers.

use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    BreakerState, CacheKey, CopyEvent, Dependency, Event, Instant, ResidenceEvent, ResilienceEvent, TierId,
};
use tiergate_invariants::{Edge, Fact, Got, Version, What};
use tiergate_scenarios::{Expectations, Figure, Phase, Scope, Sum};

/// What each figure comes to, in each phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    faults: Values,
    healed: Values,
}

/// What each figure comes to in one phase.
#[derive(Clone, Debug, PartialEq)]
struct Values {
    counts: [u64; Figure::ALL.len()],
    /// How long clients that read at once waited for whole responses, in milliseconds, to three digits.
    waits_ms: Histogram<u64>,
}

impl Default for Values {
    fn default() -> Self {
        let waits_ms = Histogram::new(3).expect("three digits are less than the five that may be kept");
        Self { counts: [0; Figure::ALL.len()], waits_ms }
    }
}

impl Values {
    fn add(&mut self, figure: Figure, more: u64) {
        let value = &mut self.counts[figure as usize];
        match figure.sum() {
            Sum::Added => *value = value.saturating_add(more),
            Sum::Highest => *value = more.max(*value),
            Sum::Derived => unreachable!("{figure:?} follows from others"),
        }
    }

    fn merge(&mut self, other: &Self) {
        for figure in Figure::ALL.into_iter().filter(|figure| figure.sum() != Sum::Derived) {
            self.add(figure, other.counts[figure as usize]);
        }
        self.waits_ms.add(&other.waits_ms).expect("a histogram that grows takes what another one holds");
    }

    fn count(&self, figure: Figure) -> u64 {
        self.counts[figure as usize]
    }

    /// How many of a hundred; none of nothing.
    fn percent(&self, part: &[Figure], rest: &[Figure]) -> f64 {
        let sum = |figures: &[Figure]| figures.iter().map(|figure| self.count(*figure)).sum::<u64>();
        let (part, rest) = (sum(part), sum(rest));
        if part == 0 { 0.0 } else { part as f64 * 100.0 / (part + rest) as f64 }
    }

    fn of(&self, figure: Figure) -> f64 {
        const HITS: [Figure; 5] =
            [Figure::HitsL0, Figure::HitsL1, Figure::HitsL2, Figure::HitsL3, Figure::HitsStale];
        match figure {
            Figure::AnsweredPercent => self.percent(&[Figure::Whole], &[Figure::Broken, Figure::Unanswered]),
            Figure::HitPercent => self.percent(&HITS, &[Figure::Misses]),
            Figure::LatencyP50Ms => self.waits_ms.value_at_quantile(0.5) as f64,
            Figure::LatencyP99Ms => self.waits_ms.value_at_quantile(0.99) as f64,
            Figure::LatencyMaxMs => self.waits_ms.max() as f64,
            counted => self.count(counted) as f64,
        }
    }
}

impl Figures {
    /// What this one comes to.
    pub(crate) fn of(&self, phase: Phase, figure: Figure) -> f64 {
        match phase {
            Phase::Whole => {
                let mut all = self.faults.clone();
                all.merge(&self.healed);
                all.of(figure)
            }
            Phase::Faults => self.faults.of(figure),
            Phase::Healed => self.healed.of(figure),
        }
    }

    /// Takes in another run's.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.faults.merge(&other.faults);
        self.healed.merge(&other.healed);
    }

    /// What is not as the scenario expects it of this scope.
    pub(crate) fn unexpected(&self, expect: &Expectations, of: Scope) -> Vec<String> {
        let asked = expect.iter().filter(|(_, _, expectation)| expectation.of == of);
        asked
            .filter_map(|(phase, figure, expectation)| {
                expectation.misses(phase, figure, self.of(phase, figure))
            })
            .collect()
    }

    fn in_phase(&mut self, is_healed: bool) -> &mut Values {
        if is_healed { &mut self.healed } else { &mut self.faults }
    }
}

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answerer {
    /// A tier, alone or after the origin agreed.
    Tier(TierId),
    /// A tier, with what was stale.
    Stale,
    /// The origin.
    Origin,
}

impl Answerer {
    /// Who answered, by what `Cache-Status` says; nobody knows of a response that is no cache's.
    pub(crate) fn of(cache_status: &str) -> Option<Self> {
        let mut parameters = cache_status.split(';').map(str::trim).skip(1).peekable();
        let first = *parameters.peek()?;
        let detail = parameters.find_map(|parameter| parameter.strip_prefix("detail="));
        let tiers = [TierId::L0, TierId::L1, TierId::L2, TierId::L3];
        let tier = tiers.into_iter().find(|tier| Some(tier.as_str()) == detail);
        match (tier, detail) {
            (Some(tier), _) => Some(Self::Tier(tier)),
            (None, Some("stale-while-revalidate" | "stale-if-error")) => Some(Self::Stale),
            (None, _) => first.starts_with("fwd=").then_some(Self::Origin),
        }
    }
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As fast as it comes.
    AtOnce,
    /// With pauses, or not to the end.
    InItsOwnTime,
}

/// One world's figures, and what they follow from.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// What they come to so far.
    pub(crate) figures: Figures,
    healed_at: Option<Instant>,
    /// The newest version of each key.
    newest: BTreeMap<CacheKey, Version>,
    /// How often each edge was started.
    lives: BTreeMap<Edge, u64>,
    /// Those that answer: one that has started looks at its disk first.
    up: BTreeSet<Edge>,
    slow: BTreeMap<Edge, u32>,
    /// Copies into L2 that are under way.
    copies: BTreeMap<(Edge, CacheKey), u64>,
    /// What each edge ever began to store in L2.
    ever_in_l2: BTreeSet<(Edge, CacheKey)>,
    stored: BTreeMap<(Edge, CacheKey), Stored>,
    /// In which life of its edge each purge was confirmed last.
    purged: BTreeMap<(Edge, CacheKey), u64>,
    asks: BTreeMap<u64, Ask>,
    /// Breakers that are not closed, each of a shard.
    open: BTreeSet<(Edge, u32, Dependency)>,
    /// When somebody asked last.
    asked_at: Instant,
}

/// When something was stored in L2 last.
#[derive(Clone, Copy, Debug)]
struct Stored {
    life: u64,
    is_healed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    at: Instant,
    /// The faults were over.
    is_healed: bool,
    /// What the origin would have answered.
    newest: Option<Version>,
    /// The edge is up.
    is_served: bool,
    /// L2 never began to hold it.
    is_elsewhere: bool,
    is_while_slow: bool,
    /// It was purged before the edge lost its power.
    is_of_purged: bool,
    answer: Option<(Answerer, Reading)>,
}

impl Census {
    /// A fact.
    pub(crate) fn observe(&mut self, fact: &Fact) {
        match &fact.what {
            What::Engine { edge, shard, event } => {
                if let Event::Resilience(ResilienceEvent::BreakerChanged { who, state }) = event {
                    self.on_breaker(fact.at, (*edge, *shard, *who), *state);
                }
                self.on_event(*edge, event);
            }
            What::EdgeStarted { edge } => *self.lives.entry(*edge).or_default() += 1,
            What::EdgeCrashed { edge } => {
                self.up.remove(edge);
                self.open.retain(|(of, ..)| of != edge);
                let mine: u64 =
                    self.copies.iter().filter(|((of, _), _)| of == edge).map(|(_, count)| count).sum();
                self.copies.retain(|(of, _), _| of != edge);
                self.count(Figure::CutL2, mine);
            }
            What::ClientAsked { ask, edge, key, .. } => {
                let place = (*edge, *key);
                let ask_of = Ask {
                    at: fact.at,
                    is_healed: self.healed_at.is_some(),
                    newest: self.newest.get(key).copied(),
                    is_served: self.up.contains(edge),
                    is_elsewhere: !self.ever_in_l2.contains(&place),
                    is_while_slow: self.slow.get(edge).is_some_and(|depth| *depth > 0),
                    is_of_purged: self.purged.get(&place).is_some_and(|life| *life < self.life(*edge)),
                    answer: None,
                };
                self.asked_at = fact.at;
                self.asks.insert(*ask, ask_of);
            }
            What::ClientGot { ask, edge, key, got } => {
                if let Some(ask) = self.asks.remove(ask) {
                    self.on_got(fact.at, (*edge, *key), ask, got);
                }
            }
            What::PurgeConfirmed { edge, key, .. } => {
                self.purged.insert((*edge, *key), self.life(*edge));
            }
            What::Healed => self.healed_at = Some(fact.at),
            What::Published { key, version, .. } => drop(self.newest.insert(*key, *version)),
            What::OriginAnswered { .. } => self.count(Figure::OriginRequests, 1),
            What::PurgeAsked { .. } | What::Audited { .. } | What::Settled { .. } => {}
        }
    }

    /// A client has the head of its response.
    pub(crate) fn answered(&mut self, ask: u64, by: Answerer, reading: Reading) {
        if let Some(ask) = self.asks.get_mut(&ask) {
            ask.answer = Some((by, reading));
        }
    }

    /// So much more of a figure, in the phase of now.
    pub(crate) fn count(&mut self, figure: Figure, more: u64) {
        let is_healed = self.healed_at.is_some();
        self.figures.in_phase(is_healed).add(figure, more);
    }

    /// One more of a figure that tells of a request which waits for its answer.
    pub(crate) fn count_of(&mut self, ask: u64, figure: Figure) {
        if let Some(ask) = self.asks.get(&ask) {
            self.figures.in_phase(ask.is_healed).add(figure, 1);
        }
    }

    /// An edge answers from now on.
    pub(crate) fn serves(&mut self, edge: Edge) {
        self.up.insert(edge);
    }

    /// An edge's disk is slow from now on.
    pub(crate) fn slow_begins(&mut self, edge: Edge) {
        *self.slow.entry(edge).or_default() += 1;
    }

    /// It is not any more.
    pub(crate) fn slow_ends(&mut self, edge: Edge) {
        let depth = self.slow.entry(edge).or_default();
        *depth = depth.saturating_sub(1);
    }

    fn life(&self, edge: Edge) -> u64 {
        self.lives.get(&edge).copied().unwrap_or_default()
    }

    /// The world ends. What is not closed kept somebody off for as long as anybody asked.
    pub(crate) fn end(&mut self) {
        if let (Some(healed_at), false) = (self.healed_at, self.open.is_empty()) {
            let until = self.asked_at.max(healed_at);
            self.figures.healed.add(Figure::BreakersClosedMs, millis(until, healed_at));
        }
    }

    fn on_breaker(&mut self, at: Instant, breaker: (Edge, u32, Dependency), state: BreakerState) {
        if state != BreakerState::Closed {
            let is_new = self.open.insert(breaker);
            return self.count(Figure::BreakersOpened, is_new.into());
        }
        self.open.remove(&breaker);
        if let Some(healed_at) = self.healed_at {
            self.figures.healed.add(Figure::BreakersClosedMs, millis(at, healed_at));
        }
    }

    fn on_event(&mut self, edge: Edge, event: &Event) {
        if let Event::Copy(CopyEvent::LaneOpened { tier: TierId::L2, key, .. }) = event {
            self.ever_in_l2.insert((edge, *key));
            *self.copies.entry((edge, *key)).or_default() += 1;
        }
        if let Event::Copy(CopyEvent::LaneDropped { tier: TierId::L2, key, .. }) = event {
            self.end_copy(edge, *key);
        }
        if let Event::Residence(ResidenceEvent::Stored { tier: TierId::L2, key, .. }) = event {
            self.end_copy(edge, *key);
            let stored = Stored { life: self.life(edge), is_healed: self.healed_at.is_some() };
            self.stored.insert((edge, *key), stored);
            self.count(Figure::StoredL2, 1);
        }
    }

    fn end_copy(&mut self, edge: Edge, key: CacheKey) {
        if let Some(copies) = self.copies.get_mut(&(edge, key)) {
            *copies = copies.saturating_sub(1);
        }
    }

    fn on_got(&mut self, at: Instant, place: (Edge, CacheKey), ask: Ask, got: &Got) {
        let figures = self.figures.in_phase(ask.is_healed);
        match got {
            Got::Broken => figures.add(Figure::Broken, 1),
            Got::Nothing => figures.add(Figure::Unanswered, 1),
            Got::Left => {}
            Got::Whole { spans, .. } => {
                figures.add(Figure::Whole, 1);
                figures.add(Figure::PurgedThenAsked, ask.is_of_purged.into());
                let version = spans.first().and_then(|span| span.of).map(|(_, version)| version);
                figures.add(Figure::StaleAnswers, (version.is_some() && version < ask.newest).into());
                if let Some((by, reading)) = ask.answer {
                    self.on_whole(at, place, ask, by, reading);
                }
            }
        }
        if let (Got::Broken | Got::Nothing, true, Some(healed_at)) = (got, ask.is_healed, self.healed_at) {
            self.figures.healed.add(Figure::RecoveredMs, millis(ask.at, healed_at));
        }
    }

    fn on_whole(&mut self, at: Instant, place: (Edge, CacheKey), ask: Ask, by: Answerer, reading: Reading) {
        let tier_figure = match by {
            Answerer::Tier(TierId::L0) => Some(Figure::HitsL0),
            Answerer::Tier(TierId::L1) => Some(Figure::HitsL1),
            Answerer::Tier(TierId::L2) => Some(Figure::HitsL2),
            Answerer::Tier(TierId::L3) => Some(Figure::HitsL3),
            Answerer::Stale => Some(Figure::HitsStale),
            Answerer::Origin => Some(Figure::Misses),
        };
        let stored = self.stored.get(&place).filter(|_| by == Answerer::Tier(TierId::L2)).copied();
        let life = self.life(place.0);
        let figures = self.figures.in_phase(ask.is_healed);
        if let Some(figure) = tier_figure {
            figures.add(figure, 1);
        }
        if let Some(stored) = stored {
            figures.add(Figure::HitsL2Recovered, (stored.life < life).into());
            figures.add(Figure::HitsL2Healed, stored.is_healed.into());
        }
        if reading == Reading::InItsOwnTime {
            return;
        }
        let waited = millis(at, ask.at);
        figures.waits_ms.record(waited).expect("a histogram that grows takes every value");
        let is_elsewhere = by == Answerer::Tier(TierId::L0) || (ask.is_elsewhere && by == Answerer::Origin);
        if is_elsewhere && ask.is_served {
            figures.add(Figure::LatencyElsewhereMs, waited);
            figures.add(Figure::AskedWhileSlow, ask.is_while_slow.into());
        }
    }
}

fn millis(at: Instant, since: Instant) -> u64 {
    u64::try_from(at.since(since).as_millis()).unwrap_or(u64::MAX)
}
