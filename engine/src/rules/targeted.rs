//! Which field of a response speaks to us: `CDN-Cache-Control`, or else `Cache-Control` (RFC 9213).
//!
//! What is no dictionary, or has a directive of the wrong type, voids the whole `CDN-Cache-Control`.

use super::{
    directives::{DirectiveSource, ResponseDirectives, SECONDS_MAX, Scope, keep_smaller},
    structured::{Parser, Value},
};
use crate::language::head::Fields;
use alloc::vec::Vec;
use core::time::Duration;

impl ResponseDirectives {
    /// The directives that a response has for us.
    pub(crate) fn of(fields: &Fields) -> (Self, DirectiveSource) {
        match targeted(fields) {
            Some(directives) => (directives, DirectiveSource::Targeted),
            None => (Self::untargeted(fields), DirectiveSource::Untargeted),
        }
    }
}

/// The directives of a `CDN-Cache-Control` that is there, valid and not empty. Where there is one, neither
/// `Cache-Control` nor `Expires` counts (RFC 9213 section 2.2).
fn targeted(fields: &Fields) -> Option<ResponseDirectives> {
    if !fields.contains("cdn-cache-control") {
        return None;
    }
    let lines: Vec<&[u8]> = fields.all("cdn-cache-control").collect();
    // RFC 9651 section 4.2: several lines are one list.
    let members = Parser::dictionary(&lines.join(&b","[..]))?;
    if members.is_empty() {
        return None;
    }
    let mut found = ResponseDirectives::default();
    for (name, value) in &members {
        take(&mut found, name, value)?;
    }
    Some(found)
}

/// `None` when the value is not of the directive's type (RFC 9213 section 2.1).
fn take(found: &mut ResponseDirectives, name: &str, value: &Value) -> Option<()> {
    match name {
        "no-store" => found.no_store = flag(value)?,
        "no-cache" => found.no_cache = scope(value)?,
        "private" => found.private = scope(value)?,
        "public" => found.public = flag(value)?,
        "must-revalidate" => found.must_revalidate = flag(value)?,
        "proxy-revalidate" => found.proxy_revalidate = flag(value)?,
        "must-understand" => found.must_understand = flag(value)?,
        "no-transform" => found.no_transform = flag(value)?,
        "immutable" => found.immutable = flag(value)?,
        "max-age" => keep_smaller(&mut found.max_age, seconds(value)?),
        "s-maxage" => keep_smaller(&mut found.s_maxage, seconds(value)?),
        "stale-while-revalidate" => keep_smaller(&mut found.stale_while_revalidate, seconds(value)?),
        "stale-if-error" => keep_smaller(&mut found.stale_if_error, seconds(value)?),
        // RFC 9111 section 5.2.3: an unknown directive is ignored.
        _ => {}
    }
    Some(())
}

const fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(set) => Some(*set),
        Value::Integer(_) | Value::String(_) | Value::Other => None,
    }
}

fn scope(value: &Value) -> Option<Scope> {
    match value {
        Value::Boolean(true) => Some(Scope::Whole),
        Value::Boolean(false) => Some(Scope::Absent),
        Value::String(names) => Some(Scope::of_text(Some(names.as_bytes()))),
        Value::Integer(_) | Value::Other => None,
    }
}

/// Delta-seconds; a negative number is stale at once, as an invalid one is elsewhere.
fn seconds(value: &Value) -> Option<Duration> {
    match value {
        Value::Integer(seconds) => {
            let seconds = u64::try_from(*seconds).unwrap_or(0);
            Some(Duration::from_secs(seconds.min(SECONDS_MAX)))
        }
        Value::Boolean(_) | Value::String(_) | Value::Other => None,
    }
}

#[cfg(test)]
mod tests;
