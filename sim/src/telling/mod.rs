//! Facts as people read them: who acts, and what happens, in plain words.

pub(crate) mod words;

use tiergate_engine::{CacheKey, RequestId, TierId};
use tiergate_invariants::Version;

/// Who acts, in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Clients,
    Edge(u32),
    Tier(TierId),
    Origin,
}

/// What things are called in a world.
pub(crate) trait Names {
    /// What the origin serves under this key.
    fn name_of(&self, key: CacheKey) -> String;

    /// How long a version of it is.
    fn length_of(&self, key: CacheKey, version: Version) -> Option<u64>;

    /// Who sent this request to an edge.
    fn asker(&self, request: RequestId) -> String;

    /// Who sent the request with this number.
    fn client(&self, ask: u64) -> String;
}
