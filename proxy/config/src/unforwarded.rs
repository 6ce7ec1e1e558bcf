//! Which fields of a request an origin is not told.

/// Fields by which a proxy tells an origin of its client. They are never passed on: the front says it itself.
const CLIENT_TELLING: [&str; 12] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// Fields that ask an application to take a request for one of another method. Beside a method that changes
/// nothing they are not passed on: such a request is what it looks like, for its answer may be stored.
const METHOD_OVERRIDES: [&str; 4] =
    ["x-http-method", "x-http-method-override", "x-method-override", "x-original-method"];

/// Other fields that some applications take for a part of the request, and that no cache key has.
const UNFORWARDED_DEFAULT: [&str; 10] = [
    "front-end-https",
    // A program run by CGI reads it as `HTTP_PROXY` (CVE-2016-5385).
    "proxy",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    // Some versions of Next.js skip their checks for it (CVE-2025-29927).
    "x-middleware-subrequest",
    "x-original-uri",
    "x-override-url",
    "x-url-scheme",
];

/// Fields that were judged under this name, or may be told from others by it, and are not passed on under one
/// that some applications take for the same.
const JUDGED: [&str; 7] =
    ["authorization", "connection", "content-length", "cookie", "host", "range", "transfer-encoding"];

/// Which fields of a request are not passed on to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unforwarded(Vec<String>);

impl Default for Unforwarded {
    fn default() -> Self {
        Self(UNFORWARDED_DEFAULT.map(str::to_owned).into())
    }
}

impl Unforwarded {
    /// Those of these names, which are in lower case, beside what is never passed on.
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Is the field of this name, which is in lower case, one of them in a request of this method?
    pub fn has(&self, name: &str, method: &str) -> bool {
        if name.contains('_') {
            // CGI and its heirs have one variable for both spellings.
            let name = name.replace('_', "-");
            return JUDGED.contains(&&*name) || self.has(&name, method);
        }
        CLIENT_TELLING.contains(&name)
            || (METHOD_OVERRIDES.contains(&name) && matches!(method, "GET" | "HEAD" | "OPTIONS"))
            || self.0.iter().any(|other| other == name)
    }
}
