//! References in a response to other resources, resolved against the request (RFC 3986 section 5).

use crate::language::head::RequestHead;
use alloc::{boxed::Box, string::String, vec::Vec};

/// Authority, in lower case, and target of what `reference` means in a response to `request`. `None` when it
/// is not HTTP, not text without spaces, or names a user.
pub(super) fn resolve(request: &RequestHead, reference: &[u8]) -> Option<(Box<str>, Box<str>)> {
    let text = core::str::from_utf8(reference.trim_ascii()).ok()?;
    let text = text.split('#').next().unwrap_or_default();
    if text.bytes().any(|byte| byte == b' ' || byte.is_ascii_control()) {
        return None;
    }
    let elsewhere = match scheme(text) {
        Some("http" | "https") => {
            let (_, rest) = text.split_once(':')?;
            Some(split_authority(rest.strip_prefix("//")?))
        }
        Some(_) => return None,
        None => text.strip_prefix("//").map(split_authority),
    };
    let (authority, target) = match elsewhere {
        Some((authority, rest)) => (authority, absolute(rest)),
        None => (&*request.authority, relative(&request.target, text)),
    };
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    Some((authority.to_ascii_lowercase().into_boxed_str(), target.into_boxed_str()))
}

/// Is it the same host and port? The scheme is not known here, so the default port of either may be left out.
pub(super) fn is_same_authority(one: &str, other: &str) -> bool {
    let host = |authority: &str| {
        let bare =
            authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443")).unwrap_or(authority);
        bare.to_ascii_lowercase()
    };
    host(one) == host(other)
}

/// What stands before the first colon, if it can be a scheme; in lower case only for the two that matter.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => "http",
        _ if scheme.eq_ignore_ascii_case("https") => "https",
        _ => scheme,
    })
}

/// `host:port` and what follows it.
fn split_authority(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?']).unwrap_or(text.len()))
}

/// A target that begins at the root.
fn absolute(text: &str) -> String {
    if text.starts_with('/') {
        without_dots(text)
    } else {
        // An authority with nothing, or with a query, behind it.
        String::from("/") + text
    }
}

/// `reference` seen from `base` (RFC 3986 section 5.2.2).
fn relative(base: &str, reference: &str) -> String {
    let base_path = base.split('?').next().unwrap_or_default();
    match reference.bytes().next() {
        None => String::from(base),
        Some(b'/') => without_dots(reference),
        Some(b'?') => String::from(base_path) + reference,
        Some(_) => {
            let folder = base_path.rfind('/').map_or("/", |at| &base_path[..=at]);
            without_dots(&(String::from(folder) + reference))
        }
    }
}

/// The path without `.` and `..` (RFC 3986 section 5.2.4); the query stays as it is.
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // `/a/.` and `/a/b/..` are both `/a/`.
        if is_last {
            kept.push("");
        }
    }
    String::from("/") + &kept.join("/") + query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::head::{Fields, Method};
    use proptest::prelude::*;

    fn request() -> RequestHead {
        RequestHead {
            method: Method::Post,
            authority: "host:8080".into(),
            target: "/b/c/d?q".into(),
            fields: Fields::new(),
        }
    }

    /// The RFC's own examples (section 5.4) that are about paths, and authorities.
    #[test]
    fn references_are_resolved() {
        let cases: &[(&str, &str, &str)] = &[
            ("", "host:8080", "/b/c/d?q"),
            ("#s", "host:8080", "/b/c/d?q"),
            ("?y", "host:8080", "/b/c/d?y"),
            ("g", "host:8080", "/b/c/g"),
            ("./g", "host:8080", "/b/c/g"),
            ("g/", "host:8080", "/b/c/g/"),
            ("/g", "host:8080", "/g"),
            ("g?y#s", "host:8080", "/b/c/g?y"),
            (".", "host:8080", "/b/c/"),
            ("./", "host:8080", "/b/c/"),
            ("..", "host:8080", "/b/"),
            ("../g", "host:8080", "/b/g"),
            ("../../g", "host:8080", "/g"),
            ("../../../../g", "host:8080", "/g"),
            ("/./g", "host:8080", "/g"),
            ("/a/../g?x=/../y", "host:8080", "/g?x=/../y"),
            ("g;x=1/../y", "host:8080", "/b/c/y"),
            ("//other/g", "other", "/g"),
            ("HTTP://Other:1/g", "other:1", "/g"),
            ("https://other", "other", "/"),
            ("https://other?x", "other", "/?x"),
        ];
        for (reference, authority, target) in cases {
            let (found_authority, found_target) =
                resolve(&request(), reference.as_bytes()).expect("the table's references are HTTP");
            assert_eq!((&*found_authority, &*found_target), (*authority, *target), "{reference:?}");
        }
        for reference in ["mailto:a@b", "http:g", "http://u@h/", "http:///g", "x:/g", "/\u{0}\u{80}"] {
            assert_eq!(resolve(&request(), reference.as_bytes()), None, "{reference:?}");
        }
        assert_eq!(resolve(&request(), b"/\xff"), None);
    }

    /// The default ports may be left out, and case is nothing.
    #[test]
    fn authorities_are_compared_as_hosts() {
        for other in ["host", "HOST", "host:80", "host:443"] {
            assert!(is_same_authority("host", other), "{other}");
        }
        for other in ["host:8080", "host2", "a.host", "host.", ""] {
            assert!(!is_same_authority("host", other), "{other}");
        }
    }

    proptest! {
        /// Any reference gives a target that begins at the root and climbs nowhere.
        #[test]
        fn targets_stay_below_the_root(reference in "[a/.?:#@]{0,16}") {
            if let Some((_, target)) = resolve(&request(), reference.as_bytes()) {
                let path = target.split('?').next().unwrap_or_default();
                prop_assert!(path.starts_with('/'));
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }
    }
}
