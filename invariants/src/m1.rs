//! M1: no object above its tier's byte gate is ever stored in L0 or L1.
//!
//! It checks the body's length in each `Stored`. It does not see bytes that were written and then discarded:
//! a body of unknown length may be written up to the gate before it is dropped. Without gates (the default)
//! it allows everything.

use crate::{Fact, Invariant, Violation, What};
use tiergate_engine::{ByteCount, Event, ResidenceEvent, TierId};

/// The largest body that each tier may hold.
#[derive(Clone, Copy, Debug)]
pub struct Gates {
    /// In process memory.
    pub l0: ByteCount,
    /// In the shared memory store.
    pub l1: ByteCount,
}

impl Default for Gates {
    fn default() -> Self {
        Self { l0: ByteCount::UNLIMITED, l1: ByteCount::UNLIMITED }
    }
}

/// The rule.
#[derive(Debug, Default)]
pub struct UnderGate(Gates);

impl UnderGate {
    /// The rule for these gates.
    pub fn new(gates: Gates) -> Self {
        Self(gates)
    }
}

impl Invariant for UnderGate {
    fn id(&self) -> &'static str {
        "M1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        let What::Engine {
            event: Event::Residence(ResidenceEvent::Stored { tier, key, length, .. }), ..
        } = &fact.what
        else {
            return Ok(());
        };
        let gate = match tier {
            TierId::L0 => self.0.l0,
            TierId::L1 => self.0.l1,
            TierId::L2 | TierId::L3 => return Ok(()),
        };
        if *length <= gate {
            return Ok(());
        }
        Err(Violation {
            rule: "M1",
            detail: format!(
                "{} stored {key} with {} bytes, over its gate of {}",
                tier.as_str(),
                length.0,
                gate.0
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, stored};

    fn check(tier: TierId, length: u64, expected: Result<(), &'static str>) {
        let gates = Gates { l0: ByteCount(100), l1: ByteCount(200) };
        let mut history = History::of(UnderGate::new(gates));
        assert_eq!(history.event(stored(tier, KEY, length, length + 10)), expected);
    }

    /// The gate is on the body alone, and a body of exactly its size passes. L2 has no such gate.
    #[test]
    fn up_to_the_gate_passes() {
        check(TierId::L0, 100, Ok(()));
        check(TierId::L1, 200, Ok(()));
        check(TierId::L2, 1_000, Ok(()));
    }

    /// One byte more is named, in each tier by its own gate.
    #[test]
    fn over_the_gate_is_named() {
        check(TierId::L0, 101, Err("M1"));
        check(TierId::L1, 201, Err("M1"));
    }
}
