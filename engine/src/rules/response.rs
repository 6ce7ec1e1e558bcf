//! Which responses may be stored, and for how long.

use super::directives::{ResponseDirectives, members, seconds};
use crate::{
    head::{Head, Length},
    reason::{NotStorable, Storable},
};
use core::time::Duration;

/// What the rules say of a response to a request that the cache may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// May it be stored?
    pub storable: Storable,
    /// Its freshness lifetime (RFC 9111 section 4.2.1).
    pub lifetime: Duration,
    /// The `Age` that it arrived with (section 5.1).
    pub age: Duration,
}

/// Judges a response by its head (RFC 9111 section 3).
pub(crate) fn judge(head: &Head) -> Judgement {
    let directives = ResponseDirectives::of(&head.fields);
    // A shared cache prefers s-maxage (section 5.2.2.10).
    let lifetime = directives.s_maxage.or(directives.max_age).unwrap_or(Duration::ZERO);
    let refusals = [
        (!is_storable_status(head.status), NotStorable::Status),
        (directives.no_store, NotStorable::NoStore),
        (directives.private, NotStorable::Private),
        (directives.no_cache, NotStorable::NoCache),
        (head.fields.contains("vary"), NotStorable::Vary),
        (lifetime.is_zero(), NotStorable::NoLifetime),
        (contradicts_itself(head), NotStorable::Length),
    ];
    let refusal = refusals.into_iter().find_map(|(refuses, why)| refuses.then_some(why));
    Judgement { storable: refusal.map_or(Storable::Yes, Storable::No), lifetime, age: initial_age(head) }
}

/// Final statuses whose meaning does not depend on the request's own fields. A part (206) is not the whole, and a 304
/// is no representation (RFC 9111 sections 3.3 and 3.4).
const fn is_storable_status(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Several `Content-Length` lines, or one that is no number.
fn contradicts_itself(head: &Head) -> bool {
    head.fields.contains("content-length") && head.length() == Length::Unknown
}

/// The first member of `Age`, if it is a number (RFC 9111 section 5.1); nonsense is ignored.
fn initial_age(head: &Head) -> Duration {
    let first = head.fields.all("age").next().and_then(|line| members(line).next());
    seconds(first)
}

#[cfg(test)]
mod tests;
