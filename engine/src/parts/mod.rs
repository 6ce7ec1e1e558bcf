//! Parts of which machines are built, each of its own: none knows of requests, fills or tiers as such.
//!
//! Tables and agendas, a space with its eviction policies, one lane into one tier, bans, hits counted by key,
//! chance.

pub(crate) mod agenda;
pub(crate) mod bans;
pub(crate) mod eviction;
pub(crate) mod hits;
pub(crate) mod lane;
pub(crate) mod random;
pub(crate) mod space;
pub(crate) mod table;
