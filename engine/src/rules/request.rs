//! Which requests the cache answers at all.

use crate::language::{
    head::{Method, RequestHead},
    reason::Bypass,
};

/// Does a request say who makes it? What such a one is answered says nothing of what others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Caller {
    Anonymous,
    /// With credentials or a cookie.
    Identified,
}

impl Caller {
    pub(crate) fn of(request: &RequestHead) -> Self {
        let is_identified = request.fields.contains("authorization") || request.fields.contains("cookie");
        if is_identified { Self::Identified } else { Self::Anonymous }
    }
}

/// Must this request go around the cache? `fields` have lower-case names.
pub(crate) fn bypass<'f>(
    method: Method,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> Option<Bypass> {
    if !method.is_lookup() {
        return Some(Bypass::Method);
    }
    fields.map(|(name, _)| name).find_map(|name| match name {
        // RFC 9111 section 3.5: a response to it may be stored only with the origin's leave.
        "authorization" => Some(Bypass::Authorization),
        // RFC 9110 section 13.2.1: these two are the origin's to judge.
        "if-match" | "if-unmodified-since" => Some(Bypass::Precondition),
        _ => None,
    })
}

/// Does it ask for all of the response, so that its answer can be fetched for everybody? A part is given of
/// what is stored whole; no part is ever fetched into the cache (failure T12).
pub(crate) fn wants_whole(request: &RequestHead) -> bool {
    request.method == Method::Get && !request.fields.contains("range")
}

/// May this request use the fast path? Parts, and conditions that the cache itself can judge, are left to the
/// proper way in.
pub(crate) fn may_use_fast_path<'f>(
    method: Method,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> bool {
    let mut special = false;
    let bypass = bypass(
        method,
        fields.inspect(|(name, _)| {
            special |= matches!(*name, "if-none-match" | "if-modified-since" | "range" | "if-range");
        }),
    );
    method == Method::Get && bypass.is_none() && !special
}
