//! What machines mean for one another: each flow takes a request, an answer or a purge from one machine to the next.
//!
//! `arriving` (requests, demands, leaving), `looking` (the walk through the tiers), `asking` (who leads, who asks the origin),
//! `trying` (how often), `grouping` (who waits for which variant), `fetching` (origin to readers), `copying` (what a lane's
//! step means), `reading` (tier to readers), `resident` and `freshening` (what is stale), `marking` (which targets have
//! variants), `durable` (what L3's answers mean), `purging` (what a purge closes and takes out).
//!
//! A flow keeps nothing. What a fill waits for is in the engine's tables of fills and flights.

mod arriving;
mod asking;
mod copying;
mod durable;
mod fetching;
mod freshening;
mod grouping;
mod looking;
mod marking;
mod purging;
mod reading;
mod resident;
mod trying;

pub(super) use freshening::Freshen;
