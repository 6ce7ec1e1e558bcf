//! HTTP caching rules (RFC 9110, 9111, 9213, 5861) as pure functions over heads and times.
//!
//! [`judge`] says everything of a response that has come, [`reuse`] whether a stored one may be used, [`vary`] which
//! variant answers whom. What the rules leave open is a [`Policy`].
//!
//! Nothing here reads a clock or keeps anything: two calls with the same arguments give the same answer.
#![cfg_attr(
    not(test),
    expect(dead_code, reason = "the engine's flows call the rules as they learn them")
)]

pub(crate) mod directives;
pub(crate) mod freshness;
pub mod http_date;
mod judgement;
mod list;
mod plain;
mod policy;
mod request;
pub(crate) mod reuse;
mod storable;
mod structured;
mod target;
pub(crate) mod vary;

#[expect(
    unused_imports,
    reason = "the engine's flows call it once they know variants and validators"
)]
pub(crate) use judgement::{Judgement, judge};
pub(crate) use plain::judge_plain;
pub use policy::{ChangedValidator, ClientDirectives, Heuristic, NamedFields, Policy, SetCookie};
pub(crate) use request::{bypass, may_use_door};
