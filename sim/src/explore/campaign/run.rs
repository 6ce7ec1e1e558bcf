//! One run: from a seed or from given choices to what came of it.

use crate::explore::{
    campaign::tally::Tally,
    case::choices::Choices,
    world::draws::{Draw, DrawSource, Keep},
    world::plan::{Plan, Shape},
    world::profile::Profile,
    world::{Chances, World},
};
use std::{
    any::Any,
    fmt, iter,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tiergate_engine::{Effect, Engine, Event, Fault, Seed, Symbol};
use tiergate_invariants::Violation;

/// One in so many seeds lives its calm lives, too, of so many requests at most.
const SEEDS_FOR_CALM: u64 = 8;
const CALM_REQUESTS_MAX: u32 = 60;

/// How each seed is run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Requests for each seed.
    pub requests: u32,
    /// What kind of life.
    pub profile: Profile,
    /// A fault to plant, in a build that can.
    pub fault: Option<Fault>,
    /// Facts that a failure shows.
    pub facts_kept: usize,
    /// Is a digest taken of all that happens? It costs more than the run itself.
    pub digest: bool,
    /// How engines are drained: it changes nothing, and this is how that is tested.
    pub drain: Drain,
    /// The rules that watch the run.
    pub watch: Watch,
}

impl Run {
    /// So many requests, nothing planted, no digest.
    pub const fn of(requests: u32) -> Self {
        Self {
            requests,
            profile: Profile::Faulty,
            fault: None,
            facts_kept: 60,
            digest: false,
            drain: Drain::EffectsFirst,
            watch: Watch::AllRules,
        }
    }

    /// Every life that a campaign lets a seed live: this one, and for some seeds each calm one.
    pub fn lives_of(self, seed: u64) -> impl Iterator<Item = Self> {
        let is_calm_too = seed.is_multiple_of(SEEDS_FOR_CALM);
        let requests = self.requests.min(CALM_REQUESTS_MAX);
        let calm = Profile::calm().filter(move |_| is_calm_too);
        iter::once(self).chain(calm.map(move |profile| Self { profile, requests, ..self }))
    }
}

/// In which order a driver polls for effects and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// All effects, then all events.
    EffectsFirst,
    /// All events, then all effects.
    EventsFirst,
    /// One of each in turn.
    InTurn,
}

impl Drain {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::EffectsFirst, Self::EventsFirst, Self::InTurn];

    /// Everything that an engine has to say, into the empty `drained`.
    pub(in crate::explore) fn all_of(self, engine: &mut Engine<Symbol>, drained: &mut Drained) {
        let Drained { effects, events } = drained;
        match self {
            Self::EffectsFirst => {
                effects.extend(iter::from_fn(|| engine.poll_effect()));
                events.extend(iter::from_fn(|| engine.poll_event()));
            }
            Self::EventsFirst => {
                events.extend(iter::from_fn(|| engine.poll_event()));
                effects.extend(iter::from_fn(|| engine.poll_effect()));
            }
            Self::InTurn => loop {
                let (effect, event) = (engine.poll_effect(), engine.poll_event());
                if effect.is_none() && event.is_none() {
                    break;
                }
                effects.extend(effect);
                events.extend(event);
                // Asking when to wake is free at any time.
                engine.poll_wake();
            },
        }
    }
}

/// What one input led to.
#[derive(Default)]
pub(in crate::explore) struct Drained {
    pub effects: Vec<Effect<Symbol>>,
    pub events: Vec<Event>,
}

/// Who watches a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Every rule, the contract between engine and driver, and the engine's own audit.
    AllRules,
    /// Nobody: only to tell what watching costs.
    Nobody,
}

/// A seed that broke no rule.
pub struct Passed {
    /// One number for all that happened, if it was asked for: the same seed gives the same one.
    pub digest: Option<u64>,
    /// How many requests ended.
    pub replies: u64,
    pub(in crate::explore) tally: Tally,
}

/// A seed that broke a rule, with all that is needed to see it again.
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The rule, and what was seen.
    pub violation: Violation,
    pub(in crate::explore) run: Run,
    recent: Vec<String>,
}

/// What came of a run.
pub(in crate::explore) struct Lived {
    pub world: World,
    /// What was chosen, where that is kept.
    pub choices: Choices,
    pub broke: Option<Violation>,
}

/// Runs one seed, with a fault planted if one is named.
///
/// # Errors
/// The rule that was broken. A panic of the engine counts as one: it says that an assumption of its own was
/// broken.
pub fn run_seed(seed: u64, run: Run) -> Result<Passed, Box<Failure>> {
    let Lived { world, broke, .. } =
        live(&DrawSource::Seed { seed, requests: run.requests, keep: Keep::Nothing }, run);
    match broke {
        None => Ok(Passed {
            digest: world.history.as_ref().map(|history| history.digest()),
            replies: world.tally.replies,
            tally: world.tally,
        }),
        Some(violation) => Err(Box::new(Failure {
            seed,
            violation,
            run,
            recent: world
                .recent()
                .map(|fact| format!("{:>14} {:?}", fact.at.as_nanos(), fact.what))
                .collect(),
        })),
    }
}

/// What kind of workload a seed is about.
pub(in crate::explore) fn shape_of(seed: u64, requests: u32) -> Shape {
    let draw = Draw::new(&DrawSource::Seed { seed, requests, keep: Keep::Nothing });
    Plan::of(&draw, Seed(seed), requests, Profile::Faulty).work.shape
}

/// Lives one run to its end, or to the first broken rule.
pub(in crate::explore) fn live(source: &DrawSource, run: Run) -> Lived {
    let (seed, requests) = match source {
        DrawSource::Seed { seed, requests, .. } => (*seed, *requests),
        DrawSource::Given(choices) => {
            let requests = u32::try_from(choices.requests.len());
            (choices.seed, requests.expect("more requests than u32 do not fit into memory"))
        }
    };
    let draw = Draw::new(source);
    let profile = run.profile.told(&draw);
    let mut plan = Plan::of(&draw, Seed(seed), requests, profile);
    if let Some(fault) = run.fault {
        plan.config = planted(plan.config, fault);
    }
    let mut world = World::new(plan, Chances::of(source), run);
    let broke = catch_unwind(AssertUnwindSafe(|| world.run()))
        .unwrap_or_else(|panic| Err(Violation { rule: "panic", detail: panic_text(&*panic) }))
        .err();
    let choices = Choices {
        seed,
        plan: draw.kept(),
        requests: world.chances.requests.kept(),
        streams: world.chances.kept(),
    };
    Lived { world, choices, broke }
}

#[cfg(feature = "plant")]
fn planted(config: tiergate_engine::Config, fault: Fault) -> tiergate_engine::Config {
    config.with_fault(fault)
}

#[cfg(not(feature = "plant"))]
fn planted(_config: tiergate_engine::Config, fault: Fault) -> tiergate_engine::Config {
    unreachable!(
        "{fault:?} can be planted only in a build with the feature `plant`, and nothing else asks for it"
    )
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the last facts:")?;
        for fact in &self.recent {
            writeln!(f, "  {fact}")?;
        }
        writeln!(f, "seed {} broke {}", self.seed, self.violation)?;
        match self.run.fault {
            None => write!(
                f,
                "again: tiergate-sim explore --seed {} --seeds 1 --requests {}",
                self.seed, self.run.requests
            ),
            Some(fault) => write!(
                f,
                "again: tiergate-sim prove --plant {} --seed {} --requests {} --show",
                fault.as_str(),
                self.seed,
                self.run.requests
            ),
        }
    }
}
