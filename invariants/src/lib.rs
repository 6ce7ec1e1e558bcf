//! The rules of Tiergate, one small file each, checked against facts that anybody outside the engine could
//! see.
//!
//! Start at [`Invariants`]: it holds every rule and shows each [`Fact`] to all of them. Rules that
//! `tiergate-sim` names and no file here holds are checked by the world of `explore` itself, which knows what
//! no event tells.
//!
//! | id | where it is held |
//! |---|---|
//! | M1, M2 | `m1.rs` |
//! | M3 | `m3.rs`; that a full lane holds nobody up: behaviour `t5_…` |
//! | M4 | `m4.rs`; the lengths of what is committed: the tiers of `explore` |
//! | M5, I8 | `m5.rs`, and the engine's own audit |
//! | M6 | `m6.rs`; one chunk for each demand: `i13.rs` |
//! | C1 | `c1.rs`; that everything is answered after healing: the clients of `explore` |
//! | C2 | `c2.rs` |
//! | C3 | the stores of `explore` (`simulated_l3.rs`), `durable_model` |
//! | C4 | `c4.rs` |
//! | C5, I1, I2 | `c5.rs`; heads, parts and variants: the clients of `explore` |
//! | C6, I4 | `c6.rs`; each window to its last moment: the clients of `explore` (`fresh.rs`) |
//! | C7, I3 | `c7.rs`, `i3.rs`; soft purges: clients of `explore` (`fresh.rs`); feed: `remote_purges.rs` |
//! | C8 | `c8.rs` |
//! | CON1 | `con1.rs`, the stores of `explore`, `durable_model` |
//! | CON2, CON3, CON4 | behaviour `residence.rs`, `bodies.rs`, `promotion.rs` |
//! | CON5, I5 | `con5.rs` |
//! | CON6, I12, L1, L2 | `con6.rs`, and what the world of `explore` still holds in the end |
//! | CON7 | `con7.rs` |
//! | P1 | `engine/tests/fast_path_allocates_nothing.rs` |
//! | P2 | behaviour `promotion.rs`, `gates.rs` |
//! | P3 | `p3.rs` |
//! | D1, D2, D3, I9 | the stores of `explore`, `durable_model`, behaviour `durable.rs` |
//! | D4, I10 | `sim/tests/disk.rs`; for what an edge serves after a crash: `c5.rs`, `c6.rs`, `c7.rs` |
//! | D5 | `sim/tests/disk.rs` |
//! | O1 | `o1.rs`; that no stream is left open: the origin of `explore` |
//! | O2 | `o2.rs` |
//! | I6 | `i6.rs`, `con6.rs` |
//! | I7 | `i7.rs`; bytes: `m1.rs`, `m3.rs`, `m5.rs`, `m6.rs` |
//! | I11 | `i11.rs` |
//! | I13 | `i13.rs` |
//! | I14 | `i14.rs` |
//! | I15 | `i15.rs`; `Retry-After`: the origin of `explore` |
//! | L3, L4 | the end of `explore`: what can be kept is kept, orphans go, breakers resolve (`o2.rs`) |
//! | L5 | D1 in `explore`: what is not stored says why |

mod c1;
mod c2;
mod c4;
mod c5;
mod c6;
mod c7;
mod c8;
mod con1;
mod con5;
mod con6;
mod con7;
mod fact;
#[cfg(test)]
mod history;
mod i11;
mod i13;
mod i14;
mod i15;
mod i3;
mod i6;
mod i7;
mod m1;
mod m3;
mod m4;
mod m5;
mod m6;
mod o1;
mod o2;
mod p3;
mod promise;
mod readers;

pub use c1::NoTierFails;
pub use c2::HitsFirst;
pub use c4::DroppedReaders;
pub use c5::WholeBodies;
pub use c6::Lifetimes;
pub use c7::{NoResurrection, Sharing};
pub use c8::OnlyStorable;
pub use con1::OneWinner;
pub use con5::OneFetch;
pub use con6::EverythingEnds;
pub use con7::AloneForAReason;
pub use i3::PurgedForGood;
pub use i6::OneVerdict;
pub use i7::Limits;
pub use i11::NewerStays;
pub use i13::Contract;
pub use i14::Accounting;
pub use i15::Retries;
pub use m1::{Gates, UnderGate};
pub use m3::BoundedLanes;
pub use m4::DroppedLanes;
pub use m5::ExactAccounts;
pub use m6::BoundedStreams;
pub use o1::Abandoned;
pub use o2::Breakers;
pub use p3::WantedCopies;

pub use promise::promise;

pub use fact::{Edge, Fact, Got, Span, Version, What};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's id in the catalogue, such as `C5`.
    pub rule: &'static str,
    /// What was seen, in a sentence.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

/// One rule.
pub trait Invariant: Send {
    /// Its id in the catalogue.
    fn id(&self) -> &'static str;
    /// Looks at one fact.
    ///
    /// # Errors
    /// The rule is broken.
    fn observe(&mut self, fact: &Fact) -> Result<(), Violation>;
}

/// Every rule of the catalogue, or some of them.
pub struct Invariants(Vec<Box<dyn Invariant>>);

impl Invariants {
    /// Every rule that holds in every world, with M1, M3, M6, I7, I15, CON7, O1, O2 and P3 allowing whatever
    /// any configuration does until they are told theirs.
    pub fn all() -> Self {
        Self(vec![
            Box::new(NoTierFails::default()),
            Box::new(HitsFirst::default()),
            Box::new(DroppedReaders::default()),
            Box::new(WholeBodies::default()),
            Box::new(NoResurrection::default()),
            Box::new(OnlyStorable::default()),
            Box::new(OneWinner::default()),
            Box::new(OneFetch::default()),
            Box::new(EverythingEnds::default()),
            Box::new(AloneForAReason::default()),
            Box::new(PurgedForGood::default()),
            Box::new(OneVerdict::default()),
            Box::new(Limits::default()),
            Box::new(NewerStays::default()),
            Box::new(Accounting::default()),
            Box::new(Retries::default()),
            Box::new(UnderGate::default()),
            Box::new(BoundedLanes::default()),
            Box::new(DroppedLanes::default()),
            Box::new(ExactAccounts::default()),
            Box::new(BoundedStreams::default()),
            Box::new(Abandoned::default()),
            Box::new(Breakers::default()),
            Box::new(WantedCopies::default()),
        ])
    }

    /// These rules and one more, in place of any with its id: M1 with its gates, or C6 where the world knows
    /// its bound.
    pub fn with(mut self, rule: impl Invariant + 'static) -> Self {
        self.0.retain(|other| other.id() != rule.id());
        self.0.push(Box::new(rule));
        self
    }

    /// The ids of these rules.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|rule| rule.id())
    }

    /// The rules with these ids.
    ///
    /// # Errors
    /// The first id that no rule has.
    pub fn only(ids: &[String]) -> Result<Self, String> {
        let mut chosen = Self::all();
        if let Some(unknown) = ids.iter().find(|id| chosen.0.iter().all(|rule| rule.id() != **id)) {
            return Err(unknown.clone());
        }
        chosen.0.retain(|rule| ids.iter().any(|id| id == rule.id()));
        Ok(chosen)
    }

    /// Shows one fact to every rule.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|rule| rule.observe(fact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tiergate_engine::{ByteCount, CacheKey, Event, Instant, ResidenceEvent, TierId};

    fn stored(length: u64) -> Fact {
        let event = Event::Residence(ResidenceEvent::Stored {
            tier: TierId::L1,
            key: CacheKey(1),
            name: None,
            length: ByteCount(length),
            size: ByteCount(length),
            age: Duration::ZERO,
            from: None,
        });
        let what = What::Engine { edge: Edge(0), shard: 0, event };
        Fact { at: Instant::ZERO, what }
    }

    /// Rules are chosen by id, and an unknown id comes back.
    #[test]
    fn rules_are_chosen_by_id() {
        let chosen = Invariants::only(&["C5".into(), "M5".into()]).expect("both rules stand");
        assert_eq!(chosen.ids().collect::<Vec<_>>(), ["C5", "M5"]);
        assert_eq!(Invariants::only(&["C5".into(), "C99".into()]).err(), Some("C99".into()));
    }

    /// A rule that is told its gates takes the place of the one that knows none.
    #[test]
    fn a_rule_with_its_parameters_replaces_the_one_without() {
        let gates = Gates { l0: ByteCount(10), l1: ByteCount(10) };
        let mut rules = Invariants::only(&["M1".into()]).expect("M1 stands").with(UnderGate::new(gates));
        assert_eq!(rules.ids().collect::<Vec<_>>(), ["M1"]);
        assert_eq!(rules.observe(&stored(10)), Ok(()));
        assert_eq!(rules.observe(&stored(11)).map_err(|violation| violation.rule), Err("M1"));
    }
}
