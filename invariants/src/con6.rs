//! CON6: once the faults have healed, every request ends, once, and nothing is held open.
//!
//! It checks that no ask ends twice or without having begun; and, when an edge has settled, that none of its
//! asks is still open and that its audit is all zeros. It does not measure how long an end took; a world does
//! that by when it declares an edge settled.

use crate::{Edge, Fact, Invariant, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::Audit;

/// The rule.
#[derive(Debug, Default)]
pub struct EverythingEnds {
    open: BTreeMap<u64, Edge>,
}

impl EverythingEnds {
    fn on_settled(&self, edge: Edge, audit: Audit) -> Result<(), Violation> {
        if let Some((ask, _)) = self.open.iter().find(|(_, at)| **at == edge) {
            return Err(broken(format!(
                "ask {ask} at edge {} never ended, nor did {} others",
                edge.0,
                self.open.values().filter(|at| **at == edge).count() - 1
            )));
        }
        if audit != Audit::default() {
            return Err(broken(format!("edge {} still holds {audit:?}", edge.0)));
        }
        Ok(())
    }
}

fn broken(detail: String) -> Violation {
    Violation { rule: "CON6", detail }
}

impl Invariant for EverythingEnds {
    fn id(&self) -> &'static str {
        "CON6"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::ClientAsked { ask, edge, .. } => match self.open.insert(*ask, *edge) {
                None => Ok(()),
                Some(_) => Err(broken(format!("ask {ask} began twice"))),
            },
            What::ClientGot { ask, got, .. } => match self.open.remove(ask) {
                Some(_) => Ok(()),
                None => Err(broken(format!("ask {ask} ended twice or never began; now with {got:?}"))),
            },
            What::Settled { edge, open } => self.on_settled(*edge, *open),
            What::Engine { .. }
            | What::EdgeStarted { .. }
            | What::EdgeCrashed { .. }
            | What::Published { .. }
            | What::OriginAnswered { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Audited { .. }
            | What::Healed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Got,
        history::{History, KEY},
    };

    fn settled(history: &mut History, open: Audit) -> Result<(), &'static str> {
        history.show(What::Settled { edge: Edge(0), open })
    }

    /// One end for each ask, and an empty audit.
    #[test]
    fn one_end_each_passes() {
        let mut history = History::of(EverythingEnds::default());
        history.asked(1, KEY).unwrap();
        assert_eq!(history.got(1, KEY, Got::Left), Ok(()));
        assert_eq!(settled(&mut history, Audit::default()), Ok(()));
    }

    /// An ask that never ends, one that ends twice, and one that ends without having begun.
    #[test]
    fn a_missing_or_second_end_is_named() {
        let mut history = History::of(EverythingEnds::default());
        history.asked(1, KEY).unwrap();
        assert_eq!(settled(&mut history, Audit::default()), Err("CON6"));
        history.got(1, KEY, Got::Nothing).unwrap();
        assert_eq!(history.got(1, KEY, Got::Broken), Err("CON6"));
        assert_eq!(history.got(2, KEY, Got::Broken), Err("CON6"));
    }

    /// Whatever is held open after the end.
    #[test]
    fn a_leak_is_named() {
        let mut history = History::of(EverythingEnds::default());
        let audit = Audit { window_bytes: 1, ..Audit::default() };
        assert_eq!(settled(&mut history, audit), Err("CON6"));
    }
}
