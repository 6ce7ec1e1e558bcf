//! Conditions in requests, judged against a stored response (RFC 9110 section 13, RFC 9111 section 4.3.2).

use super::{http_date, list::entity_tags, validator::EntityTag};
use crate::language::{
    head::{Fields, Head, RequestHead},
    time::WallTime,
};

/// What a conditional request gets from a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The response itself.
    Full,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not the one that the client means.
    Failed,
}

/// Judges a request's conditions in the order of RFC 9110 section 13.2.2: `If-Match`, or without one
/// `If-Unmodified-Since`, and where they hold `If-None-Match`, or without one `If-Modified-Since`. `received`
/// is when the stored response came.
///
/// RFC 9110 section 13.1.1 lets a cache leave `If-Match` to the origin. What is fresh, or has just been
/// agreed to, is what the origin would send, so it would say the same; stale responses are not judged by.
pub(crate) fn answer(request: &RequestHead, stored: &Head, received: WallTime, now: WallTime) -> Answer {
    // RFC 9110 section 13.2.1: a condition says nothing about an answer that is no success.
    if !request.method.is_lookup() || !matches!(stored.status, 200..=299) {
        return Answer::Full;
    }
    if precondition(&request.fields, stored, now) == Precondition::Failed {
        return Answer::Failed;
    }
    let holds = if request.fields.contains("if-none-match") {
        matches_any(&request.fields, "if-none-match", stored, EntityTag::is_like)
    } else {
        // Section 13.1.3: several lines, or what is no date, are ignored.
        http_date::field(&request.fields, "if-modified-since", now).is_some_and(|since| {
            last_modified(stored, received, now).is_some_and(|modified| modified <= since)
        })
    };
    if holds { Answer::NotModified } else { Answer::Full }
}

/// What the conditions that protect a stored representation say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precondition {
    /// The request may go on.
    Holds,
    /// 412.
    Failed,
}

/// Judges `If-Match`, or without one `If-Unmodified-Since` (RFC 9110 sections 13.1.1 and 13.1.4).
fn precondition(request: &Fields, stored: &Head, now: WallTime) -> Precondition {
    let holds = if request.contains("if-match") {
        matches_any(request, "if-match", stored, EntityTag::is_same)
    } else {
        let dates = (
            http_date::field(request, "if-unmodified-since", now),
            http_date::field(&stored.fields, "last-modified", now),
        );
        match dates {
            (Some(since), Some(modified)) => modified <= since,
            (None, _) | (Some(_), None) => true,
        }
    };
    if holds { Precondition::Holds } else { Precondition::Failed }
}

/// Does one of the tags in `name`, or a star, match what is stored?
fn matches_any<'h>(
    request: &'h Fields,
    name: &'h str,
    stored: &'h Head,
    compare: impl Fn(EntityTag<'h>, EntityTag<'h>) -> bool,
) -> bool {
    let own = EntityTag::of_response(&stored.fields);
    request
        .all(name)
        .flat_map(entity_tags)
        .any(|tag| tag == b"*" || own.is_some_and(|own| compare(own, EntityTag::of(tag))))
}

/// When the stored response changed last, as far as is known: else when it was made, else when it came (RFC
/// 9111 section 4.3.2). `None` for a date that cannot be read.
fn last_modified(stored: &Head, received: WallTime, now: WallTime) -> Option<WallTime> {
    if stored.fields.contains("last-modified") {
        return http_date::field(&stored.fields, "last-modified", now);
    }
    Some(http_date::field(&stored.fields, "date", now).unwrap_or(received))
}

/// The head of the 304 that stands for `stored` (RFC 9110 section 15.4.5): without what describes the body
/// that is not sent, but for `ETag` and `Content-Location`, and for `Last-Modified` where there is no `ETag`.
pub(crate) fn not_modified_head(stored: &Head) -> Head {
    let mut fields = stored.fields.clone();
    let has_tag = fields.contains("etag");
    fields.remove(|name| match name {
        "last-modified" => has_tag,
        "accept-ranges"
        | "content-digest"
        | "content-disposition"
        | "content-encoding"
        | "content-language"
        | "content-length"
        | "content-md5"
        | "content-range"
        | "content-type"
        | "digest"
        | "repr-digest" => true,
        _ => false,
    });
    Head { status: 304, fields }
}

/// The head of the 412 that says that a precondition failed (RFC 9110 section 15.5.13).
pub(crate) fn failed_head() -> Head {
    Head { status: 412, fields: [("content-length", "0")].into_iter().collect() }
}

/// Takes every condition and range out of a request that is to fetch the whole for everybody.
pub(crate) fn remove_conditions(fields: &mut Fields) {
    fields.remove(is_condition);
}

/// Does a request's field of this name (lower case) ask for less than the whole?
pub(crate) fn is_condition(name: &str) -> bool {
    matches!(
        name,
        "if-none-match" | "if-modified-since" | "if-match" | "if-unmodified-since" | "if-range" | "range"
    )
}

#[cfg(test)]
mod tests;
