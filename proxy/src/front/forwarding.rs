//! What an origin is told of a request beside what the client asked: who asked, and through whom.
//!
//! Strangers' word on that is not passed on (see `request_head`): an origin that believes `X-Forwarded-Host`
//! would let them choose what the cache then stores for everybody.

use super::request_head::{ParsedHead, is_client_telling};
use crate::response::VIA_TEXT;
use std::net::IpAddr;
use tiergate_engine::Fields;
use tiergate_tiers::http_head::{self, Scheme};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) scheme: Scheme,
}

impl Client {
    const fn proto(self) -> &'static str {
        match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The fields that tell of it.
    pub(super) fn fields(self, authority: &str) -> [(&'static str, String); 3] {
        [
            ("x-forwarded-for", self.address.to_canonical().to_string()),
            ("x-forwarded-proto", self.proto().to_owned()),
            ("x-forwarded-host", http_head::host_field(authority).to_owned()),
        ]
    }
}

/// Has this request been here before? Then the origin is this cache itself, or leads back to it (RFC 8586).
pub(super) fn is_loop<'f>(lines: impl Iterator<Item = (&'f str, &'f [u8])>, loop_id: &str) -> bool {
    lines
        .filter(|(name, _)| *name == "cdn-loop")
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .any(|value| value.split(',').any(|member| member.trim() == loop_id))
}

/// Adds to a fetch's fields who asked first, and that it came through here.
pub(super) fn tell_of_client(fields: &mut Fields, authority: &str, client: Client, loop_id: &str) {
    for (name, value) in client.fields(authority) {
        fields.push(name, value.as_bytes());
    }
    fields.push("via", VIA_TEXT.as_bytes());
    fields.push("cdn-loop", loop_id.as_bytes());
}

/// A request's head in one spelling, for Pingora: what was judged, and nothing that can be read otherwise. Who
/// asks is added on the way to the origin.
/// Names keep the letters that the client wrote.
pub(super) fn written_anew(raw: &[u8], parsed: &ParsedHead<'_, '_>, authority: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + 128);
    let host = http_head::host_field(authority);
    let version = if parsed.is_http_10 { "1.0" } else { "1.1" };
    out.extend_from_slice(
        format!("{} {} HTTP/{version}\r\nHost: {host}\r\n", parsed.method, parsed.target).as_bytes(),
    );
    let raw = raw.strip_prefix(b"\r\n").unwrap_or(raw);
    for line in raw.split_inclusive(|byte| *byte == b'\n').skip(1) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or(line).to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name);
        let is_end = line == b"\r\n";
        // An upgrade that is not one is not passed on as one.
        let is_upgrade = matches!(&*name, "upgrade" | "http2-settings") && !parsed.upgrades;
        if !is_end && !is_upgrade && name != "host" && !is_client_telling(&name) {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}
