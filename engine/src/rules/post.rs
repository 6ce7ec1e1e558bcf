//! Which answers to requests that go around the cache answer later requests (RFC 9110 section 9.3.3).

use super::target;
use crate::language::head::{Head, Method, RequestHead};

/// Does the answer to this request say that a GET would get the same? A success of a POST does, if its only
/// `Content-Location` is what the request was sent to. Whether it may be stored is another question.
pub fn may_answer_gets(request: &RequestHead, response: &Head) -> bool {
    request.method == Method::Post && response.status == 200 && is_located_at_target(request, response)
}

/// Is the response a representation of what the request was sent to?
pub(super) fn is_located_at_target(request: &RequestHead, response: &Head) -> bool {
    let is_own = |location: &[u8]| {
        target::resolve(request, location).is_some_and(|(authority, target)| {
            target::is_same_authority(&authority, &request.authority) && *target == *request.target
        })
    };
    response.fields.only("content-location").is_some_and(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::head::Fields;

    fn answers(method: Method, status: u16, locations: &[&str]) -> bool {
        let request = RequestHead {
            method,
            authority: "host:80".into(),
            target: "/a/b?c".into(),
            fields: Fields::new(),
        };
        let fields = locations.iter().map(|location| ("content-location", *location)).collect();
        may_answer_gets(&request, &Head { status, fields })
    }

    /// Only a POST's, only a 200, and only one that is about the request's own target.
    #[test]
    fn a_post_says_that_it_is_what_a_get_would_get() {
        for own in ["/a/b?c", "b?c", "?c", "", "//HOST/a/b?c", "http://host:80/a/b?c#d"] {
            assert!(answers(Method::Post, 200, &[own]), "{own}");
        }
        for other in ["/a/b", "/a/b?d", "c", "/", "http://other/a/b?c", "mailto:mail", "/a/b?c d"] {
            assert!(!answers(Method::Post, 200, &[other]), "{other}");
        }
        assert!(!answers(Method::Post, 200, &[]));
        assert!(!answers(Method::Post, 200, &["/a/b?c", "/a/b?c"]), "it says it twice");
        for status in [201, 203, 204, 206, 301, 303, 404, 500] {
            assert!(!answers(Method::Post, status, &["/a/b?c"]), "{status}");
        }
        for method in [Method::Get, Method::Head, Method::OtherSafe, Method::Other] {
            assert!(!answers(method, 200, &["/a/b?c"]), "{method:?}");
        }
    }
}
