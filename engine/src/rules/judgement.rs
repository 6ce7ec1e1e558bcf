//! Everything that the engine asks of a response's head, in one answer.

use super::{
    directives::{ResponseDirectives, Scope},
    freshness::{Lifetime, initial_age},
    policy::{Policy, SetCookie},
    staleness::Staleness,
    storable::storable,
    vary::Vary,
};
use crate::language::{
    head::{Head, RequestHead},
    reason::Storable,
    time::WallTime,
};
use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

/// What the rules say of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// May it be stored?
    pub storable: Storable,
    /// How long it is fresh, and how that is known.
    pub lifetime: Lifetime,
    /// Its age when it was received.
    pub initial_age: Duration,
    /// How it may be used beside its lifetime.
    pub staleness: Staleness,
    /// What it depends on beside its target.
    pub vary: Vary,
    /// Fields (lower case) that are not to be stored. Who caused the fetch still gets them.
    pub left_out: Vec<Box<str>>,
}

/// Judges a response that was asked for at `sent` and whose head came at `received`. After a 304, `response`
/// is the merged head and the times are those of the revalidation.
pub(crate) fn judge(
    policy: &Policy,
    request: &RequestHead,
    response: &Head,
    sent: WallTime,
    received: WallTime,
) -> Judgement {
    let (directives, source) = ResponseDirectives::of(&response.fields);
    let directives = directives.with(policy.named_fields);
    let lifetime = Lifetime::of(policy, (&directives, source), response, received);
    let vary = Vary::of(response);
    Judgement {
        storable: storable(policy, request, (response, &directives), lifetime, &vary),
        lifetime,
        initial_age: initial_age(response, sent, received),
        staleness: Staleness::by(policy, &directives, response.status),
        vary,
        left_out: left_out(policy, directives),
    }
}

/// What the policy and the named fields of `no-cache` and `private` keep out of the store, each once.
fn left_out(policy: &Policy, directives: ResponseDirectives) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for scope in [directives.no_cache, directives.private] {
        match scope {
            Scope::Fields(fields) => names.extend(fields),
            Scope::Absent | Scope::Whole => {}
        }
    }
    if policy.set_cookie == SetCookie::LeaveOut {
        names.push("set-cookie".into());
    }
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
