//! How many fetches the origin works at, or is about to be asked for again: one slot each, for as long as the
//! slot lives.

use alloc::sync::Arc;

/// Counts the slots that are held.
#[derive(Debug, Default)]
pub(super) struct Slots(Arc<()>);

/// One fetch under way. It is given back when it is dropped.
#[derive(Debug)]
pub(in crate::machine) struct Slot(#[expect(dead_code, reason = "it counts while it lives")] Arc<()>);

impl Slots {
    pub(super) fn taken(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// One more, if that makes no more than `most`.
    pub(super) fn take(&self, most: usize) -> Option<Slot> {
        (self.taken() < most).then(|| Slot(Arc::clone(&self.0)))
    }
}
