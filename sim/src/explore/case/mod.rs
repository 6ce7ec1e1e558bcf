//! A case: one run as a file. It holds all that was chosen, the rule that broke, and marks of all that
//! happened, so it replays to the byte, and where it does not any more it says since when.

pub(in crate::explore) mod cases;
pub(in crate::explore) mod choices;
pub(in crate::explore) mod history;
pub(in crate::explore) mod shrink;

use crate::explore::{
    campaign::run::{Lived, Run, live},
    case::choices::{Choices, Difference, Outcome},
    world::World,
    world::draws::{DrawSource, Keep},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};
use tiergate_engine::Fault;
use tiergate_invariants::Violation;

/// The version of the file's format.
const FORMAT: u32 = 1;
/// Marks in one file, at most. A longer run has one for every so many steps.
const MARKS_MAX: usize = 1_000;

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(in crate::explore) fault: Option<Fault>,
    pub(in crate::explore) choices: Choices,
    /// The rule that broke, and what was seen.
    pub(in crate::explore) broke: Option<(String, String)>,
    digest: u64,
    marks: Vec<CaseMark>,
}

/// What all that happened before a step comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CaseMark {
    /// Which step, the first being 0.
    step: usize,
    nanos: u64,
    digest: u64,
    /// How much was drawn from each stream before it, in the order of their names. Not in the file.
    drawn: Vec<usize>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseError {
    /// It is not a case: see where it is no JSON, or lacks a field.
    Unreadable(String),
    /// It was written by another version of this program.
    Format(u32),
    /// One field has an impossible value.
    Field {
        /// The name of the field.
        field: String,
        /// Its value, and what it must be.
        why: String,
    },
    /// It needs a build with the feature `plant`.
    Unplantable(Fault),
}

/// A replay that is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The first draw that came otherwise, with its step and time; none if all were the same.
    draw: Option<(Difference, Option<Moment>)>,
    /// The last moment until which all was the same, and the first at which it was not.
    history: Option<(Option<Moment>, Moment)>,
    /// The rules that broke then and now.
    rules: Option<(String, String)>,
}

/// A step and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    step: usize,
    nanos: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    format: u32,
    fault: Option<String>,
    rule: Option<String>,
    seen: Option<String>,
    digest: String,
    seed: u64,
    plan: BTreeMap<String, String>,
    requests: Vec<String>,
    streams: BTreeMap<String, String>,
    marks: Vec<String>,
}

impl Case {
    /// What a seed comes to.
    pub fn of_seed(seed: u64, run: Run) -> Self {
        Self::lived(&DrawSource::Seed { seed, requests: run.requests, keep: Keep::Outcomes }, run).0
    }

    /// What these choices come to.
    pub(in crate::explore) fn of_choices(choices: Choices, fault: Option<Fault>) -> Self {
        Self::lived(&DrawSource::Given(choices), Run { fault, ..Run::of(0) }).0
    }

    /// The same choices, lived again: what comes of them now, and all that happened.
    pub(in crate::explore) fn again(&self) -> (Self, World) {
        let run = Run { fault: self.fault, facts_kept: usize::MAX, ..Run::of(0) };
        Self::lived(&DrawSource::Given(self.choices.clone()), run)
    }

    /// Lives the case again, and says whether all happened as it was recorded.
    ///
    /// # Errors
    /// Since when it did not.
    pub fn replay(&self) -> Result<(), Box<Divergence>> {
        self.compare(&self.again().0)
    }

    /// Is the other run the same?
    ///
    /// # Errors
    /// Since when it is not.
    pub fn compare(&self, now: &Self) -> Result<(), Box<Divergence>> {
        let mut same = None;
        let mut differs = None;
        for mark in &self.marks {
            match now.marks.get(now.marks.partition_point(|other| other.step < mark.step)) {
                Some(other)
                    if (other.step, other.nanos, other.digest) == (mark.step, mark.nanos, mark.digest) =>
                {
                    same = Some(mark.moment());
                }
                Some(_) | None => {
                    differs = Some(mark.moment());
                    break;
                }
            }
        }
        let end = || now.marks.last().map_or(Moment { step: 0, nanos: 0 }, CaseMark::moment);
        let differs = differs.or_else(|| (self.digest != now.digest).then(end));
        let draws = self.choices.differences(&now.choices).into_iter();
        let draw = draws.map(|draw| (now.moment_of(&draw), draw)).min_by_key(|(moment, _)| *moment);
        let rule = |case: &Self| case.broke.as_ref().map_or("no rule".to_owned(), |(rule, _)| rule.clone());
        let rules = (self.broke != now.broke).then(|| (rule(self), rule(now)));
        if differs.is_none() && draw.is_none() && rules.is_none() {
            return Ok(());
        }
        let draw = draw.map(|(moment, draw)| (draw, moment));
        Err(Box::new(Divergence { draw, history: differs.map(|differs| (same, differs)), rules }))
    }

    /// In which step a draw of a stream was made, and when; none: before the first step.
    fn moment_of(&self, draw: &Difference) -> Option<Moment> {
        let place = self.choices.streams.keys().position(|name| draw.place == Difference::in_stream(name))?;
        let is_later = |mark: &&CaseMark| mark.drawn.get(place).is_some_and(|drawn| *drawn >= draw.number);
        let next = self.marks.iter().position(|mark| is_later(&mark)).unwrap_or(self.marks.len());
        self.marks.get(next.checked_sub(1)?).map(CaseMark::moment)
    }

    fn lived(source: &DrawSource, run: Run) -> (Self, World) {
        let Lived { world, choices, broke } = live(source, Run { digest: true, ..run });
        let history = world.history.as_ref().expect("it was asked for");
        let case = Self {
            fault: run.fault,
            choices,
            broke: broke.map(|Violation { rule, detail }| (rule.to_owned(), detail)),
            digest: history.digest(),
            marks: (0..)
                .zip(history.marks())
                .map(|(step, mark)| CaseMark {
                    step,
                    nanos: mark.at.as_nanos(),
                    digest: mark.digest,
                    drawn: mark.drawn.clone(),
                })
                .collect(),
        };
        (case, world)
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let line =
            |outcomes: &[Outcome]| outcomes.iter().map(Outcome::to_string).collect::<Vec<_>>().join(" ");
        let every = self.marks.len().div_ceil(MARKS_MAX).max(1);
        let raw = RawCase {
            format: FORMAT,
            fault: self.fault.map(|fault| fault.as_str().to_owned()),
            rule: self.broke.as_ref().map(|(rule, _)| rule.clone()),
            seen: self.broke.as_ref().map(|(_, seen)| seen.clone()),
            digest: format!("{:016x}", self.digest),
            seed: self.choices.seed,
            plan: self.choices.plan.iter().map(|(name, one)| (name.clone(), one.to_string())).collect(),
            requests: self.choices.requests.iter().map(|part| line(part)).collect(),
            streams: self.choices.streams.iter().map(|(name, part)| (name.clone(), line(part))).collect(),
            marks: self
                .marks
                .iter()
                .step_by(every)
                .map(|mark| format!("{} {} {:016x}", mark.step, mark.nanos, mark.digest))
                .collect(),
        };
        let mut text = serde_json::to_string_pretty(&raw).expect("text and numbers are valid JSON");
        text.push('\n');
        text
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_text(text: &str) -> Result<Self, CaseError> {
        let raw: RawCase =
            serde_json::from_str(text).map_err(|error| CaseError::Unreadable(error.to_string()))?;
        if raw.format != FORMAT {
            return Err(CaseError::Format(raw.format));
        }
        let wrong = |field: &str, why: String| CaseError::Field { field: field.to_owned(), why };
        let fault =
            raw.fault.map(|name| named(&name).ok_or_else(|| wrong("fault", unknown(&name)))).transpose()?;
        if let Some(fault) = fault.filter(|_| cfg!(not(feature = "plant"))) {
            return Err(CaseError::Unplantable(fault));
        }
        let part = |field: &str, text: &str| {
            let outcomes = text.split_whitespace().map(str::parse).collect::<Result<Vec<Outcome>, _>>();
            outcomes.map_err(|why| wrong(field, why))
        };
        let one = |name: String, text: String| match text.parse() {
            Ok(outcome) => Ok((name, outcome)),
            Err(why) => Err(wrong(&format!("plan.{name}"), why)),
        };
        let stream =
            |name: String, text: String| Ok((name.clone(), part(&format!("streams.{name}"), &text)?));
        Ok(Self {
            fault,
            choices: Choices {
                seed: raw.seed,
                plan: raw.plan.into_iter().map(|(name, text)| one(name, text)).collect::<Result<_, _>>()?,
                requests: raw.requests.iter().map(|text| part("requests", text)).collect::<Result<_, _>>()?,
                streams: raw
                    .streams
                    .into_iter()
                    .map(|(name, text)| stream(name, text))
                    .collect::<Result<_, _>>()?,
            },
            broke: raw.rule.zip(raw.seen),
            digest: hash(&raw.digest).ok_or_else(|| wrong("digest", not_a_hash(&raw.digest)))?,
            marks: raw
                .marks
                .iter()
                .map(|text| CaseMark::of_text(text).ok_or_else(|| wrong("marks", not_a_mark(text))))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The rule that broke.
    pub fn rule(&self) -> Option<&str> {
        self.broke.as_ref().map(|(rule, _)| rule.as_str())
    }

    /// One number for all that happened.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many requests it makes.
    pub fn requests(&self) -> usize {
        self.choices.requests.len()
    }

    /// How many steps it takes.
    pub(in crate::explore) fn steps(&self) -> usize {
        self.marks.last().map_or(0, |mark| mark.step + 1)
    }
}

impl CaseMark {
    fn moment(&self) -> Moment {
        Moment { step: self.step, nanos: self.nanos }
    }

    fn of_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (step, nanos) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let digest = hash(words.next()?)?;
        words.next().is_none().then_some(Self { step, nanos, digest, drawn: Vec::new() })
    }
}

fn hash(text: &str) -> Option<u64> {
    if text.len() == 16 { u64::from_str_radix(text, 16).ok() } else { None }
}

fn named(name: &str) -> Option<Fault> {
    Fault::ALL.into_iter().find(|fault| fault.as_str() == name)
}

fn unknown(name: &str) -> String {
    format!("is {name:?}, but must be one of {}", Fault::ALL.map(Fault::as_str).join(", "))
}

fn not_a_hash(text: &str) -> String {
    format!("is {text:?}, but must be sixteen digits of base sixteen")
}

fn not_a_mark(text: &str) -> String {
    format!("has {text:?}, but must have a step, its time in nanoseconds and a digest")
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it is not a case: {why}"),
            Self::Format(found) => write!(f, "`format` is {found}, but this program reads {FORMAT}"),
            Self::Field { field, why } => write!(f, "`{field}` {why}"),
            Self::Unplantable(fault) => write!(
                f,
                "`fault` is {}, and this build plants none: build it with `--features plant`",
                fault.as_str()
            ),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} at {:.9} s", self.step, self.nanos as f64 / 1e9)
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((draw, moment)) = &self.draw {
            let moment = moment.map_or("before the first step".to_owned(), |moment| format!("in {moment}"));
            writeln!(f, "{draw}, {moment}")?;
        }
        if let Some((same, differs)) = &self.history {
            let same = same.map_or("from the start".to_owned(), |same| format!("after {same}"));
            writeln!(f, "what happened differs {same}, by {differs}")?;
        }
        if let Some((then, now)) = &self.rules {
            writeln!(f, "then {then} was broken, and now {now}, or it was seen otherwise")?;
        }
        Ok(())
    }
}
