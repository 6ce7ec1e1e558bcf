//! The rules of Tiergate, one small file each, checked against facts that anybody outside the engine could see.
//!
//! Start at [`Invariants`]: it holds every rule and shows each [`Fact`] to all of them.

mod c5;
mod c6;
mod c7;
mod c8;
mod con1;
mod con5;
mod con6;
mod fact;
#[cfg(test)]
mod history;
mod i13;
mod i15;
mod m1;
mod m4;
mod m5;
mod o2;
mod promise;

pub use c5::WholeBodies;
pub use c6::Lifetimes;
pub use c7::NoResurrection;
pub use c8::OnlyStorable;
pub use con1::OneWinner;
pub use con5::OneFetch;
pub use con6::EverythingEnds;
pub use i13::Contract;
pub use i15::Retries;
pub use m1::{Gates, UnderGate};
pub use m4::DroppedLanes;
pub use m5::ExactAccounts;
pub use o2::Breakers;

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
    /// Every rule that holds in every world, with M1, O2 and I15 allowing whatever any configuration
    /// does until they are told theirs.
    pub fn all() -> Self {
        Self(vec![
            Box::new(WholeBodies::default()),
            Box::new(NoResurrection::default()),
            Box::new(OnlyStorable::default()),
            Box::new(OneWinner::default()),
            Box::new(OneFetch::default()),
            Box::new(EverythingEnds::default()),
            Box::new(UnderGate::default()),
            Box::new(DroppedLanes::default()),
            Box::new(ExactAccounts::default()),
            Box::new(Breakers::default()),
            Box::new(Retries::default()),
        ])
    }

    /// These rules and one more, in place of any with its id: M1 with its gates, or C6 where the world knows its bound.
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
    use tiergate_engine::{ByteCount, CacheKey, Event, Instant, TierId};

    fn stored(length: u64) -> Fact {
        let event = Event::Stored {
            tier: TierId::L1,
            key: CacheKey(1),
            length: ByteCount(length),
            size: ByteCount(length),
            from: None,
        };
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
