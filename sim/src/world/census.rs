//! What the figures of a scenario's `expect` come to: counted from facts, and from what clients say of their
//! answers.

use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{CacheKey, CopyEvent, Event, Instant, ResidenceEvent, TierId};
use tiergate_invariants::{Edge, Fact, Got, What};
use tiergate_scenarios::{Expectations, Figure, Scope};

/// What each figure comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures([u64; Figure::ALL.len()]);

impl Figures {
    /// What this one comes to.
    pub(crate) fn of(&self, figure: Figure) -> u64 {
        self.0[figure as usize]
    }

    /// Takes in some more of it.
    pub(crate) fn add(&mut self, figure: Figure, more: u64) {
        let value = &mut self.0[figure as usize];
        *value = figure.with(*value, more);
    }

    /// Takes in another run's.
    pub(crate) fn merge(&mut self, other: &Self) {
        for figure in Figure::ALL {
            self.add(figure, other.of(figure));
        }
    }

    /// What is not as the scenario expects it of this scope.
    pub(crate) fn unexpected(&self, expect: &Expectations, of: Scope) -> Vec<String> {
        let asked = expect.iter().filter(|(_, expectation)| expectation.of == of);
        asked.filter_map(|(figure, expectation)| expectation.misses(*figure, self.of(*figure))).collect()
    }
}

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answerer {
    /// A tier, alone or after the origin agreed.
    Tier(TierId),
    /// The origin.
    Origin,
}

impl Answerer {
    /// Its name in a response's field.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tier(tier) => tier.as_str(),
            Self::Origin => "origin",
        }
    }

    /// Who has this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let tiers = [TierId::L0, TierId::L1, TierId::L2, TierId::L3].map(Self::Tier);
        tiers.into_iter().chain([Self::Origin]).find(|answerer| answerer.as_str() == name)
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
    is_healed: bool,
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
            What::Engine { edge, event, .. } => self.on_event(*edge, event),
            What::EdgeStarted { edge } => *self.lives.entry(*edge).or_default() += 1,
            What::EdgeCrashed { edge } => {
                self.up.remove(edge);
                let mine: u64 =
                    self.copies.iter().filter(|((of, _), _)| of == edge).map(|(_, count)| count).sum();
                self.copies.retain(|(of, _), _| of != edge);
                self.figures.add(Figure::CutL2, mine);
            }
            What::ClientAsked { ask, edge, key, .. } => {
                let place = (*edge, *key);
                let ask_of = Ask {
                    at: fact.at,
                    is_served: self.up.contains(edge),
                    is_elsewhere: !self.ever_in_l2.contains(&place),
                    is_while_slow: self.slow.get(edge).is_some_and(|depth| *depth > 0),
                    is_of_purged: self.purged.get(&place).is_some_and(|life| *life < self.life(*edge)),
                    answer: None,
                };
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
            What::Healed => self.is_healed = true,
            What::Published { .. }
            | What::OriginAnswered { .. }
            | What::PurgeAsked { .. }
            | What::Audited { .. }
            | What::Settled { .. } => {}
        }
    }

    /// A client has the head of its response.
    pub(crate) fn answered(&mut self, ask: u64, by: Answerer, reading: Reading) {
        if let Some(ask) = self.asks.get_mut(&ask) {
            ask.answer = Some((by, reading));
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
            let stored = Stored { life: self.life(edge), is_healed: self.is_healed };
            self.stored.insert((edge, *key), stored);
            self.figures.add(Figure::StoredL2, 1);
        }
    }

    fn end_copy(&mut self, edge: Edge, key: CacheKey) {
        if let Some(copies) = self.copies.get_mut(&(edge, key)) {
            *copies = copies.saturating_sub(1);
        }
    }

    fn on_got(&mut self, at: Instant, place: (Edge, CacheKey), ask: Ask, got: &Got) {
        match got {
            Got::Broken => self.figures.add(Figure::Broken, 1),
            Got::Nothing => self.figures.add(Figure::Unanswered, 1),
            Got::Left => {}
            Got::Whole { .. } => {
                self.figures.add(Figure::Whole, 1);
                self.figures.add(Figure::PurgedThenAsked, ask.is_of_purged.into());
                if let Some((by, reading)) = ask.answer {
                    self.on_whole(at, place, ask, by, reading);
                }
            }
        }
    }

    fn on_whole(&mut self, at: Instant, place: (Edge, CacheKey), ask: Ask, by: Answerer, reading: Reading) {
        let tier_figure = match by {
            Answerer::Tier(TierId::L0) => Some(Figure::HitsL0),
            Answerer::Tier(TierId::L1) => Some(Figure::HitsL1),
            Answerer::Tier(TierId::L2) => Some(Figure::HitsL2),
            Answerer::Tier(TierId::L3) => None,
            Answerer::Origin => Some(Figure::Misses),
        };
        if let Some(figure) = tier_figure {
            self.figures.add(figure, 1);
        }
        if by == Answerer::Tier(TierId::L2)
            && let Some(stored) = self.stored.get(&place)
        {
            self.figures.add(Figure::HitsL2Recovered, (stored.life < self.life(place.0)).into());
            self.figures.add(Figure::HitsL2Healed, stored.is_healed.into());
        }
        let is_elsewhere = by == Answerer::Tier(TierId::L0) || (ask.is_elsewhere && by == Answerer::Origin);
        if is_elsewhere && ask.is_served && reading == Reading::AtOnce {
            let waited = at.since(ask.at).as_millis();
            self.figures.add(Figure::LatencyElsewhereMs, u64::try_from(waited).unwrap_or(u64::MAX));
            self.figures.add(Figure::AskedWhileSlow, ask.is_while_slow.into());
        }
    }
}
