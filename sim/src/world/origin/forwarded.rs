//! What an origin is told of who asks: the addresses that count, and nothing that a stranger says of itself.

use http::{HeaderMap, header};
use tiergate_config::FrontOptions;

/// Where the clients of this world's load balancers are (TEST-NET-2, RFC 5737).
pub(crate) const CLIENTS_OF_BALANCERS: &str = "198.51.100.";
/// The field that a scenario may keep from the origin.
pub(crate) const SECRET_FIELD: &str = "x-secret";

/// What is wrong with the fields of a request that an edge with these options sent.
pub(super) fn wrong(fields: &HeaderMap, front: &FrontOptions) -> Option<String> {
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let told = text("x-forwarded-for");
    let members: Vec<&str> = told.split(',').map(str::trim).collect();
    let is_ours = |member: &&str| member.starts_with("192.168.");
    let is_right = match &members[..] {
        [peer] => front.trusted.is_empty() && is_ours(peer),
        [client, peer] => {
            !front.trusted.is_empty() && client.starts_with(CLIENTS_OF_BALANCERS) && is_ours(peer)
        }
        _ => false,
    };
    let proto = if front.trusted.is_empty() { "http" } else { "https" };
    if !is_right || text("x-forwarded-proto") != proto {
        return Some(format!("of a client at {told:?} over {:?}", text("x-forwarded-proto")));
    }
    let host = text(header::HOST.as_str());
    if front.origin_host.as_ref().is_some_and(|wanted| wanted != host) {
        return Some(format!("the host {host:?}"));
    }
    (fields.contains_key(SECRET_FIELD) && front.unforwarded.has(SECRET_FIELD, "GET"))
        .then(|| format!("{SECRET_FIELD:?}, which is to be removed"))
}
