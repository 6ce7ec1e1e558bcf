//! The simulated world: hosts on turmoil's network, faults from a seed, facts for the rules.
//!
//! A run is a function of scenario and seed. [`simulate`] does one, on a thread of its own: some libraries
//! keep chance in thread-local state. The world imitates what is outside of an edge; driver, engine and wire
//! clients are the real ones.

mod blobs;
mod body;
mod catalogue;
mod census;
mod client;
mod disk;
mod edge;
mod life;
mod links;
mod log;
mod medium;
mod origin;
mod panics;
mod planted;
mod schedule;
mod shared_tier;
mod stage;
mod tally;
mod telling;
mod tls;
mod wire;
mod workload;

pub(crate) use census::Figures;
pub(crate) use life::Drawn;
use life::World;
use log::Log;
pub(crate) use log::Record;
pub(crate) use planted::{Planted, WireFault};
pub(crate) use schedule::Episode;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};
pub(crate) use tally::Tallies;
use tiergate_invariants::{Gates, Invariants, Lifetimes, PurgedForGood, UnderGate, Violation};
use tiergate_scenarios::{FaultKind, Scenario};

/// What a run is a function of.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The seed.
    pub seed: u64,
    /// A fault put into the edges on purpose.
    pub plant: Option<Planted>,
    /// How many of the last facts to tell when a rule is broken.
    pub facts: usize,
    /// Of which worlds to tell what happened, draw it, and say what their seed had drawn.
    pub tells: Tells,
    /// Where each edge records what it is told and decides.
    pub record: Option<Arc<Path>>,
}

/// Of which worlds it is told what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Of none: what came of it is all.
    Nothing,
    /// Of one that broke a rule.
    OfBroken,
    /// Of any.
    Always,
}

impl Tells {
    /// Is it told of a world that did, or did not, break a rule?
    fn of(self, is_broken: bool) -> bool {
        self == Self::Always || (self == Self::OfBroken && is_broken)
    }
}

/// Lives one world to its end, or to the first rule that breaks.
pub(crate) fn simulate(order: &Order) -> Record {
    let order = order.clone();
    let run = thread::Builder::new()
        .name(format!("{} {}", order.scenario.name, order.seed))
        .spawn(move || live(&order))
        .expect("the system has threads to spare: one is used for each job");
    run.join().expect("a world's panics are caught on its thread")
}

/// The ids that a scenario's `invariants` may name.
pub(crate) fn rule_ids() -> Vec<&'static str> {
    // C6 needs to know the scenario's lifetimes, so it is none of all worlds' rules.
    let mut ids: Vec<_> = Invariants::all().ids().chain(["C6"]).collect();
    ids.sort_unstable();
    ids
}

/// The rules that a scenario asks for, told what they need to know of its world.
///
/// # Errors
/// The first id that no rule has.
pub(crate) fn rules(scenario: &Scenario) -> Result<Invariants, String> {
    let names = |id: &str| scenario.invariants.as_ref().is_none_or(|ids| ids.iter().any(|other| other == id));
    let mut rules = match &scenario.invariants {
        // C6 is not a rule of every world, so the crate does not know it by its id alone.
        Some(ids) => Invariants::only(&ids.iter().filter(|id| *id != "C6").cloned().collect::<Vec<_>>())?,
        None => Invariants::all(),
    };
    if names("M1") {
        let [l0, l1] = scenario.gates;
        rules = rules.with(UnderGate::new(Gates { l0, l1 }));
    }
    if names("I3") && scenario.objects.date_percent > 0 {
        rules = rules.with(PurgedForGood::with_dates());
    }
    if names("C6") {
        // Beyond this, an edge's client gives up waiting for a head, wherever it is held up.
        let slack = Duration::from_millis(scenario.head_ms_max)
            + Duration::from_millis(scenario.latency_ms.1)
            + apart(scenario);
        let windows = Duration::from_secs(scenario.stale_window_s);
        rules = rules.with(Lifetimes::new(slack, windows));
    }
    Ok(rules)
}

/// How far two calendars of this world may be from each other: ages are told by them.
fn apart(scenario: &Scenario) -> Duration {
    let jumps = |kind| {
        let of_kind = scenario.faults.of(kind).iter();
        of_kind.map(|fault| fault.by_ms.1 * u64::from(fault.times())).sum::<u64>()
    };
    Duration::from_millis(jumps(FaultKind::ClockAhead) + jumps(FaultKind::ClockBack))
}

fn live(order: &Order) -> Record {
    panics::watch();
    let rules = rules(&order.scenario).expect("the scenario's rules were looked up before it was started");
    let log = Arc::new(Log::new(rules));
    let mut simulated = Duration::ZERO;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(order, &log);
        let ended = world.live();
        world.expect();
        simulated = world.elapsed();
        // What hosts do while they are torn down is no part of the run.
        let mut record = log.close(simulated, Some(&world.telling(order)));
        if order.tells.of(record.violation.is_some()) {
            record.drawn = Some(world.drawn());
        }
        (ended, record)
    }));
    let panics = panics::unwatch();
    let (ended, mut record) = match ended {
        Ok((ended, record)) => (ended, record),
        Err(_) => (Ok(()), log.close(simulated, None)),
    };
    let violation = match (panics.first(), ended) {
        (Some(first), _) => Some(("panic", first.clone())),
        (None, Err(error)) => Some(("host", error.to_string())),
        (None, Ok(())) => None,
    };
    if let Some((rule, detail)) = violation {
        // A broken rule that came first tells more than the panic that may have followed from it.
        record.violation.get_or_insert(Violation { rule, detail });
    }
    record
}

#[cfg(test)]
mod tests;
