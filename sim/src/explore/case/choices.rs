//! Everything that was chosen in one run: what a case file holds, and what is made smaller.

use std::{collections::BTreeMap, fmt, num::NonZeroU64, str::FromStr};

/// What one draw came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::explore) struct Outcome {
    pub value: u64,
    /// The outcome was to be below this; none: any sixty-four bits.
    pub bound: Option<NonZeroU64>,
}

/// All choices of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::explore) struct Choices {
    /// What the engines' own chance is split from.
    pub seed: u64,
    /// What was chosen before the first step, by name; the simplest where there is none.
    pub plan: BTreeMap<String, Outcome>,
    /// What was chosen for each request, before the first step.
    pub requests: Vec<Vec<Outcome>>,
    /// What was chosen on the way, by stream.
    pub streams: BTreeMap<String, Vec<Outcome>>,
}

/// The first choice in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::explore) struct Difference {
    /// Of which stream; or which value of the plan, or which request.
    pub place: String,
    /// Which draw of the stream, the first being 1.
    pub number: usize,
    pub was: Option<Outcome>,
    pub is: Option<Outcome>,
}

impl Choices {
    /// Where another run chose otherwise, in the order plan, requests, streams.
    pub(in crate::explore) fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let names = self.plan.keys().chain(other.plan.keys().filter(|name| !self.plan.contains_key(*name)));
        for name in names {
            let (was, is) = (self.plan.get(name).copied(), other.plan.get(name).copied());
            if was != is {
                found.push(Difference { place: format!("the plan's `{name}`"), number: 1, was, is });
            }
        }
        for number in 0..self.requests.len().max(other.requests.len()) {
            let part = |choices: &Self| choices.requests.get(number).cloned().unwrap_or_default();
            found.extend(first(&format!("request {}", number + 1), &part(self), &part(other)));
        }
        let streams = self.streams.keys();
        for name in streams.chain(other.streams.keys().filter(|name| !self.streams.contains_key(*name))) {
            let part = |choices: &Self| choices.streams.get(name).cloned().unwrap_or_default();
            found.extend(first(&Difference::in_stream(name), &part(self), &part(other)));
        }
        found
    }

    /// Less is simpler: fewer requests, then fewer outcomes that are not the simplest, then smaller ones.
    pub(in crate::explore) fn weight(&self) -> (usize, usize, u64) {
        let outcomes = || {
            let single = self.plan.values();
            let parts = self.requests.iter().chain(self.streams.values());
            single.chain(parts.flatten()).map(|outcome| outcome.value).chain([self.seed])
        };
        let bits = |value: u64| u64::from(u64::BITS - value.leading_zeros());
        let chosen = outcomes().filter(|value| *value > 0).count();
        // The bits first, so that halving counts; then the values, so that the least is found.
        let size = outcomes().fold(0_u64, |sum, value| {
            sum.saturating_add((bits(value) << 32) | (value >> bits(value).saturating_sub(16)))
        });
        (self.requests.len(), chosen, size)
    }
}

fn first(place: &str, was: &[Outcome], is: &[Outcome]) -> Option<Difference> {
    let number = (0..was.len().max(is.len())).find(|number| was.get(*number) != is.get(*number))?;
    let (was, is) = (was.get(number).copied(), is.get(number).copied());
    Some(Difference { place: place.to_owned(), number: number + 1, was, is })
}

impl Difference {
    /// The place of a stream.
    pub(in crate::explore) fn in_stream(name: &str) -> String {
        format!("stream `{name}`")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let say =
            |outcome: Option<Outcome>| outcome.map_or("nothing".to_owned(), |outcome| outcome.to_string());
        let (was, is) = (say(self.was), say(self.is));
        write!(f, "draw {} of {}: {was} was drawn then, {is} now", self.number, self.place)
    }
}

/// `3/10`: the outcome 3 of a draw below 10. `3` alone: any bits.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Some(bound) => write!(f, "{}/{bound}", self.value),
            None => write!(f, "{}", self.value),
        }
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no outcome: it must be a number, or a number below a bound as in 3/10");
        let (value, bound) = match text.split_once('/') {
            Some((value, bound)) => (value, Some(bound.parse::<NonZeroU64>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let value = value.parse().map_err(|_| wrong())?;
        if bound.is_some_and(|bound| value >= bound.get()) {
            return Err(wrong());
        }
        Ok(Self { value, bound })
    }
}
