//! Which requests the cache answers at all.

use super::conditional;
use crate::language::{
    head::{Fields, Method, RequestHead},
    reason::Bypass,
};

/// Does a request with these fields carry credentials (RFC 9111 section 3.5)?
pub(crate) fn has_credentials(request: &Fields) -> bool {
    request.contains("authorization")
}

/// Does a request with these fields depend on which representation there is (RFC 9110 sections 13.1.1 and
/// 13.1.4)?
pub(crate) fn has_precondition(request: &Fields) -> bool {
    request.contains("if-match") || request.contains("if-unmodified-since")
}

/// Does a request say who makes it? What such a one is answered says nothing of what others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Caller {
    Anonymous,
    /// With credentials or a cookie.
    Identified,
}

impl Caller {
    pub(crate) fn of(request: &RequestHead) -> Self {
        let is_identified = has_credentials(&request.fields) || request.fields.contains("cookie");
        if is_identified { Self::Identified } else { Self::Anonymous }
    }
}

/// Must a request of this method go around the cache, whatever is stored?
pub(crate) const fn bypass(method: Method) -> Option<Bypass> {
    if method.is_lookup() { None } else { Some(Bypass::Method) }
}

/// Why a request may have to go around the cache where nothing is stored that answers it; `None` for one that
/// wants all of the response, so that its answer can be fetched for everybody. A part is given of a whole; no
/// part is ever fetched into the cache (failure T12), and what a condition may forbid is the origin's to
/// judge (RFC 9110 section 13.2.1).
pub(crate) fn around(request: &RequestHead) -> Option<Bypass> {
    if has_precondition(&request.fields) {
        return Some(Bypass::Precondition);
    }
    if request.method != Method::Get {
        return Some(Bypass::Method);
    }
    request.fields.contains("range").then_some(Bypass::Range)
}

/// The conditions and the range of a request that may use the fast path; `None` for one that may not, for it
/// has credentials, or wants several ranges. `fields` have lower-case names.
pub(crate) fn fast_path_conditions<'f>(
    method: Method,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> Option<Fields> {
    if !method.is_lookup() {
        return None;
    }
    let mut conditions = Fields::new();
    for (name, value) in fields {
        if name == "authorization" || name == "range" && value.contains(&b',') {
            return None;
        }
        if conditional::is_condition(name) {
            conditions.push(name, value);
        }
    }
    Some(conditions)
}
