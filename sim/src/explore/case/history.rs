//! A digest of all that happens in a run, and of how it grew: to say whether two runs are the same, and if
//! not, since when.

use std::fmt::{self, Debug, Write};
use tiergate_engine::Instant;

/// What happened so far, as a hash of its text.
#[derive(Clone, Default)]
pub(in crate::explore) struct History {
    hasher: blake3::Hasher,
    marks: Vec<Mark>,
}

/// What all that happened before one step comes to.
#[derive(Clone, Debug)]
pub(in crate::explore) struct Mark {
    pub at: Instant,
    pub digest: u64,
    /// How much was drawn from each stream.
    pub drawn: Vec<usize>,
}

impl History {
    /// A step begins, and so much was drawn from each stream before it.
    pub(in crate::explore) fn step(&mut self, at: Instant, step: &dyn Debug, drawn: Vec<usize>) {
        self.marks.push(Mark { at, digest: self.digest(), drawn });
        self.mix(&(at, step));
    }

    /// Something happened.
    pub(in crate::explore) fn mix(&mut self, what: &dyn Debug) {
        // Hashing cannot fail, and neither can the derived text of our own types.
        let _ = writeln!(self, "{what:?}");
    }

    /// One number for all that happened.
    pub(in crate::explore) fn digest(&self) -> u64 {
        let bytes = *self.hasher.finalize().as_bytes();
        bytes.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// One mark for each step.
    pub(in crate::explore) fn marks(&self) -> &[Mark] {
        &self.marks
    }
}

impl fmt::Write for History {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hasher.update(text.as_bytes());
        Ok(())
    }
}
