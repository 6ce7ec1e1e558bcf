//! Chance, as choices that can be kept, given again and made smaller.
//!
//! All chance of a run comes from named streams. A stream is drawn from the seed, or given: then its outcomes
//! are those of an earlier run, and zero once they are used up. Every use of a draw is arranged so that zero
//! is the simplest outcome: no fault, the shortest wait, the smallest size. So any shortened or lowered list
//! of choices is a run of its own, and often a simpler one (internal test-case reduction: MacIver and
//! Donaldson, ECOOP 2020).

use crate::explore::case::choices::{Choices, Outcome};
use std::{cell::RefCell, collections::BTreeMap, num::NonZeroU64, vec};
use tiergate_engine::{Random, Seed};

/// Where a run's choices come from.
#[derive(Clone, Debug)]
pub(in crate::explore) enum DrawSource {
    /// A seed, and so many requests.
    Seed { seed: u64, requests: u32, keep: Keep },
    /// An earlier run. What is really chosen is kept.
    Given(Choices),
}

/// Are the outcomes of a run kept?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Keep {
    Nothing,
    Outcomes,
}

/// One stream.
pub(in crate::explore) struct Draws {
    from: From,
    kept: Option<Vec<Outcome>>,
}

enum From {
    Seed(Random),
    Given(vec::IntoIter<Outcome>),
}

impl Draws {
    pub(in crate::explore) fn of(source: &DrawSource, name: &str) -> Self {
        match source {
            DrawSource::Seed { seed, keep, .. } => Self {
                from: From::Seed(Seed(*seed).split(name)),
                kept: (*keep == Keep::Outcomes).then(Vec::new),
            },
            DrawSource::Given(choices) => {
                let given = choices.streams.get(name).cloned().unwrap_or_default();
                Self { from: From::Given(given.into_iter()), kept: Some(Vec::new()) }
            }
        }
    }

    /// A number below `bound`.
    pub(in crate::explore) fn below(&mut self, bound: u64) -> u64 {
        let bound = NonZeroU64::new(bound).expect("a draw needs at least one outcome");
        let value = match &mut self.from {
            From::Seed(random) => random.below(bound.get()),
            From::Given(given) => given.next().map_or(0, |outcome| outcome.value.min(bound.get() - 1)),
        };
        self.keep(Outcome { value, bound: Some(bound) })
    }

    /// True in `numerator` of `denominator` draws; kept as one or zero.
    pub(in crate::explore) fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        let is_hit = match &mut self.from {
            From::Seed(random) => random.chance(numerator, denominator),
            From::Given(given) => {
                let is_wanted = given.next().is_some_and(|outcome| outcome.value > 0);
                numerator >= denominator || (numerator > 0 && is_wanted)
            }
        };
        self.keep(Outcome { value: u64::from(is_hit), bound: NonZeroU64::new(2) }) > 0
    }

    /// Sixty-four bits.
    pub(in crate::explore) fn bits(&mut self) -> u64 {
        let value = match &mut self.from {
            From::Seed(random) => random.bits(),
            From::Given(given) => given.next().map_or(0, |outcome| outcome.value),
        };
        self.keep(Outcome { value, bound: None })
    }

    /// How many outcomes are kept.
    pub(in crate::explore) fn count(&self) -> usize {
        self.kept.as_ref().map_or(0, Vec::len)
    }

    /// The outcomes that are kept.
    pub(in crate::explore) fn kept(&mut self) -> Vec<Outcome> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn keep(&mut self, outcome: Outcome) -> u64 {
        if let Some(kept) = &mut self.kept {
            kept.push(outcome);
        }
        outcome.value
    }
}

/// The stream of the requests: each has its own part, so that one can be left out and the others stay as they
/// are.
pub(in crate::explore) struct Requests {
    pub draws: Draws,
    given: vec::IntoIter<Vec<Outcome>>,
    kept: Vec<Vec<Outcome>>,
    is_begun: bool,
}

impl Requests {
    pub(in crate::explore) fn of(source: &DrawSource) -> Self {
        let given = match source {
            DrawSource::Seed { .. } => Vec::new(),
            DrawSource::Given(choices) => choices.requests.clone(),
        };
        Self {
            draws: Draws::of(source, "requests"),
            given: given.into_iter(),
            kept: Vec::new(),
            is_begun: false,
        }
    }

    /// What is drawn from now on belongs to the next request.
    pub(in crate::explore) fn begin(&mut self) {
        self.end();
        self.is_begun = true;
        if let From::Given(outcomes) = &mut self.draws.from {
            *outcomes = self.given.next().unwrap_or_default().into_iter();
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_begun) {
            self.kept.push(self.draws.kept());
        }
    }

    pub(in crate::explore) fn kept(&mut self) -> Vec<Vec<Outcome>> {
        self.end();
        std::mem::take(&mut self.kept)
    }
}

/// Draws by name, each from a hash of the seed and its name: a new one moves no other.
pub(in crate::explore) struct Draw {
    from: NamedFrom,
    kept: Option<RefCell<BTreeMap<String, Outcome>>>,
}

enum NamedFrom {
    Seed(Seed),
    Given(BTreeMap<String, Outcome>),
}

impl Draw {
    pub(in crate::explore) fn new(source: &DrawSource) -> Self {
        match source {
            DrawSource::Seed { seed, keep, .. } => Self {
                from: NamedFrom::Seed(Seed(*seed)),
                kept: (*keep == Keep::Outcomes).then(RefCell::default),
            },
            DrawSource::Given(choices) => {
                Self { from: NamedFrom::Given(choices.plan.clone()), kept: Some(RefCell::default()) }
            }
        }
    }

    /// One of `choices`, the simplest first.
    pub(in crate::explore) fn of<T: Copy>(&self, name: &str, choices: &[T]) -> T {
        let bound = NonZeroU64::new(choices.len() as u64).expect("there is something to choose from");
        let value = match &self.from {
            NamedFrom::Seed(seed) => seed.split(name).below(bound.get()),
            NamedFrom::Given(given) => given.get(name).map_or(0, |given| given.value.min(bound.get() - 1)),
        };
        self.keep(name, Outcome { value, bound: Some(bound) });
        choices[usize::try_from(value).expect("a place in a slice fits usize")]
    }

    /// What is told and not drawn, below `bound`; unless it is given.
    pub(in crate::explore) fn told(&self, name: &str, value: u64, bound: u64) -> u64 {
        let bound = NonZeroU64::new(bound).expect("there is something to tell");
        let value = match &self.from {
            NamedFrom::Seed(_) => value,
            NamedFrom::Given(given) => given.get(name).map_or(0, |given| given.value.min(bound.get() - 1)),
        };
        self.keep(name, Outcome { value, bound: Some(bound) });
        value
    }

    pub(in crate::explore) fn coin(&self, name: &str, per_mille: u64) -> bool {
        let is_hit = match &self.from {
            NamedFrom::Seed(seed) => seed.split(name).chance(per_mille, 1_000),
            NamedFrom::Given(given) => given.get(name).is_some_and(|outcome| outcome.value > 0),
        };
        self.keep(name, Outcome { value: u64::from(is_hit), bound: NonZeroU64::new(2) });
        is_hit
    }

    /// The outcomes that are kept: all but the simplest.
    pub(in crate::explore) fn kept(self) -> BTreeMap<String, Outcome> {
        self.kept.map(RefCell::into_inner).unwrap_or_default()
    }

    fn keep(&self, name: &str, outcome: Outcome) {
        if let Some(kept) = self.kept.as_ref().filter(|_| outcome.value > 0) {
            kept.borrow_mut().insert(name.to_owned(), outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[u64]) -> Draws {
        let outcomes = values.iter().map(|value| Outcome { value: *value, bound: None }).collect();
        let choices = Choices { streams: [("a".to_owned(), outcomes)].into(), ..Choices::default() };
        Draws::of(&DrawSource::Given(choices), "a")
    }

    /// A kept stream that is given again draws the same.
    #[test]
    fn what_was_kept_draws_the_same() {
        let source = DrawSource::Seed { seed: 7, requests: 0, keep: Keep::Outcomes };
        let draw = |draws: &mut Draws| {
            (0..9).map(|n| (draws.below(n + 1), draws.chance(1, 3), draws.bits())).collect::<Vec<_>>()
        };
        let mut first = Draws::of(&source, "a");
        let drawn = draw(&mut first);
        let choices = Choices { streams: [("a".to_owned(), first.kept())].into(), ..Choices::default() };
        let mut again = Draws::of(&DrawSource::Given(choices.clone()), "a");
        assert_eq!(draw(&mut again), drawn);
        assert_eq!(again.kept(), choices.streams["a"]);
    }

    /// Outcomes are cut to what is possible, zero when there are none left, and never say that the certain or
    /// the impossible happened otherwise.
    #[test]
    fn what_is_given_is_bounded() {
        let mut draws = given(&[9, 9, 1, 0]);
        assert_eq!(draws.below(4), 3);
        assert!(draws.chance(1, 10));
        assert!(!draws.chance(0, 10));
        assert!(draws.chance(10, 10));
        assert_eq!((draws.below(4), draws.chance(9, 10), draws.bits()), (0, false, 0));
    }
}
