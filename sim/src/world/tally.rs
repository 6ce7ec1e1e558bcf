//! How often each fault was meant, came, and hit. A fault that never hits makes a scenario prove nothing.

use tiergate_scenarios::FaultKind;

/// One kind's count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Meant to befall.
    pub planned: u64,
    /// Its moment came.
    pub armed: u64,
    /// It hit: bytes were cut, an answer was late, a message was lost, a running host died.
    pub fired: u64,
}

/// Every kind's count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tallies([Tally; FaultKind::ALL.len()]);

impl Tallies {
    /// The count of one kind.
    pub(crate) fn of(&mut self, kind: FaultKind) -> &mut Tally {
        &mut self.0[kind as usize]
    }

    /// Each kind with its count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FaultKind, Tally)> {
        FaultKind::ALL.into_iter().zip(self.0)
    }

    /// Adds another run's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            sum.planned += more.planned;
            sum.armed += more.armed;
            sum.fired += more.fired;
        }
    }
}
