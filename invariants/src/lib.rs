//! The rules of Tiergate, one small file each, checked against facts that anybody outside the engine could see.
//!
//! Start at [`Invariants`]: it holds every rule and shows each [`Fact`] to all of them.

mod fact;

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
pub trait Invariant {
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
    /// Every rule that stands.
    pub fn all() -> Self {
        Self(Vec::new())
    }

    /// The rules with these ids.
    ///
    /// # Errors
    /// The first id that no rule has.
    pub fn only(ids: &[String]) -> Result<Self, String> {
        let mut chosen = Self::all();
        if let Some(unknown) = ids
            .iter()
            .find(|id| chosen.0.iter().all(|rule| rule.id() != **id))
        {
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
