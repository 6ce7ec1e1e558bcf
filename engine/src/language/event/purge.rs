//! What was purged, here and at other edges.

use super::Event;
use crate::language::{
    id::PurgeId,
    selector::{PurgeMode, SelectorKind},
};

/// What was purged, here and at other edges.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeEvent {
    /// A purge began: from now on nothing older is served here as if it were fresh, or published.
    PurgeBegan { purge: PurgeId, what: SelectorKind, mode: PurgeMode },
    /// Another edge purged: from now on nothing older is served here as if it were fresh, or published.
    RemotePurged { what: SelectorKind, mode: PurgeMode },
    /// It cannot be known what other edges purged: nothing older is used any more.
    PurgesMissed,
    /// A purge has reached every tier.
    PurgeEnded {
        purge: PurgeId,
        what: SelectorKind,
        /// Did every tier confirm?
        confirmed: bool,
    },
}

impl From<PurgeEvent> for Event {
    fn from(event: PurgeEvent) -> Self {
        Self::Purge(event)
    }
}
