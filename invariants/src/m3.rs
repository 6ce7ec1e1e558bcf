//! M3: what waits in a lane never exceeds its bound.
//!
//! It checks each audit of an edge against `fill.lane_chunks_max`. That a lane which is full is dropped and
//! holds nobody back follows: what comes has to go somewhere. It does not see a lane between two audits, and
//! not what has been handed to a tier. Without a bound (the default) it allows everything. That a dropped
//! lane never commits is M4.

use crate::{Fact, Invariant, Violation, What};

/// The rule.
#[derive(Debug)]
pub struct BoundedLanes {
    chunks_max: usize,
}

impl BoundedLanes {
    /// The rule for lanes in which so many chunks may wait.
    pub const fn new(chunks_max: usize) -> Self {
        Self { chunks_max }
    }
}

impl Default for BoundedLanes {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Invariant for BoundedLanes {
    fn id(&self) -> &'static str {
        "M3"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let What::Audited { edge, open } = &fact.what else {
            return Ok(());
        };
        if open.lane_chunks_max <= self.chunks_max {
            return Ok(());
        }
        Err(Violation {
            rule: "M3",
            detail: format!(
                "{} chunks wait in a lane of edge {}, where {} may",
                open.lane_chunks_max, edge.0, self.chunks_max
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, audited};
    use tiergate_engine::Audit;

    /// As many as may wait pass, and one more is named.
    #[test]
    fn one_chunk_too_many_is_named() {
        let mut history = History::of(BoundedLanes::new(2));
        let waiting = |lane_chunks_max| Audit { lane_chunks_max, ..Audit::default() };
        assert_eq!(history.show(audited(waiting(2))), Ok(()));
        assert_eq!(history.show(audited(waiting(3))), Err("M3"));
    }
}
