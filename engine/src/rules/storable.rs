//! Which responses may be stored (RFC 9111 sections 3, 3.3 to 3.5 and 7.3).

use super::{
    directives::{RequestDirectives, ResponseDirectives, Scope},
    freshness::{Lifetime, is_heuristically_cacheable},
    policy::{ClientDirectives, CookieHeuristic, Policy, SetCookie},
    post::is_located_at_target,
    request::has_credentials,
    vary::Vary,
};
use crate::language::{
    head::{Head, Length, Method, RequestHead},
    reason::{NotStorable, Storable},
};

/// May this response to this request be stored? Of several reasons against it, the plainest is named.
pub(super) fn storable(
    policy: &Policy,
    request: &RequestHead,
    (head, directives): (&Head, &ResponseDirectives),
    lifetime: Lifetime,
    vary: &Vary,
) -> Storable {
    let explicit = matches!(lifetime, Lifetime::Explicit(_));
    let refusals = [
        (!is_whole_and_final(head.status), NotStorable::Status),
        (!answers_a_get(request, head, explicit), NotStorable::Method),
        (directives.must_understand && !is_understood(head.status), NotStorable::NotUnderstood),
        // Section 5.2.2.3: `must-understand` takes the place of `no-store` for those who understand.
        (directives.no_store && !directives.must_understand, NotStorable::NoStore),
        (
            policy.client_directives == ClientDirectives::Obey
                && RequestDirectives::of(&request.fields).no_store,
            NotStorable::RequestNoStore,
        ),
        (directives.private == Scope::Whole, NotStorable::Private),
        (has_credentials(&request.fields) && !directives.shares_credentials(), NotStorable::Authorization),
        (
            head.fields.contains("set-cookie")
                && match policy.set_cookie {
                    SetCookie::FollowLifetime => !explicit,
                    SetCookie::Refuse => true,
                    SetCookie::LeaveOut => false,
                },
            NotStorable::SetCookie,
        ),
        (
            // A validator does not help: what it is stored for may be served in place of an error, to
            // anybody.
            policy.heuristic_with_cookie == CookieHeuristic::Refuse
                && request.fields.contains("cookie")
                && !explicit
                && directives.no_cache != Scope::Whole,
            NotStorable::Cookie,
        ),
        (*vary == Vary::Anything, NotStorable::Vary),
        (directives.no_cache == Scope::Whole && !has_validator(head), NotStorable::NoCache),
        (!is_useful(head, directives, lifetime), NotStorable::NoLifetime),
        (contradicts_itself(head), NotStorable::Length),
    ];
    let refusal = refusals.into_iter().find_map(|(refuses, why)| refuses.then_some(why));
    refusal.map_or(Storable::Yes, Storable::No)
}

/// A part (206) is not the whole, a 304 is no representation, and before 200 nothing is final (sections 3,
/// 3.3, 3.4).
const fn is_whole_and_final(status: u16) -> bool {
    matches!(status, 200..=999) && !matches!(status, 206 | 304)
}

/// Is it what a GET would get? A HEAD brings no body; a POST must say so, with an explicit lifetime (RFC 9110
/// section 9.3.3).
fn answers_a_get(request: &RequestHead, head: &Head, explicit: bool) -> bool {
    match request.method {
        Method::Get => true,
        Method::Post => explicit && is_located_at_target(request, head),
        Method::Head | Method::OtherSafe | Method::Other => false,
    }
}

/// Final statuses whose caching needs no more than what this cache does (RFC 9110 section 15, RFC 6585, RFC
/// 7725).
pub(super) const fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 451 | 500..=505 | 511
    )
}

/// Can the origin be asked whether it still holds (RFC 9110 section 8.8)?
pub(super) fn has_validator(head: &Head) -> bool {
    head.fields.contains("etag") || head.fields.contains("last-modified")
}

/// Will it ever be of use: fresh, or freshened, or stale with the origin's leave?
///
/// The policy's own window for errors does not count, or everything would be stored for the case of one. Nor
/// does a validator count for a server's error: stored to be revalidated, it would be what stale-if-error
/// serves.
fn is_useful(head: &Head, directives: &ResponseDirectives, lifetime: Lifetime) -> bool {
    if !lifetime.span().is_zero() {
        return true;
    }
    if head.status >= 500 {
        return false;
    }
    let explicit = matches!(lifetime, Lifetime::Explicit(_));
    // Section 3: one of an explicit lifetime, `public` and a status that allows guesses is asked for.
    if !explicit && !directives.public && !is_heuristically_cacheable(head.status) {
        return false;
    }
    let stale = [directives.stale_while_revalidate, directives.stale_if_error];
    has_validator(head)
        || explicit
            && !directives.forbids_stale()
            && stale.into_iter().flatten().any(|window| !window.is_zero())
}

/// Several `Content-Length` lines, or one that is no number.
fn contradicts_itself(head: &Head) -> bool {
    head.fields.contains("content-length") && head.length() == Length::Unknown
}
