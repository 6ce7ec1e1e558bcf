//! The purge feed on every interleaving of two edges and a few purges.
//!
//! The feeds are the real ones of `engine/src/feed`; imitated are the log and the network between: answers
//! get lost, appends are done late or twice, edges crash, the log is trimmed, the clock ticks between any two
//! steps. Small budgets: what is proven is proven for these; `engine/src/feed/tests.rs` draws longer stories
//! at random. The last test plants faults and wants them found, so that the net is known to hold.

mod world;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use tiergate_engine::feed::FeedAsk;
use world::{Broken, World};

/// What one model tries.
#[derive(Clone, Debug)]
struct Setup {
    budget: Budget,
    plant: Option<Plant>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    purges: u8,
    ticks: u8,
    /// Answers that are lost.
    losses: u8,
    /// Appends that are done twice.
    repeats: u8,
    crashes: u8,
    trims: u8,
}

/// A fault put between the feeds and their world. None needs a switch in the feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    /// A read shows the log as it was a lease before, as would a lease that is counted from long after the
    /// read.
    ReadsLag,
    /// An edge that is told of a gap does nothing about it.
    GapIsIgnored,
    /// The log takes an append that it has for a new one.
    AppendsAreNotRecognised,
    /// An append that has no answer is told as done.
    LostAppendsAreAcknowledged,
    /// An edge serves whether or not its lease holds.
    LeaseIsIgnored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Purge(usize),
    /// The log does what a parcel asks.
    Execute(usize),
    /// It does so, and will do so again.
    ExecuteTwice(usize),
    /// The answer arrives.
    Hear(usize),
    /// The question or its answer is lost, and told as failed.
    Lose(usize),
    Crash(usize),
    Trim,
    Tick,
}

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let budget = world.budget;
        for edge in 0..world.edges.len() {
            if budget.purges > 0 {
                actions.push(Action::Purge(edge));
            }
            if budget.crashes > 0 {
                actions.push(Action::Crash(edge));
            }
        }
        for (n, parcel) in world.parcels.iter().enumerate() {
            if parcel.told.is_some() {
                actions.push(Action::Hear(n));
            } else {
                actions.push(Action::Execute(n));
                if budget.repeats > 0 && matches!(parcel.ask, FeedAsk::Append { .. }) {
                    actions.push(Action::ExecuteTwice(n));
                }
            }
            if budget.losses > 0 {
                actions.push(Action::Lose(n));
            }
        }
        if budget.trims > 0 && world.may_trim() {
            actions.push(Action::Trim);
        }
        if budget.ticks > 0 {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        let budget = &mut world.budget;
        match action {
            Action::Purge(edge) => {
                budget.purges -= 1;
                world.purge(edge);
            }
            Action::Execute(n) => world.execute(n, self.plant),
            Action::ExecuteTwice(n) => {
                budget.repeats -= 1;
                world.repeat(n);
                world.execute(n, self.plant);
            }
            Action::Hear(n) => world.hear(n),
            Action::Lose(n) => {
                budget.losses -= 1;
                world.lose(n, self.plant);
            }
            Action::Crash(edge) => {
                budget.crashes -= 1;
                world.crash(edge);
            }
            Action::Trim => {
                budget.trims -= 1;
                world.trim();
            }
            Action::Tick => {
                budget.ticks -= 1;
                world.tick();
            }
        }
        world.settle(self.plant);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(BOUND, |_, world: &World| world.broken != Some(Broken::Bound)),
            Property::always(ONCE, |_, world: &World| world.broken != Some(Broken::Once)),
            Property::always(IN_THE_LOG, |_, world: &World| world.broken != Some(Broken::NotInTheLog)),
            Property::always(ANSWERED, |_, world: &World| world.broken != Some(Broken::NotAnswered)),
            Property::sometimes("the other edge applies a purge", |_, world: &World| world.seen.is_read),
        ];
        let budget = self.budget;
        if budget.losses > 0 {
            properties.push(Property::sometimes("an append is read back", |_, world: &World| {
                world.seen.is_read_back
            }));
        }
        if budget.ticks > 2 {
            let lost = |_: &Self, world: &World| world.seen.is_lost;
            properties.push(Property::sometimes("a lease is lost", lost));
        }
        if budget.trims > 0 {
            let gap = |_: &Self, world: &World| world.seen.is_gap;
            properties.push(Property::sometimes("a gap is told", gap));
        }
        properties
    }
}

const BOUND: &str = "no edge that serves lacks what was appended a lease ago";
const ONCE: &str = "each notice is applied once in a life, in order";
const IN_THE_LOG: &str = "what is acknowledged is in the log";
const ANSWERED: &str = "every purge is answered once, within a lease";

const CALM: Budget = Budget { purges: 1, ticks: 2, losses: 0, repeats: 0, crashes: 0, trims: 0 };

/// Everything holds, in as many different states as there are at least.
#[track_caller]
fn holds(budget: Budget) {
    let checker = Setup { budget, plant: None }.checker().spawn_bfs().join();
    println!("{} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    let discoveries = checker.discoveries();
    for property in checker.model().properties() {
        match (property.expectation, discoveries.get(property.name)) {
            (Expectation::Always, None) | (Expectation::Sometimes, Some(_)) => {}
            (Expectation::Always, Some(path)) => {
                panic!("`{}` is broken by {:#?}", property.name, path.clone().into_actions());
            }
            (Expectation::Sometimes, None) => panic!("`{}` never happened", property.name),
            (Expectation::Eventually, _) => unreachable!("no such rule here"),
        }
    }
}

/// The planted fault breaks this rule, and the feeds without it do not.
#[track_caller]
fn finds(plant: Plant, rule: &'static str, budget: Budget) {
    let planted = Setup { plant: Some(plant), budget };
    let found = HasDiscoveries::AnyOf([rule].into());
    let checker = planted.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(rule);
    println!("{plant:?} found after {} states: {:?}", checker.unique_state_count(), path.into_actions());
}

/// One purge, lost answers and more time than a lease has.
#[test]
fn the_bound_holds_while_answers_are_lost() {
    holds(Budget { ticks: 3, losses: 1, ..CALM });
}

/// Two purges, of one edge or both, one append done twice.
#[test]
fn two_purges_are_applied_once_each() {
    holds(Budget { purges: 2, ticks: 1, repeats: 1, ..CALM });
}

/// An edge begins anew, with the log trimmed meanwhile.
#[test]
fn a_crash_and_a_trimmed_log_hide_nothing() {
    holds(Budget { ticks: 1, crashes: 1, trims: 1, ..CALM });
}

/// Each fault breaks the rule that it should, on the same feeds.
#[test]
fn planted_faults_are_found() {
    let budget = Budget { ticks: 4, ..CALM };
    finds(Plant::ReadsLag, BOUND, budget);
    finds(Plant::LeaseIsIgnored, BOUND, budget);
    finds(Plant::GapIsIgnored, BOUND, Budget { crashes: 1, trims: 1, ..budget });
    finds(Plant::AppendsAreNotRecognised, ONCE, Budget { repeats: 1, ..budget });
    finds(Plant::LostAppendsAreAcknowledged, IN_THE_LOG, Budget { losses: 1, ..budget });
}
