//! Which requests the cache answers at all.

use crate::{head::Method, reason::Bypass};

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
        // RFC 9110 section 14: answered from stored objects by whoever holds them whole; never stored here.
        "range" | "if-range" => Some(Bypass::Range),
        // RFC 9110 section 13.2.1: these two are the origin's to judge.
        "if-match" | "if-unmodified-since" => Some(Bypass::Precondition),
        _ => None,
    })
}

/// May this request use the fast door? A condition that the cache itself can judge is left to the proper way in.
pub(crate) fn may_use_door<'f>(method: Method, fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> bool {
    let mut conditional = false;
    let bypass = bypass(
        method,
        fields.inspect(|(name, _)| {
            conditional |= matches!(*name, "if-none-match" | "if-modified-since");
        }),
    );
    method == Method::Get && bypass.is_none() && !conditional
}
