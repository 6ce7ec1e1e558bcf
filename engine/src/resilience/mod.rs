//! ResiliencePolicy: what keeps a sick tier or origin from making others sick.
//!
//! Small machines, each of its own: a [`breaker`] per tier and per origin, [`backoff`] and [`budget`] for
//! those who ask again, [`attempts`] for one call's way through both, [`hedge`] for a second read when the
//! first is slow, [`deadline`] for what must happen by when. What an operator may choose stands in
//! `config/resilience`. None of them does the asking, knows of a tier by name, or reads a clock: whoever
//! holds them passes `now` in and keeps `poll_wake`. Start at [`breaker::Breaker`].
//!
//! They stand behind the cache, never before it (failure R2): a lookup in L0 and the serving of what is
//! stored ask none of them.

pub(crate) mod attempts;
pub(crate) mod backoff;
pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod deadline;
pub(crate) mod hedge;

#[cfg(test)]
mod tests;
