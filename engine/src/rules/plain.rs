//! The rules as far as an engine can follow them that has neither variants nor revalidation: only what has an explicit
//! lifetime, and needs nothing else, is stored. [`super::judge`] takes its place when the engine has both.

use super::{
    directives::{ResponseDirectives, Scope},
    freshness::{age_field, is_heuristically_cacheable},
};
use crate::{
    head::{Head, Length},
    reason::{NotStorable, Storable},
};
use core::time::Duration;

/// What the rules say of a response to a request that the cache may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlainJudgement {
    /// May it be stored?
    pub storable: Storable,
    /// Its freshness lifetime (RFC 9111 section 4.2.1).
    pub lifetime: Duration,
    /// The `Age` that it arrived with (section 5.1).
    pub age: Duration,
}

/// Judges a response by its head (RFC 9111 section 3).
pub(crate) fn judge_plain(head: &Head) -> PlainJudgement {
    let (directives, _) = ResponseDirectives::of(&head.fields);
    // A shared cache prefers s-maxage (section 5.2.2.10).
    let lifetime = directives.lifetime().unwrap_or_default();
    let refusals = [
        (!is_heuristically_cacheable(head.status), NotStorable::Status),
        (directives.no_store, NotStorable::NoStore),
        (directives.private != Scope::Absent, NotStorable::Private),
        (directives.no_cache != Scope::Absent, NotStorable::NoCache),
        (head.fields.contains("vary"), NotStorable::Vary),
        (lifetime.is_zero(), NotStorable::NoLifetime),
        (contradicts_itself(head), NotStorable::Length),
    ];
    let refusal = refusals.into_iter().find_map(|(refuses, why)| refuses.then_some(why));
    PlainJudgement { storable: refusal.map_or(Storable::Yes, Storable::No), lifetime, age: age_field(head) }
}

/// Several `Content-Length` lines, or one that is no number.
fn contradicts_itself(head: &Head) -> bool {
    head.fields.contains("content-length") && head.length() == Length::Unknown
}

#[cfg(test)]
mod tests;
