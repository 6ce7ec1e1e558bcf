//! What an origin is told of who asks: the addresses that count, and nothing that a stranger says of itself.

use http::{HeaderMap, header};
use tiergate_config::ToldBy;
use tiergate_scenarios::Scenario;
use tiergate_tiers::http_head::Scheme;

/// Where the clients of this world's load balancers are (TEST-NET-2, RFC 5737).
pub(crate) const CLIENTS_OF_BALANCERS: &str = "198.51.100.";
/// Who a client says that it is, where nobody believes it (TEST-NET-3).
pub(crate) const STRANGER: &str = "203.0.113.9";
/// The field that a scenario may keep from the origin.
pub(crate) const SECRET_FIELD: &str = "x-secret";

/// Who really asks, and how: clients say it in `User-Agent`, which everybody passes on and nobody believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The client of a load balancer.
    pub(crate) by: String,
    pub(crate) scheme: String,
}

impl Asked {
    /// As clients say it.
    pub(crate) fn user_agent(&self) -> String {
        format!("world ({} {})", self.by, self.scheme)
    }

    /// What was said, if it was.
    pub(crate) fn said(user_agent: &str) -> Option<Self> {
        let (by, scheme) = user_agent.strip_prefix("world (")?.strip_suffix(')')?.split_once(' ')?;
        Some(Self { by: by.to_owned(), scheme: scheme.to_owned() })
    }
}

/// Over which scheme an edge asks, which keys the two apart. Where nobody comes over TLS all have one key.
pub(super) fn scheme(fields: &HeaderMap, scenario: &Scenario) -> Scheme {
    let is_https = fields.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    if scenario.has_tls() && is_https { Scheme::Https } else { Scheme::Http }
}

/// What is wrong with the fields of a request that an edge of this scenario sent.
pub(super) fn wrong(fields: &HeaderMap, scenario: &Scenario) -> Option<String> {
    let front = &scenario.front;
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let told = text("x-forwarded-for");
    let members: Vec<&str> = told.split(',').map(str::trim).collect();
    let is_ours = |member: &&str| member.starts_with("192.168.");
    let asked = Asked::said(text(header::USER_AGENT.as_str()));
    let is_clients = |member: &str| {
        member.starts_with(CLIENTS_OF_BALANCERS) && asked.as_ref().is_none_or(|asked| asked.by == member)
    };
    let is_right = match (&members[..], scenario.told_by) {
        ([client], ToldBy::ProxyProtocol) => is_clients(client),
        ([peer], ToldBy::Connection) => front.trusted.is_empty() && is_ours(peer),
        ([client, peer], ToldBy::Connection) => {
            !front.trusted.is_empty() && is_clients(client) && is_ours(peer)
        }
        _ => false,
    };
    let says_proto = scenario.told_by == ToldBy::Connection && !front.trusted.is_empty();
    let proto = match &asked {
        _ if says_proto => Some("https"),
        Some(asked) => Some(asked.scheme.as_str()),
        // Odd requests come over either.
        None if scenario.has_tls() => None,
        None => Some("http"),
    };
    if !is_right || proto.is_some_and(|proto| proto != text("x-forwarded-proto")) {
        let over = text("x-forwarded-proto");
        return Some(format!("of a client at {told:?} over {over:?}, where {asked:?} asks"));
    }
    let host = text(header::HOST.as_str());
    if front.origin_host.as_ref().is_some_and(|wanted| wanted != host) {
        return Some(format!("the host {host:?}"));
    }
    (fields.contains_key(SECRET_FIELD) && front.unforwarded.has(SECRET_FIELD, "GET"))
        .then(|| format!("{SECRET_FIELD:?}, which is to be removed"))
}
