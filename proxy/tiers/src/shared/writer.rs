//! A body on its way to a shared server, in parts.

use super::keys::{Generation, Keys};
use crate::blocks::{self, Layout, Tail};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tiergate_driver::TierError;
use tiergate_engine::Record;

/// The bytes of a part in records that this build writes. One read fetches at most one part.
pub(crate) const PART_BYTES: u32 = 256 << 10;

/// One fill of a shared tier.
pub(crate) struct Writer {
    /// The tier, for errors.
    tier: &'static str,
    pub(crate) keys: Keys,
    /// As it was found at the opening.
    pub(crate) generation: Generation,
    state: Mutex<Writing>,
}

/// What there is of its body.
pub(crate) struct Writing {
    pub(crate) tail: Tail,
    pub(crate) phase: Phase,
}

/// ```text
/// Writing ──commit──▶ Committed
///    └────failure───▶ Failed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes chunks.
    Writing,
    /// It was published.
    Committed,
    /// Takes nothing more. What was acknowledged stays readable.
    Failed,
}

impl Writer {
    /// Without a byte yet.
    pub(crate) fn new(tier: &'static str, keys: Keys, generation: Generation) -> Self {
        let state = Mutex::new(Writing { tail: Tail::new(PART_BYTES), phase: Phase::Writing });
        Self { tier, keys, generation, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, Writing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, of one that takes chunks.
    pub(crate) fn writing(&self) -> Result<MutexGuard<'_, Writing>, TierError> {
        let state = self.state();
        match state.phase {
            Phase::Writing => Ok(state),
            Phase::Committed => Err(self.failed("the writer has committed already")),
            Phase::Failed => Err(self.failed("an earlier write failed")),
        }
    }

    /// The next full part, sealed.
    pub(crate) fn full_part(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.state();
        state.tail.full_block().map(|(index, part)| (index, sealed(part)))
    }

    /// How the whole body lies, if `record` is of it.
    pub(crate) fn layout(&self, record: &Record) -> Result<Layout, TierError> {
        let state = self.writing()?;
        let given = (record.stored_key(), record.name, record.length.0);
        if given != (self.keys.key, self.keys.name, state.tail.length()) {
            return Err(self.failed("a commit's record is not that of what was written"));
        }
        Ok(Layout { block_bytes: PART_BYTES, length: record.length.0 })
    }

    /// The last part, sealed, if it is a short one.
    pub(crate) fn last_part(&self) -> Option<(u64, Vec<u8>)> {
        let state = self.state();
        state.tail.last_block().map(|(index, part)| (index, sealed(part)))
    }

    fn failed(&self, what: &str) -> TierError {
        TierError::Failed(format!("{}: {what}", self.tier))
    }
}

fn sealed(part: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(part.len() + blocks::CHECKSUM_BYTES);
    blocks::seal_into(&mut sealed, part);
    sealed
}
