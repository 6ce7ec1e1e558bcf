//! What L0 holds.

use crate::{head::Head, record::Freshness, rules::Staleness, units::ByteCount};
use alloc::{sync::Arc, vec::Vec};

/// One response in memory, whole. Shared by the tier and by everybody who is sending it: eviction takes it out of the
/// tier, not out of their hands (failure T9).
#[derive(Clone, Debug)]
pub struct Resident<C> {
    /// The head.
    pub head: Arc<Head>,
    /// The body, in order.
    pub chunks: Vec<C>,
    /// The body's length.
    pub length: ByteCount,
    /// How long it may be used.
    pub freshness: Freshness,
    /// And how, when that is over.
    pub(crate) staleness: Staleness,
}
