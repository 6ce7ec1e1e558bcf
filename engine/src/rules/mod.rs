//! HTTP caching rules (RFC 9110, 9111, 9213, 5861) as pure functions over heads and times.
//!
//! [`judge`] says everything of a response that has come, [`reuse`] whether a stored one may be used,
//! [`conditional`] and [`range`] what of it a request gets, [`revalidate`] how the origin is asked and what
//! its 304 changes, [`vary`] which variant answers whom, [`retry_after()`] when to ask again,
//! [`invalidation`] what an unsafe request makes stale, [`post`] when its answer is what a GET would get,
//! [`surrogate`] the tags that a response is purged by. What the rules leave open is a [`Policy`].
//!
//! Nothing here reads a clock or keeps anything: two calls with the same arguments give the same answer.
#![cfg_attr(not(test), expect(dead_code, reason = "the engine's flows call the rules as they learn them"))]

pub(crate) mod conditional;
pub(crate) mod directives;
pub(crate) mod freshness;
#[cfg(test)]
mod fuzz;
pub mod hop;
pub mod http_date;
mod invalidation;
mod judgement;
mod list;
mod policy;
mod post;
mod range;
mod request;
mod retry_after;
pub(crate) mod reuse;
pub(crate) mod revalidate;
mod share;
mod staleness;
mod storable;
mod structured;
pub(crate) mod surrogate;
mod target;
mod targeted;
mod validator;
pub(crate) mod vary;

pub use invalidation::invalidated_keys;
pub(crate) use judgement::{Judgement, judge};
pub use policy::{
    ChangedValidator, ClientDirectives, CookieHeuristic, Heuristic, NamedFields, Policy, SetCookie,
};
pub use post::may_answer_gets;
pub(crate) use range::{ByteRange, Portion, partial_head, portion};
pub(crate) use request::{Caller, around, bypass, fast_path_conditions, has_credentials};
pub(crate) use retry_after::retry_after;
pub(crate) use share::{Piece, Share, share};
pub(crate) use staleness::Staleness;
