//! Shrink: the same broken rule, with fewer requests, fewer faults and smaller numbers.
//!
//! A candidate is a list of choices with something left out or lowered. It is run; if the same rule breaks,
//! and what was then really chosen is less, it is the new best. Passes follow one another until none finds
//! anything, so the end is a function of the case alone unless the budget ends first. It is the least that
//! these passes reach, not the least there is.

use crate::explore::{
    campaign::run::{Lived, Run, live},
    case::Case,
    case::choices::{Choices, Outcome},
    world::draws::DrawSource,
};
use std::time::{Duration, Instant};
use tiergate_engine::Fault;

/// Which outcome of a request says how long after the one before it comes, unless it comes with that one.
const WAIT: usize = 2;
/// How much of one stream is tried as what a request drew from it.
const DRAWS_OF_A_REQUEST_MAX: usize = 24;

/// When to stop before nothing is left to do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Runs, at most.
    pub attempts: u64,
    /// And so long, about.
    pub time: Option<Duration>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Runs so far.
    pub attempts: u64,
    /// Requests in the least case so far.
    pub requests: usize,
    /// Outcomes in it that are not the simplest.
    pub chosen: usize,
}

/// What came of it.
pub struct Shrunk {
    /// The least case.
    pub case: Case,
    /// Runs that it took.
    pub attempts: u64,
    /// Did the budget end it?
    pub is_cut_short: bool,
}

/// Shrinks a case that broke a rule; one that broke none stays as it is.
pub fn shrink(case: &Case, budget: Budget, on_progress: impl FnMut(&Progress)) -> Shrunk {
    let Some((rule, seen)) = case.broke.clone() else {
        return Shrunk { case: case.clone(), attempts: 0, is_cut_short: false };
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the budget is the user's patience; it ends the search and is no part of any run"
    )]
    let deadline = budget.time.map(|time| Instant::now() + time);
    let mut search = Search {
        fault: case.fault,
        rule,
        kind: kind_of(&seen),
        best: case.choices.clone(),
        attempts: 0,
        attempts_max: budget.attempts,
        deadline,
        on_progress,
    };
    while !search.is_over() && search.round() {}
    let (is_cut_short, attempts) = (search.is_over(), search.attempts);
    Shrunk { case: Case::of_choices(search.best, case.fault), attempts, is_cut_short }
}

/// Of a panic, which: its text up to the first number. Two panics are seldom the same fault.
fn kind_of(seen: &str) -> String {
    seen.chars().take_while(|letter| !letter.is_ascii_digit() && *letter != ':').collect()
}

struct Search<F> {
    fault: Option<Fault>,
    rule: String,
    kind: String,
    best: Choices,
    attempts: u64,
    attempts_max: u64,
    deadline: Option<Instant>,
    on_progress: F,
}

/// A list of outcomes among the choices.
#[derive(Clone, Debug)]
enum Part {
    Request(usize),
    Stream(String),
}

impl Choices {
    fn part(&self, part: &Part) -> &[Outcome] {
        match part {
            Part::Request(number) => self.requests.get(*number).map_or(&[], Vec::as_slice),
            Part::Stream(name) => self.streams.get(name).map_or(&[], Vec::as_slice),
        }
    }

    fn part_mut(&mut self, part: &Part) -> Option<&mut Vec<Outcome>> {
        match part {
            Part::Request(number) => self.requests.get_mut(*number),
            Part::Stream(name) => self.streams.get_mut(name),
        }
    }

    fn parts(&self) -> Vec<Part> {
        let streams = self.streams.keys().cloned().map(Part::Stream);
        streams.chain((0..self.requests.len()).map(Part::Request)).collect()
    }
}

impl<F: FnMut(&Progress)> Search<F> {
    /// Every pass once. Did one find anything?
    fn round(&mut self) -> bool {
        let before = self.best.weight();
        self.drop_requests();
        self.zero_plan();
        self.zero_parts();
        self.delete_from_streams();
        self.lower();
        self.best.weight() < before
    }

    fn is_over(&self) -> bool {
        #[expect(
            clippy::disallowed_methods,
            reason = "the budget is the user's patience, and no part of any run"
        )]
        let is_late = || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.attempts >= self.attempts_max || is_late()
    }

    /// Runs a candidate, and keeps what was really chosen if that is less and breaks the same rule.
    fn attempt(&mut self, candidate: Choices) -> bool {
        if candidate.weight() >= self.best.weight() || self.is_over() {
            return false;
        }
        self.attempts += 1;
        let Lived { choices, broke, .. } =
            live(&DrawSource::Given(candidate), Run { fault: self.fault, facts_kept: 0, ..Run::of(0) });
        let is_same = broke.is_some_and(|violation| {
            violation.rule == self.rule
                && (violation.rule != "panic" || kind_of(&violation.detail) == self.kind)
        });
        let is_less = is_same && choices.weight() < self.best.weight();
        if is_less {
            self.best = choices;
        }
        let (requests, chosen, _) = self.best.weight();
        (self.on_progress)(&Progress { attempts: self.attempts, requests, chosen });
        is_less
    }

    fn attempt_with(&mut self, change: impl FnOnce(&mut Choices)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.attempt(candidate)
    }

    /// Requests, in runs of halving length, the last ones first.
    fn drop_requests(&mut self) {
        let mut size = self.best.requests.len();
        while size > 0 {
            let mut end = self.best.requests.len();
            while end > 0 {
                let start = end.saturating_sub(size);
                self.attempt_with(|choices| drop(choices.requests.drain(start..end)));
                end = start.min(self.best.requests.len());
            }
            size /= 2;
        }
        for number in (0..self.best.requests.len()).rev() {
            self.drop_request(number);
        }
    }

    /// One request, and what keeps the others as they were: the next one waits that much longer, and the
    /// streams lose what this one may have drawn before whatever else was chosen there.
    fn drop_request(&mut self, number: usize) {
        let Some(dropped) = self.best.requests.get(number).cloned() else { return };
        let drop = |choices: &mut Choices, waits: bool| {
            choices.requests.remove(number);
            if waits
                && let Some(wait) = choices.requests.get_mut(number).and_then(|next| next.get_mut(WAIT))
                && let Some(more) = dropped.get(WAIT)
            {
                let most = wait.bound.map_or(u64::MAX, |bound| bound.get() - 1);
                wait.value = wait.value.saturating_add(more.value).saturating_add(1).min(most);
            }
        };
        if self.attempt_with(|choices| drop(choices, false))
            || self.attempt_with(|choices| drop(choices, true))
        {
            return;
        }
        for name in self.best.streams.keys().cloned().collect::<Vec<_>>() {
            let first = chosen(&self.best.streams[&name]).first().copied().unwrap_or(0);
            for count in 1..=first.min(DRAWS_OF_A_REQUEST_MAX) {
                for waits in [false, true] {
                    let is_less = self.attempt_with(|choices| {
                        drop(choices, waits);
                        let stream =
                            choices.streams.get_mut(&name).expect("every stream is named in all choices");
                        stream.drain(first - count..first);
                    });
                    if is_less {
                        return;
                    }
                }
            }
        }
    }

    /// What was chosen before the first step, in runs of halving length; then the seed.
    fn zero_plan(&mut self) {
        let mut size = self.best.plan.len();
        while size > 0 {
            let names: Vec<String> = self.best.plan.keys().cloned().collect();
            for some in names.chunks(size) {
                self.attempt_with(|choices| choices.plan.retain(|name, _| !some.contains(name)));
            }
            size /= 2;
        }
        self.attempt_with(|choices| choices.seed = 0);
    }

    /// The outcomes of each part that are not the simplest, in runs of halving length.
    fn zero_parts(&mut self) {
        for part in self.best.parts() {
            let mut size = chosen(self.best.part(&part)).len();
            while size > 0 {
                let mut end = chosen(self.best.part(&part)).len();
                while end > 0 {
                    let places = chosen(self.best.part(&part));
                    end = end.min(places.len());
                    let start = end.saturating_sub(size);
                    self.attempt_with(|choices| {
                        let Some(outcomes) = choices.part_mut(&part) else { return };
                        for place in &places[start..end] {
                            outcomes[*place].value = 0;
                        }
                    });
                    end = start;
                }
                size /= 2;
            }
        }
    }

    /// Outcomes that are not the simplest, with those around them, so that what follows moves up.
    fn delete_from_streams(&mut self) {
        for name in self.best.streams.keys().cloned().collect::<Vec<_>>() {
            let part = Part::Stream(name);
            let mut size = self.best.part(&part).len() / 2;
            while size > 0 {
                let mut end = self.best.part(&part).len();
                while end > 0 {
                    let outcomes = self.best.part(&part);
                    end = end.min(outcomes.len());
                    let start = end.saturating_sub(size);
                    if !chosen(&outcomes[start..end]).is_empty() {
                        self.attempt_with(|choices| {
                            let outcomes = choices.part_mut(&part);
                            outcomes.expect("every stream is named in all choices").drain(start..end);
                        });
                    }
                    end = start;
                }
                size /= 2;
            }
        }
    }

    /// Each number that is not the simplest, by bisection.
    fn lower(&mut self) {
        for name in self.best.plan.keys().cloned().collect::<Vec<_>>() {
            let value = self.best.plan.get(&name).map_or(0, |outcome| outcome.value);
            self.bisect(value, |choices, lower| {
                if let Some(outcome) = choices.plan.get_mut(&name) {
                    outcome.value = lower;
                }
            });
        }
        for part in self.best.parts() {
            for place in chosen(self.best.part(&part)) {
                let value = self.best.part(&part).get(place).map_or(0, |outcome| outcome.value);
                self.bisect(value, |choices, lower| {
                    if let Some(outcome) = choices.part_mut(&part).and_then(|part| part.get_mut(place)) {
                        outcome.value = lower;
                    }
                });
            }
        }
    }

    fn bisect(&mut self, value: u64, set: impl Fn(&mut Choices, u64)) {
        let (mut too_low, mut good) = (0, value);
        while good > too_low + 1 && !self.is_over() {
            let middle = too_low + (good - too_low) / 2;
            if self.attempt_with(|choices| set(choices, middle)) {
                good = middle;
            } else {
                too_low = middle;
            }
        }
    }
}

/// Where outcomes are not the simplest.
fn chosen(outcomes: &[Outcome]) -> Vec<usize> {
    outcomes.iter().enumerate().filter(|(_, outcome)| outcome.value > 0).map(|(place, _)| place).collect()
}
