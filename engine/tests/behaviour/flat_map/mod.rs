//! The engine against a naive map: random requests, versions, purges, restarts and troubles, and every whole
//! answer is one that the map allows; in a calm world, the one that it has. When all is over, nothing is
//! open.
//!
//! The map is in `flat`, the engine with the world around it in `edge`. What it does not check: which tier
//! answers, and how often the origin is asked.

mod edge;
mod flat;

use edge::Edge;
use flat::{Edition, Flat, TARGETS};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest_state_machine::{StateMachineTest, prop_state_machine};
use tiergate_engine::{Prefix, PurgeMode, Selector, Tag};

/// What purges by prefix name: one target begins with it.
const PREFIX: &str = "/a";

/// One step. A place names one of those there are.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Ask {
        target: usize,
        is_slow: bool,
    },
    Publish {
        target: usize,
        edition: Edition,
    },
    PassTime {
        ms: u64,
    },
    /// Often because something was published for all that it covers.
    Purge {
        selector: Selector,
        mode: PurgeMode,
        edition: Option<Edition>,
    },
    Restart,
    /// A slow client takes one chunk.
    Read {
        client: Index,
    },
    Leave {
        client: Index,
    },
    /// From now on it answers when told to, or at once.
    OriginWaits {
        waits: bool,
    },
    OriginAnswers {
        fetch: Index,
        way: OriginWay,
    },
    /// The body that belongs to a head.
    OriginEnds {
        fetch: Index,
        is_whole: bool,
    },
    /// Of the first byte tier, or the last.
    TierTurns {
        first: bool,
        mood: TierMood,
    },
    /// One of the operations that wait there is done.
    TierAnswers {
        first: bool,
        place: Index,
    },
}

/// How the origin answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OriginWay {
    Whole,
    HeadFirst,
    Errs,
    Refuses,
}

/// How a tier answers from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TierMood {
    AtOnce,
    /// When told to, in any order.
    Late,
    Fails,
}

fn tag_of(target: usize) -> String {
    format!("t{target}")
}

fn selector() -> impl Strategy<Value = Selector> {
    let target = 0..TARGETS.len();
    prop_oneof![
        3 => target.clone().prop_map(|target| Selector::Key(crate::rig::key(TARGETS[target]))),
        1 => target.prop_map(|target| Selector::Tag(Tag::new(&tag_of(target)).expect("a letter and a number"))),
        1 => Just(Selector::Prefix(Prefix::new("example", PREFIX).expect("a path"))),
        1 => Just(Selector::All),
    ]
}

fn origin_way() -> impl Strategy<Value = OriginWay> {
    prop_oneof![
        3 => Just(OriginWay::Whole),
        3 => Just(OriginWay::HeadFirst),
        1 => Just(OriginWay::Errs),
        1 => Just(OriginWay::Refuses),
    ]
}

fn tier_mood() -> impl Strategy<Value = TierMood> {
    prop_oneof![Just(TierMood::AtOnce), Just(TierMood::Late), Just(TierMood::Fails)]
}

struct EngineAgainstMap;

impl StateMachineTest for EngineAgainstMap {
    type SystemUnderTest = Edge;
    type Reference = Flat;

    fn init_test(flat: &Flat) -> Edge {
        Edge::new(flat.shape)
    }

    fn apply(edge: Edge, flat: &Flat, step: Step) -> Edge {
        edge.lived(flat, step)
    }

    fn teardown(edge: Edge, flat: Flat) {
        edge.end(&flat);
    }
}

prop_state_machine! {
    // What goes wrong here takes several steps in the right order.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases * 4))]

    /// Whatever is asked of it, and whatever befalls it, the engine answers as the map does.
    #[test]
    fn the_engine_answers_as_a_flat_map_does(sequential 1..100 => EngineAgainstMap);
}
