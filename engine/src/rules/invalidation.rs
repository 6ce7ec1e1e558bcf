//! What an unsafe request makes stale (RFC 9111 section 4.4).

use super::target;
use crate::language::{
    head::{Head, RequestHead},
    key::CacheKey,
};
use alloc::{sync::Arc, vec::Vec};

/// The keys of what the answer to a request that went around the cache makes stale. The driver purges them:
/// they may belong to any shard.
pub fn invalidated_keys(request: &RequestHead, response: &Head) -> Vec<CacheKey> {
    let named = invalidated(request, response);
    named.iter().map(|(authority, target)| CacheKey::of(authority, target)).collect()
}

/// Authority and target of every stored response that the answer to this request invalidates, each once: none
/// unless the method is unsafe and the answer no error; then the request's own, and what `Location` and
/// `Content-Location` name on the same host. Another host's would let one site empty another one's cache.
fn invalidated(request: &RequestHead, response: &Head) -> Vec<(Arc<str>, Arc<str>)> {
    if request.method.is_safe() || !matches!(response.status, 200..=399) {
        return Vec::new();
    }
    let mut found = Vec::from([(Arc::clone(&request.authority), Arc::clone(&request.target))]);
    for name in ["location", "content-location"] {
        let named = response.fields.all(name);
        for (authority, target) in named.filter_map(|reference| target::resolve(request, reference)) {
            // The same host under the name that lookups use.
            let own = (Arc::clone(&request.authority), Arc::from(target));
            if target::is_same_authority(&authority, &request.authority) && !found.contains(&own) {
                found.push(own);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::head::{Fields, Method};
    use std::string::String;

    fn after(method: Method, status: u16, fields: &[(&str, &str)]) -> Vec<String> {
        let request = RequestHead {
            method,
            authority: "host:80".into(),
            target: "/a/b?c".into(),
            fields: Fields::new(),
        };
        let response = Head { status, fields: fields.iter().copied().collect() };
        invalidated(&request, &response)
            .into_iter()
            .map(|(authority, target)| {
                assert_eq!(&*authority, "host:80");
                String::from(&*target)
            })
            .collect()
    }

    /// Success of an unsafe method invalidates; failure, and safe methods, do not.
    #[test]
    fn only_unsafe_successes_invalidate() {
        for method in [Method::Post, Method::Other] {
            for status in [200, 201, 204, 303, 399] {
                assert_eq!(after(method, status, &[]), ["/a/b?c"], "{method:?} {status}");
            }
            for status in [100, 199, 400, 404, 500, 503] {
                assert!(after(method, status, &[]).is_empty(), "{method:?} {status}");
            }
        }
        for method in [Method::Get, Method::Head, Method::OtherSafe] {
            assert!(after(method, 200, &[("location", "/x")]).is_empty(), "{method:?}");
        }
    }

    /// The same host's locations go too, each once; other hosts' stay.
    #[test]
    fn locations_on_the_same_host_go_too() {
        let fields = [
            ("location", "http://HOST/x#y"),
            ("content-location", "z"),
            ("content-location", "/x"),
            ("content-location", ""),
            ("location", "http://other/other"),
            ("location", "//host:8080/port"),
            ("location", "mailto:mail"),
        ];
        assert_eq!(after(Method::Post, 201, &fields), ["/a/b?c", "/x", "/a/z"]);
    }
}
