//! The head of an HTTP/2 request, judged as one of HTTP/1 is (RFC 9113 section 8.3.1).
//!
//! What is malformed by the rules of HTTP/2 alone (a connection's own fields, capitals in a name, a length
//! that the data do not have) never comes here: the `h2` crate resets such a stream.

use super::{Fault, Framing, Meant, ParsedHead, target};
use crate::{
    config::{HeadLimits, Standing},
    front::forwarding,
};
use http::request;
use tiergate_tiers::http_head::{self, Scheme};

/// What may follow a head on its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: the head ended the stream.
    Nothing,
    Data,
}

/// What a field line counts beside its name and value (RFC 9113 section 6.5.2).
const FIELD_LINE_REST: usize = 32;

/// Judges a head that came over `scheme` from somebody of this `standing`. `places` is room for its field
/// lines.
pub(crate) fn judge<'h, 'b>(
    parts: &'b request::Parts,
    rest: Rest,
    scheme: Scheme,
    standing: Standing,
    limits: &HeadLimits,
    places: &'h mut Vec<httparse::Header<'b>>,
) -> Result<ParsedHead<'h, 'b>, Fault> {
    let method = parts.method.as_str();
    let written = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if written.len() > limits.target_bytes_max {
        return Err(Fault::TargetTooLong);
    }
    let lines = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_LINE_REST);
    if written.len() + lines.sum::<usize>() > limits.head_bytes_max {
        return Err(Fault::HeadTooLarge);
    }
    if parts.headers.len() > limits.field_lines_max {
        return Err(Fault::TooManyFields);
    }
    if matches!(method, "TRACE" | "CONNECT") {
        return Err(Fault::Method);
    }
    if !written.starts_with('/') && written != "*" {
        return Err(Fault::Target);
    }
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Fault::Target);
    }
    let (target, _) = target(method, written)?;
    places.clear();
    places.reserve_exact(parts.headers.len());
    for (name, value) in &parts.headers {
        let value = value.as_bytes();
        // Section 8.2.1: whoever wrote it on would lose the space.
        if value.trim_ascii().len() != value.len() {
            return Err(Fault::Field);
        }
        places.push(httparse::Header { name: name.as_str(), value });
    }
    let lines: &'h [httparse::Header<'b>] = places;
    let meant = Meant::of(lines, false)?;
    let scheme =
        forwarding::client_scheme(scheme, standing, lines.iter().map(|line| (line.name, line.value)));
    let normal = |text| http_head::normal_authority(text, scheme).ok_or(Fault::BadHost);
    let named = parts.uri.authority().map(|authority| normal(authority.as_str())).transpose()?;
    let host = meant.host.map(normal).transpose()?;
    let authority = match (named, host) {
        (Some(named), Some(host)) if named != host => return Err(Fault::ManyHosts),
        (Some(named), _) => named,
        (None, Some(host)) => host,
        (None, None) => return Err(Fault::NoHost),
    };
    let framing = match (rest, meant.framing) {
        (Rest::Nothing, _) => Framing::Empty,
        (Rest::Data, Framing::Length(length)) => Framing::Length(length),
        // A length that is none was said, or none was.
        (Rest::Data, _) if parts.headers.contains_key(http::header::CONTENT_LENGTH) => Framing::Empty,
        (Rest::Data, Framing::Empty | Framing::Chunked) => Framing::Chunked,
    };
    Ok(ParsedHead {
        method,
        target,
        scheme,
        authority: Some(authority),
        is_http_10: false,
        framing,
        keeps_open: true,
        upgrades: false,
        lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn judged(request: request::Builder, rest: Rest) -> Result<String, Fault> {
        let (parts, ()) = request.body(()).expect("it can be built").into_parts();
        let limits = HeadLimits { target_bytes_max: 20, field_lines_max: 4, ..HeadLimits::default() };
        let mut places = Vec::new();
        let judged = judge(&parts, rest, Scheme::Https, Standing::Stranger, &limits, &mut places)?;
        let ParsedHead { method, target, authority, framing, .. } = judged;
        Ok(format!("{method} {} {target} {framing:?}", authority.unwrap_or_default()))
    }

    /// The authority is the pseudo-header's or `Host`'s, in one spelling; two that differ are refused.
    #[test]
    fn an_authority_is_told_once() {
        let get = |uri: &str| Request::get(uri);
        let of = |request| judged(request, Rest::Nothing);
        let right = Ok("GET a.example:443 /x Empty".to_owned());
        assert_eq!(of(get("https://A.example/x")), right);
        assert_eq!(of(get("https://a.example:443/x").header("host", "a.example")), right);
        assert_eq!(of(get("/x").header("host", "a.example.")), right);
        assert_eq!(of(get("https://a.example/x").header("host", "b.example")), Err(Fault::ManyHosts));
        let two = get("/x").header("host", "a.example").header("host", "a.example");
        assert_eq!(of(two), Err(Fault::ManyHosts));
        assert_eq!(of(get("/x")), Err(Fault::NoHost));
        assert_eq!(of(get("https://u@a.example/x")), Err(Fault::BadHost));
        assert_eq!(of(get("ftp://a.example/x")), Err(Fault::Target));
    }

    /// What HTTP/1 refuses is refused here, for the same reason.
    #[test]
    fn heads_are_judged_as_in_http_1() {
        let of = |method, path: &str| {
            judged(Request::builder().method(method).uri(path).header("host", "a"), Rest::Nothing)
        };
        assert_eq!(of("OPTIONS", "*"), Ok("OPTIONS a:443 * Empty".to_owned()));
        assert_eq!(of("GET", "*"), Err(Fault::Target));
        assert_eq!(of("GET", "/ä"), Err(Fault::Target));
        assert_eq!(of("GET", "/12345678901234567890"), Err(Fault::TargetTooLong));
        assert_eq!(of("TRACE", "/"), Err(Fault::Method));
        let with = |fields: &[(&str, &str)], rest| {
            let get = Request::get("/").header("host", "a");
            judged(fields.iter().fold(get, |get, (name, value)| get.header(*name, *value)), rest)
        };
        assert_eq!(
            with(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")], Rest::Nothing),
            Err(Fault::TooManyFields)
        );
        assert_eq!(with(&[("a", "1 ")], Rest::Nothing), Err(Fault::Field));
        assert_eq!(with(&[("expect", "x")], Rest::Nothing), Err(Fault::Expectation));
        assert_eq!(with(&[("content-length", "1"), ("content-length", "1")], Rest::Data), Err(Fault::Length));
        let framed =
            |fields, rest| with(fields, rest).map(|text| text.rsplit("/ ").next().unwrap_or("").to_owned());
        assert_eq!(framed(&[("content-length", "7")], Rest::Data), Ok("Length(7)".to_owned()));
        assert_eq!(framed(&[("content-length", "0")], Rest::Data), Ok("Empty".to_owned()));
        assert_eq!(framed(&[], Rest::Data), Ok("Chunked".to_owned()));
        assert_eq!(framed(&[], Rest::Nothing), Ok("Empty".to_owned()));
    }
}
