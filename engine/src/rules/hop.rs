//! Fields that belong to one connection and go no further (RFC 9110 section 7.6.1).

use super::list::members;
use crate::language::head::Fields;
use alloc::{string::String, vec::Vec};

/// Is `name` (lower case) a field of the connection, whether `Connection` names it or not?
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What all `Connection` lines name, in lower case, but for the fields that are meant for everybody.
///
/// Section 7.6.1 forbids to nominate those. A nomination that were obeyed would take the `no-store` from a
/// response, or the credentials from a request, without the sender's knowledge.
pub fn nominated<'v>(connection: impl Iterator<Item = &'v [u8]>) -> Vec<String> {
    connection
        .flat_map(members)
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .filter(|name| !is_for_everybody(name))
        .collect()
}

fn is_for_everybody(name: &str) -> bool {
    matches!(
        name,
        "age"
            | "authorization"
            | "cache-control"
            | "cdn-cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "date"
            | "etag"
            | "expires"
            | "host"
            | "last-modified"
            | "range"
            | "set-cookie"
            | "vary"
    )
}

/// Removes the connection's fields.
pub fn remove_hop_by_hop(fields: &mut Fields) {
    let nominated = nominated(fields.all("connection"));
    fields.remove(|name| is_hop_by_hop(name) || nominated.iter().any(|nominee| nominee == name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn left(fields: &[(&str, &str)]) -> Vec<String> {
        let mut fields: Fields = fields.iter().copied().collect();
        remove_hop_by_hop(&mut fields);
        fields.iter().map(|(name, _)| name.into()).collect()
    }

    /// The connection's own fields go, and what `Connection` names on any line, in any case.
    #[test]
    fn what_belongs_to_the_connection_goes() {
        let fields = [
            ("Connection", "A, close"),
            ("connection", "b"),
            ("a", "1"),
            ("B", "2"),
            ("c", "3"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "x"),
            ("Proxy-Authentication-Info", "x"),
            ("Proxy-Authorization", "x"),
            ("Proxy-Connection", "x"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "x"),
        ];
        assert_eq!(left(&fields), ["c"]);
    }

    /// Nobody can take away what is meant for everybody.
    #[test]
    fn nominations_do_not_reach_what_is_for_everybody() {
        let fields = [
            ("connection", "Cache-Control, vary, authorization"),
            ("cache-control", "no-store"),
            ("vary", "*"),
            ("authorization", "x"),
        ];
        assert_eq!(left(&fields), ["cache-control", "vary", "authorization"]);
    }
}
