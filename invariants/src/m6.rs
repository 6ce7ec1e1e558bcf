//! M6: of a body on its way less than the window is held in memory, and the chunk that filled it.
//!
//! It checks each audit of an edge, for the stream that holds most. It does not count what L0 collects, which
//! is bounded by its gate, nor chunks that wait in lanes (M3). Without a bound (the default) it allows
//! everything. That a client is sent one chunk for each demand is I13's.

use crate::{Fact, Invariant, Violation, What};

/// The rule.
#[derive(Debug)]
pub struct BoundedStreams {
    window: u64,
}

impl BoundedStreams {
    /// The rule for a window of so many bytes.
    pub const fn new(window: u64) -> Self {
        Self { window }
    }
}

impl Default for BoundedStreams {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Invariant for BoundedStreams {
    fn id(&self) -> &'static str {
        "M6"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let What::Audited { edge, open } = &fact.what else {
            return Ok(());
        };
        if open.window_bytes_max == 0 || open.window_bytes_max < self.window {
            return Ok(());
        }
        Err(Violation {
            rule: "M6",
            detail: format!(
                "edge {} holds {} bytes of one body, and asked for more, with a window of {}",
                edge.0, open.window_bytes_max, self.window
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, audited};
    use tiergate_engine::Audit;

    /// Less than the window passes, and a full window to which a chunk was added is named.
    #[test]
    fn one_byte_too_many_is_named() {
        let mut history = History::of(BoundedStreams::new(100));
        let held = |window_bytes_max| Audit { window_bytes_max, ..Audit::default() };
        assert_eq!(history.show(audited(held(99))), Ok(()));
        assert_eq!(history.show(audited(held(100))), Err("M6"));
    }
}
