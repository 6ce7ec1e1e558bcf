//! Who may ask the admin listener.
//!
//! Without a token the listener is on loopback, and whoever is on this machine may ask. So might any web page
//! that is open in a browser on this machine: by a name of its own that it lets point to loopback (DNS
//! rebinding), which the `Host` of its requests tells, or by sending a form without reading the answer, which
//! browsers tell with `Origin` and `Sec-Fetch-Site`.

use crate::config::Token;
use http::{HeaderMap, Request, StatusCode, header, uri::Authority};
use std::net::IpAddr;

/// Who may ask.
pub enum Guard {
    /// Whoever is on this machine and calls it by a loopback name.
    Loopback,
    /// Whoever knows the token.
    Token(Token),
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The request does not name a loopback host.
    ForeignName,
    /// The request has no token, or a wrong one.
    NoToken,
    /// A web page sends the request.
    WebPage,
}

impl Denied {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::ForeignName => StatusCode::MISDIRECTED_REQUEST,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::WebPage => StatusCode::FORBIDDEN,
        }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::ForeignName => {
                "Host must be localhost or a loopback address here; another name needs a token.\n"
            }
            Self::NoToken => "A token is needed: Authorization: Bearer …\n",
            Self::WebPage => "Web pages may not purge.\n",
        }
    }
}

impl Guard {
    /// May this request be answered?
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<(), Denied> {
        match self {
            Self::Loopback => loopback_name(request),
            Self::Token(token) => match bearer(request.headers()) {
                Some(given) if token.is(given) => Ok(()),
                Some(_) | None => Err(Denied::NoToken),
            },
        }
    }

    /// May this request be told whether the server is well? Load balancers have no token.
    pub(crate) fn probe<B>(&self, request: &Request<B>) -> Result<(), Denied> {
        match self {
            Self::Loopback => loopback_name(request),
            Self::Token(_) => Ok(()),
        }
    }
}

/// Does a browser send this for a web page, and not because somebody typed the address?
pub(crate) fn is_of_a_web_page<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"none")
}

/// There is one `Host`, or none and a target with an authority, and it is a loopback name.
fn loopback_name<B>(request: &Request<B>) -> Result<(), Denied> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        (Some(_), Some(_)) | (None, _) => None,
    };
    let of_target = request.uri().authority();
    let names = [host.as_ref(), of_target.or(host.as_ref())];
    let is_right = names.iter().all(|name| name.is_some_and(|name| is_loopback(name.host())));
    if is_right { Ok(()) } else { Err(Denied::ForeignName) }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The token of the only `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, None) = (lines.next()?.as_bytes(), lines.next()) else { return None };
    let (scheme, token) = line.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a right request")
    }

    /// Without a token, a request names this machine as this machine names itself.
    #[test]
    fn a_name_that_somebody_else_gave_is_refused() {
        let ask = |host: &str| Guard::Loopback.admit(&request("/", &[("host", host)]));
        for host in
            ["localhost", "LOCALHOST:9080", "127.0.0.1:9080", "127.8.8.8", "[::1]:1", "[::ffff:127.0.0.1]"]
        {
            assert_eq!(ask(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "a b",
            "",
        ] {
            assert_eq!(ask(host), Err(Denied::ForeignName), "{host}");
        }
        let both = |uri: &str, hosts: &[(&str, &str)]| Guard::Loopback.admit(&request(uri, hosts));
        let local = ("host", "localhost");
        assert_eq!(both("/", &[]), Err(Denied::ForeignName));
        assert_eq!(both("/", &[local, local]), Err(Denied::ForeignName));
        assert_eq!(both("http://localhost/", &[local]), Ok(()));
        assert_eq!(both("http://evil.example/", &[local]), Err(Denied::ForeignName));
        assert_eq!(both("http://localhost/", &[("host", "evil.example")]), Err(Denied::ForeignName));
        assert_eq!(
            Guard::Loopback.probe(&request("/", &[("host", "evil.example")])),
            Err(Denied::ForeignName)
        );
    }

    /// With a token, the name does not matter, and nothing but the token does. Probes need none.
    #[test]
    fn a_token_is_asked_for() {
        let guard = Guard::Token(Token::new("0123456789abcdef").expect("long enough"));
        let ask = |fields: &[(&str, &str)]| {
            let mut all = vec![("host", "edge.example")];
            all.extend_from_slice(fields);
            guard.admit(&request("/", &all))
        };
        let right = ("authorization", "Bearer 0123456789abcdef");
        assert_eq!(ask(&[right]), Ok(()));
        assert_eq!(ask(&[("authorization", "bearer  0123456789abcdef")]), Ok(()));
        for wrong in
            ["Bearer 0123456789abcdeF", "Bearer", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef", ""]
        {
            assert_eq!(ask(&[("authorization", wrong)]), Err(Denied::NoToken), "{wrong}");
        }
        assert_eq!(ask(&[]), Err(Denied::NoToken));
        assert_eq!(ask(&[right, right]), Err(Denied::NoToken));
        assert_eq!(guard.probe(&request("/", &[])), Ok(()));
    }

    /// What a browser says of a request that a page sent is seen.
    #[test]
    fn a_web_page_is_seen() {
        let is_seen = |fields: &[(&str, &str)]| is_of_a_web_page(&request("/", fields));
        assert!(!is_seen(&[]));
        assert!(!is_seen(&[("sec-fetch-site", "none")]));
        assert!(is_seen(&[("sec-fetch-site", "cross-site")]));
        assert!(is_seen(&[("sec-fetch-site", "same-origin")]));
        assert!(is_seen(&[("origin", "null")]));
    }
}
