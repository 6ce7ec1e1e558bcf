//! The head of an HTTP/1 request, read strictly (RFC 9112).
//!
//! Two servers that read one message differently are how requests are smuggled and caches poisoned, so
//! whatever can be read in two ways is refused before anybody is asked: a line that a bare line feed ends, a
//! length said twice, a coding beside a length, a target that is none. What is let through goes on in one
//! spelling. Start at [`find_end`] and [`parse`].

pub(crate) mod of_h2;

use super::forwarding;
use crate::config::{FIELD_LINES_MOST, HeadLimits, Standing, Unforwarded};
use http::uri::PathAndQuery;
use std::{borrow::Cow, mem::MaybeUninit};
use tiergate_engine::{Fields, Method, RequestHead};
use tiergate_tiers::http_head::{self, HeadError, Scheme};

/// What a request line has beside its target at most, before it is too long for that alone.
const REQUEST_LINE_REST: usize = 64;

/// Why a request is refused before anybody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A line ends with a bare line feed, or a carriage return stands alone.
    LineEnd,
    /// The request line is not a method, a target and a version with one space between them.
    RequestLine,
    /// The version is neither 1.0 nor 1.1.
    Version,
    /// A field line is none.
    Field,
    /// The target is no path, no `http` URL, and no `*` of an `OPTIONS`.
    Target,
    TargetTooLong,
    HeadTooLarge,
    TooManyFields,
    NoHost,
    ManyHosts,
    BadHost,
    /// `Content-Length` is said twice, or is no number.
    Length,
    /// `Content-Length` beside `Transfer-Encoding`.
    LengthAndCoding,
    /// A transfer coding in a request of HTTP/1.0.
    CodingIn10,
    /// A transfer coding other than `chunked`.
    Coding,
    /// `TRACE` or `CONNECT`.
    Method,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The request has been here before: an origin leads back to this cache.
    Loop,
}

impl Fault {
    /// The status that it is answered with.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::LineEnd
            | Self::RequestLine
            | Self::Field
            | Self::Target
            | Self::NoHost
            | Self::ManyHosts
            | Self::BadHost
            | Self::Length
            | Self::LengthAndCoding
            | Self::CodingIn10 => 400,
            Self::Method => 405,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::Coding => 501,
            Self::Version => 505,
            Self::Loop => 508,
        }
    }

    /// What the client reads.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::LineEnd => "400 Bad Request: a line of the head does not end with CR LF.\n",
            Self::RequestLine => {
                "400 Bad Request: the request line is not a method, a target and a version, one space apart.\n"
            }
            Self::Field => "400 Bad Request: a line of the head is no field.\n",
            Self::Target => "400 Bad Request: the target is no path and no http URL.\n",
            Self::NoHost => "400 Bad Request: the request names no host.\n",
            Self::ManyHosts => "400 Bad Request: the request names more than one host.\n",
            Self::BadHost => "400 Bad Request: Host is no host name with an optional port.\n",
            Self::Length => "400 Bad Request: Content-Length is said more than once, or is no number.\n",
            Self::LengthAndCoding => {
                "400 Bad Request: the request has both Content-Length and Transfer-Encoding.\n"
            }
            Self::CodingIn10 => "400 Bad Request: HTTP/1.0 has no Transfer-Encoding.\n",
            Self::Method => "405 Method Not Allowed.\n",
            Self::TargetTooLong => "414 URI Too Long.\n",
            Self::Expectation => "417 Expectation Failed: only 100-continue is known.\n",
            Self::HeadTooLarge => "431 Request Header Fields Too Large: the head has too many bytes.\n",
            Self::TooManyFields => "431 Request Header Fields Too Large: the head has too many fields.\n",
            Self::Coding => "501 Not Implemented: the only transfer coding known is chunked.\n",
            Self::Loop => "508 Loop Detected: the origin server leads back to this cache.\n",
            Self::Version => "505 HTTP Version Not Supported: this server speaks HTTP/1.1 and HTTP/1.0.\n",
        }
    }

    /// What it is called in `Cache-Status` and the log.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::LineEnd => "bad-line-end",
            Self::RequestLine => "bad-request-line",
            Self::Version => "bad-version",
            Self::Field => "bad-field",
            Self::Target => "bad-target",
            Self::TargetTooLong => "target-too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::TooManyFields => "too-many-fields",
            Self::NoHost => "no-host",
            Self::ManyHosts => "many-hosts",
            Self::BadHost => "bad-host",
            Self::Length => "bad-length",
            Self::LengthAndCoding => "length-and-coding",
            Self::CodingIn10 => "coding-in-http-1-0",
            Self::Coding => "unknown-coding",
            Self::Method => "method-not-allowed",
            Self::Expectation => "unknown-expectation",
            Self::Loop => "loop-detected",
        }
    }
}

impl From<HeadError> for Fault {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::NoAuthority => Self::NoHost,
            HeadError::ManyAuthorities => Self::ManyHosts,
            HeadError::BadAuthority => Self::BadHost,
            HeadError::BadField | HeadError::BadStatus => Self::Field,
        }
    }
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes; more than none.
    Length(u64),
    Chunked,
}

/// A head that can be read in one way only.
#[derive(Debug)]
pub(crate) struct ParsedHead<'h, 'b> {
    pub(crate) method: &'b str,
    /// From the path on; `*` for an `OPTIONS` of the server.
    pub(crate) target: Cow<'b, str>,
    /// How the client reached us, or the trusted proxy in front of us.
    pub(crate) scheme: Scheme,
    /// In lower case, without the port that the scheme implies. `None` for a request of HTTP/1.0 without one.
    pub(crate) authority: Option<Cow<'b, str>>,
    pub(crate) is_http_10: bool,
    pub(crate) framing: Framing,
    /// Does the client want to send another request over this connection?
    pub(crate) keeps_open: bool,
    /// Does it want another protocol that an origin may agree to?
    pub(crate) upgrades: bool,
    /// Every field line, names in lower case.
    lines: &'h [httparse::Header<'b>],
}

/// Where the head ends that `bytes` begin with, if its end is there. What stands before `searched` was looked
/// at before, and had no end.
pub(crate) fn find_end(bytes: &[u8], searched: usize, limits: &HeadLimits) -> Result<Option<usize>, Fault> {
    let mut at = searched;
    while let Some(feed) = memchr::memchr(b'\n', &bytes[at..]) {
        let feed = at + feed;
        if feed == 0 || bytes[feed - 1] != b'\r' {
            return Err(Fault::LineEnd);
        }
        let is_empty = feed == 1 || bytes[feed - 2] == b'\n';
        at = feed + 1;
        if at > limits.head_bytes_max {
            return Err(Fault::HeadTooLarge);
        }
        // One empty line before the request line is left by some old clients (section 2.2).
        if is_empty && at > 2 {
            return Ok(Some(at));
        }
    }
    if bytes.len() >= limits.head_bytes_max {
        return Err(Fault::HeadTooLarge);
    }
    if at == 0 && bytes.len() > limits.target_bytes_max.saturating_add(REQUEST_LINE_REST) {
        return Err(Fault::TargetTooLong);
    }
    Ok(None)
}

/// Puts the field names of a head into lower case.
pub(crate) fn lower_names(head: &mut [u8]) {
    // The request line is none.
    let Some(first) = memchr::memchr(b'\n', head) else { return };
    let mut at = first + 1;
    while at < head.len() {
        let line_end = memchr::memchr(b'\n', &head[at..]).map_or(head.len(), |feed| at + feed + 1);
        for byte in &mut head[at..line_end] {
            if *byte == b':' {
                break;
            }
            byte.make_ascii_lowercase();
        }
        at = line_end;
    }
}

/// Reads a whole head, whose names are in lower case, and which came over `scheme` from somebody of this
/// `standing`. `places` is room for its field lines.
pub(crate) fn parse<'h, 'b>(
    head: &'b [u8],
    scheme: Scheme,
    standing: Standing,
    limits: &HeadLimits,
    places: &'h mut [MaybeUninit<httparse::Header<'b>>; FIELD_LINES_MOST],
) -> Result<ParsedHead<'h, 'b>, Fault> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut parser = httparse::Request::new(&mut []);
    let room = &mut places[..limits.field_lines_max.min(FIELD_LINES_MOST)];
    match parser.parse_with_uninit_headers(head, room) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        // The end that it sees is not the one that we saw.
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => return Err(Fault::Field),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooManyFields),
        Err(httparse::Error::Token | httparse::Error::Status) => return Err(Fault::RequestLine),
        Err(httparse::Error::Version) => return Err(version_fault(head)),
        Err(httparse::Error::NewLine) => return Err(Fault::LineEnd),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => return Err(Fault::Field),
    }
    let (Some(method), Some(written), Some(version)) = (parser.method, parser.path, parser.version) else {
        return Err(Fault::RequestLine);
    };
    let lines: &'h [httparse::Header<'b>] = parser.headers;
    // Before anything else of it is judged: what is too long is refused for that.
    if written.len() > limits.target_bytes_max {
        return Err(Fault::TargetTooLong);
    }
    if matches!(method, "TRACE" | "CONNECT") {
        return Err(Fault::Method);
    }
    let is_http_10 = version == 0;
    let (target, named) = target(method, written)?;
    let meant = Meant::of(lines, is_http_10)?;
    let said = || lines.iter().map(|line| (line.name, line.value));
    let scheme = forwarding::client_scheme(scheme, standing, said());
    let authority = match (named, meant.host) {
        (Some(named), _) => Some(named),
        (None, Some(host)) => Some(host),
        (None, None) if is_http_10 => None,
        (None, None) => return Err(Fault::NoHost),
    };
    let authority =
        authority.map(|text| http_head::normal_authority(text, scheme).ok_or(Fault::BadHost)).transpose()?;
    Ok(ParsedHead {
        method,
        target,
        scheme,
        authority,
        is_http_10,
        framing: meant.framing,
        keeps_open: meant.keeps_open,
        upgrades: meant.upgrades,
        lines,
    })
}

/// A request line whose last word looks like a version has a version that is not spoken here.
fn version_fault(head: &[u8]) -> Fault {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or(head);
    let words = line.iter().filter(|byte| **byte == b' ').count();
    let is_version = line.rsplit(|byte| *byte == b' ').next().is_some_and(|word| word.starts_with(b"HTTP/"));
    if words == 2 && is_version { Fault::Version } else { Fault::RequestLine }
}

/// What is asked for, from the path on, and the authority if the target names one (section 3.2).
fn target<'b>(method: &str, written: &'b str) -> Result<(Cow<'b, str>, Option<&'b str>), Fault> {
    // A fragment is the client's own, and bytes beyond ASCII are written in percent.
    if !written.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Fault::Target);
    }
    if written.starts_with('/') {
        return Ok((Cow::Borrowed(written), None));
    }
    if written == "*" && method == "OPTIONS" {
        return Ok((Cow::Borrowed(written), None));
    }
    let scheme_end = written.find("://").ok_or(Fault::Target)?;
    if !["http", "https"].iter().any(|scheme| written[..scheme_end].eq_ignore_ascii_case(scheme)) {
        return Err(Fault::Target);
    }
    let rest = &written[scheme_end + 3..];
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = match path.as_bytes().first() {
        Some(b'/') => Cow::Borrowed(path),
        Some(_) | None => Cow::Owned(format!("/{path}")),
    };
    Ok((path, Some(authority)))
}

/// What the fields say of the message itself.
struct Meant<'b> {
    host: Option<&'b str>,
    framing: Framing,
    keeps_open: bool,
    upgrades: bool,
}

impl<'b> Meant<'b> {
    fn of(lines: &[httparse::Header<'b>], is_http_10: bool) -> Result<Self, Fault> {
        let mut meant =
            Self { host: None, framing: Framing::Empty, keeps_open: !is_http_10, upgrades: false };
        let (mut length, mut is_chunked, mut wants_upgrade) = (None, false, false);
        for line in lines {
            match line.name {
                "host" => {
                    let text = std::str::from_utf8(line.value).map_err(|_| Fault::BadHost)?;
                    if meant.host.replace(text).is_some() {
                        return Err(Fault::ManyHosts);
                    }
                }
                "content-length" => {
                    let number = number(line.value).ok_or(Fault::Length)?;
                    if length.replace(number).is_some() {
                        return Err(Fault::Length);
                    }
                }
                "transfer-encoding" => {
                    if is_http_10 {
                        return Err(Fault::CodingIn10);
                    }
                    if is_chunked || !line.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Fault::Coding);
                    }
                    is_chunked = true;
                }
                "connection" => {
                    for option in options(line.value) {
                        if option.eq_ignore_ascii_case(b"close") {
                            meant.keeps_open = false;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") {
                            meant.keeps_open |= is_http_10;
                        } else if option.eq_ignore_ascii_case(b"upgrade") {
                            wants_upgrade = true;
                        }
                    }
                }
                // HTTP/2 is not begun that way any more (RFC 9113 section 3.1): such a request is one like
                // any other.
                "upgrade" => {
                    meant.upgrades |= options(line.value).any(|name| !name.eq_ignore_ascii_case(b"h2c"));
                }
                "expect" if !line.value.eq_ignore_ascii_case(b"100-continue") => {
                    return Err(Fault::Expectation);
                }
                _ => {}
            }
        }
        meant.upgrades &= wants_upgrade;
        meant.framing = match (length, is_chunked) {
            (Some(_), true) => return Err(Fault::LengthAndCoding),
            (None, true) => Framing::Chunked,
            (Some(0) | None, false) => Framing::Empty,
            (Some(length), false) => Framing::Length(length),
        };
        Ok(meant)
    }
}

fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// Digits and nothing else (RFC 9110 section 8.6).
fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

impl<'b> ParsedHead<'_, 'b> {
    /// Every field line, names in lower case.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + Clone {
        self.lines.iter().map(|line| (line.name, line.value))
    }

    /// Is it all that a lookup needs: no body, and no other protocol?
    pub(crate) fn is_plain(&self) -> bool {
        self.framing == Framing::Empty && !self.upgrades
    }

    /// The engine's word for the method. A `GET` that brings a body or wants another protocol is no question
    /// to a cache: as any other method, it is passed with all it brings.
    pub(crate) fn engine_method(&self) -> Method {
        match self.method {
            "GET" if self.is_plain() => Method::Get,
            "HEAD" if self.is_plain() => Method::Head,
            "GET" | "HEAD" | "OPTIONS" => Method::OtherSafe,
            "POST" => Method::Post,
            _ => Method::Other,
        }
    }

    /// The engine's view of it. `default_authority` is for a client of HTTP/1.0 that names none.
    pub(crate) fn engine_head(
        &self,
        default_authority: &str,
        unforwarded: &Unforwarded,
    ) -> Result<RequestHead, Fault> {
        // What an origin's client could not write must not look like the origin's failure.
        if self.target != "*" && PathAndQuery::try_from(&*self.target).is_err() {
            return Err(Fault::Target);
        }
        Ok(RequestHead {
            method: self.engine_method(),
            authority: self.authority.as_deref().unwrap_or(default_authority).into(),
            target: (&*self.target).into(),
            fields: self.end_to_end(unforwarded),
        })
    }

    /// The fields that go on to an origin.
    fn end_to_end(&self, unforwarded: &Unforwarded) -> Fields {
        let fields = http_head::end_to_end_lines(|| self.lines());
        let is_kept = |name: &str| name != "host" && !unforwarded.has(name, self.method);
        fields.iter().filter(|(name, _)| is_kept(name)).collect()
    }
}

#[cfg(test)]
mod tests;
