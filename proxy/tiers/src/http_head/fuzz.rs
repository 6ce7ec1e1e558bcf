//! Heads that arrive over HTTP, as anybody may send them.

use super::{Scheme, end_to_end, header_map, request_head, response, response_head};
use http::{HeaderName, HeaderValue};

/// A request target and field lines.
fn lines(bytes: &[u8]) -> (&[u8], http::HeaderMap) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    (target, headers)
}

tiergate_fuzz::target!(
    /// A request has one host, in lower case and without a user, and no field that is about one connection;
    /// what is left of its fields, and a response's, is the same after another hop.
    http_head,
    ["/a?b\nHost: A.test:80\nConnection: x-a, Vary\nX-A: 1\nVary: accept\nTransfer-Encoding: chunked\nContent-Length: 1", "/\nHost: a-1.test:80"],
    |bytes: &[u8]| {
        let (target, headers) = lines(bytes);
        let kept = end_to_end(&headers);
        for name in ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"] {
            assert!(!kept.contains(name), "{name}");
        }
        let again = header_map(&kept).expect("what came over HTTP is HTTP");
        assert_eq!(end_to_end(&again), kept);
        if let Ok(mut request) = http::Request::builder().uri(target).body(()) {
            *request.headers_mut() = headers.clone();
            let (parts, ()) = request.into_parts();
            if let Ok(head) = request_head(&parts, Scheme::Http) {
                assert!(!head.authority.is_empty() && !head.authority.contains(['@', '/', ' ']), "{}", head.authority);
                assert_eq!(*head.authority, *head.authority.to_ascii_lowercase());
                assert!(!head.fields.contains("host"));
            }
        }
        let mut answer = http::Response::new(());
        *answer.headers_mut() = headers;
        let head = response_head(&answer.into_parts().0);
        assert_eq!(response_head(&response(&head).expect("it came over HTTP").into_parts().0), head);
    }
);
