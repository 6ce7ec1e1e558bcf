//! `Cache-Control` (RFC 9111 section 5.2), read as its section 1.2.2 and RFC 9110 section 5.6 ask.

use crate::head::Fields;
use core::time::Duration;

/// The response directives that this cache obeys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResponseDirectives {
    pub no_store: bool,
    pub no_cache: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
}

impl ResponseDirectives {
    /// All `Cache-Control` lines of a response, as one list.
    pub(super) fn of(fields: &Fields) -> Self {
        let mut found = Self::default();
        for line in fields.all("cache-control") {
            for member in members(line) {
                found.take(member);
            }
        }
        found
    }

    fn take(&mut self, member: &[u8]) {
        let (name, argument) = match member.iter().position(|byte| *byte == b'=') {
            Some(at) => (&member[..at], Some(&member[at + 1..])),
            None => (member, None),
        };
        let is = |wanted: &str| name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes());
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            // With or without field names: we do not take a response apart, so both mean the whole of it.
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("max-age") {
            self.max_age = Some(smaller(self.max_age, seconds(argument)));
        } else if is("s-maxage") {
            self.s_maxage = Some(smaller(self.s_maxage, seconds(argument)));
        }
    }
}

/// Of two that contradict each other the smaller holds (RFC 9111 section 4.2.1 leaves the choice).
fn smaller(known: Option<Duration>, new: Duration) -> Duration {
    known.map_or(new, |known| known.min(new))
}

/// Delta-seconds (RFC 9111 section 1.2.2): digits, quoted or not; past 2³¹ it is 2³¹. Anything else is stale at once,
/// as section 4.2.1 encourages.
pub(super) fn seconds(argument: Option<&[u8]>) -> Duration {
    let digits = argument.map_or(&b""[..], <[u8]>::trim_ascii);
    let digits = digits.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Duration::ZERO;
    }
    let value = digits.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(1 << 31)
    });
    Duration::from_secs(value)
}

/// The members of a comma-separated list; commas inside quoted strings do not separate.
pub(super) fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let separates = *byte == b',' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        separates
    })
    .map(<[u8]>::trim_ascii)
    .filter(|member| !member.is_empty())
}
