//! I7: no more fetches are under way, and no more clients share one, than the configuration allows.
//!
//! It checks each audit of an edge against `collapse.fills_max` and `collapse.waiters_max`, for worlds with
//! one shard an edge. Without limits (the default) it allows everything. That each permit is given back is
//! CON6's, and the limits on bytes are M1, M3, M5 and M6.

use crate::{Fact, Invariant, Violation, What};

/// The rule.
#[derive(Debug)]
pub struct Limits {
    fills_max: usize,
    waiters_max: usize,
}

impl Limits {
    /// The rule for so many fetches at a time, each for so many clients.
    pub const fn new(fills_max: usize, waiters_max: usize) -> Self {
        Self { fills_max, waiters_max }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(usize::MAX, usize::MAX)
    }
}

impl Invariant for Limits {
    fn id(&self) -> &'static str {
        "I7"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let What::Audited { edge, open } = &fact.what else {
            return Ok(());
        };
        let counts = [
            (open.fetches, self.fills_max, "fetches at a time"),
            (open.clients_max, self.waiters_max, "clients of one fetch"),
        ];
        match counts.into_iter().find(|(is, most, _)| is > most) {
            None => Ok(()),
            Some((is, most, what)) => Err(Violation {
                rule: "I7",
                detail: format!("edge {} has {is} {what}, and may have {most}", edge.0),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, audited};
    use tiergate_engine::Audit;

    /// Up to both limits passes; one fetch or one client more is named.
    #[test]
    fn one_too_many_is_named() {
        let mut history = History::of(Limits::new(2, 3));
        let audit = |fetches, clients_max| audited(Audit { fetches, clients_max, ..Audit::default() });
        assert_eq!(history.show(audit(2, 3)), Ok(()));
        assert_eq!(history.show(audit(3, 0)), Err("I7"));
        assert_eq!(history.show(audit(0, 4)), Err("I7"));
    }
}
