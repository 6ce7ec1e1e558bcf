use super::*;
use tiergate_engine::TierId;

fn parts(uri: &str, fields: &[(&str, &str)]) -> request::Parts {
    let mut request = http::Request::get(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("each test writes a valid request").into_parts().0
}

fn lines(fields: &Fields) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

/// A request in origin form becomes authority, target and fields; the authority is lower case, and `Host` no
/// field.
#[test]
fn a_request_is_named_by_its_host_and_target() {
    let head =
        request_head(&parts("/Logo?v=2", &[("Host", "Example.ORG:8080"), ("Accept", "*/*")]), Scheme::Http);
    let fields = Fields::from_iter([("accept", "*/*")]);
    assert_eq!(
        head,
        Ok(RequestHead {
            method: Method::Get,
            authority: "example.org:8080".into(),
            target: "/Logo?v=2".into(),
            fields,
        })
    );
}

/// The authority of an absolute target, or of HTTP/2, wins over `Host`; a target without a path asks for `/`.
#[test]
fn the_targets_authority_wins_over_host() {
    let head = request_head(&parts("http://a.example", &[("host", "b.example")]), Scheme::Http)
        .expect("the request is valid");
    assert_eq!((&*head.authority, &*head.target), ("a.example", "/"));
}

/// A request that names no host, several, or none that could be one, is refused with the reason.
#[test]
fn a_request_without_one_good_host_is_refused() {
    for (fields, error) in [
        (&[][..], HeadError::NoAuthority),
        (&[("host", "a"), ("host", "b")], HeadError::ManyAuthorities),
        (&[("host", "a"), ("host", "a")], HeadError::ManyAuthorities),
        (&[("host", "a b")], HeadError::BadAuthority),
        (&[("host", "user@a")], HeadError::BadAuthority),
        (&[("host", "")], HeadError::BadAuthority),
        (&[("host", "a/b")], HeadError::BadAuthority),
    ] {
        assert_eq!(request_head(&parts("/", fields), Scheme::Http), Err(error), "{fields:?}");
    }
}

/// One host has one spelling for each scheme, whatever of it is written, and nothing else is a host.
#[test]
fn a_host_has_one_spelling() {
    let both = |text| {
        [Scheme::Http, Scheme::Https].map(|scheme| normal_authority(text, scheme).map(Cow::into_owned))
    };
    let known = |http: &str, https: &str| [Some(http.to_owned()), Some(https.to_owned())];
    for text in ["a", "A", "a.", "a:", "A.:"] {
        assert_eq!(both(text), known("a", "a:443"), "{text:?}");
    }
    assert_eq!(both("a:80"), known("a", "a:80"));
    assert_eq!(both("a:443"), known("a:443", "a:443"));
    assert_eq!(both("a.b-c_d:08080"), known("a.b-c_d:8080", "a.b-c_d:8080"));
    assert_eq!(both("[0::1]"), known("[::1]", "[::1]:443"));
    for text in [
        "", ".", ":80", "a..b", "a:b", "a:65536", "a:1:2", "a b", "a%41", "u@a", "a/b", "[::1", "[a]",
        "[::1]x", "é",
    ] {
        assert_eq!(both(text), [None, None], "{text:?}");
    }
}

/// Each hop-by-hop field, and each field that `Connection` names, is dropped; the rest keeps its order.
#[test]
fn hop_by_hop_fields_are_dropped() {
    let headers = parts(
        "/",
        &[
            ("a", "1"),
            ("Connection", "close, X-One"),
            ("connection", "x-TWO ,"),
            ("x-one", "gone"),
            ("x-two", "gone"),
            ("b", "2"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"),
            ("Proxy-Authentication-Info", "x"),
            ("Proxy-Authorization", "Basic x"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("a", "3"),
        ],
    )
    .headers;
    let kept: Vec<_> = lines(&end_to_end(&headers));
    let kept: Vec<_> = kept.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(kept, [("a", "1"), ("a", "3"), ("b", "2")]);
}

/// A `Connection` that names the fields a cache lives by does not get rid of them.
#[test]
fn connection_cannot_strip_what_decides_about_storing() {
    for name in NEVER_NOMINATED {
        let headers = parts("/", &[("connection", name), (name, "kept")]).headers;
        assert_eq!(lines(&end_to_end(&headers)), [(name.to_owned(), "kept".to_owned())]);
    }
}

/// A length beside a transfer coding frames nothing and is dropped; alone it stays.
#[test]
fn a_length_beside_a_transfer_coding_is_dropped() {
    let both = parts("/", &[("content-length", "5"), ("transfer-encoding", "chunked")]).headers;
    assert_eq!(lines(&end_to_end(&both)), []);
    let alone = parts("/", &[("content-length", "5")]).headers;
    assert_eq!(lines(&end_to_end(&alone)), [("content-length".to_owned(), "5".to_owned())]);
}

/// Heads survive the way there and back, with repeated fields and bytes beyond ASCII.
#[test]
fn a_head_survives_the_way_there_and_back() {
    let mut fields = Fields::from_iter([("etag", "\"x\""), ("set-cookie", "a=1"), ("set-cookie", "b=2")]);
    fields.push("x-latin", b"caf\xe9");
    let head = Head { status: 404, fields };
    let (there, ()) = response(&head).expect("the head is HTTP").into_parts();
    assert_eq!(response_head(&there), head);
}

/// What is not HTTP is refused with the reason, not written.
#[test]
fn a_head_that_is_not_http_is_refused() {
    let head = |status, name: &str, value: &[u8]| {
        let mut fields = Fields::new();
        fields.push(name, value);
        response(&Head { status, fields }).map(|_| ())
    };
    assert_eq!(head(200, "a", b"b"), Ok(()));
    assert_eq!(head(200, "a b", b"c"), Err(HeadError::BadField));
    assert_eq!(head(200, "", b"c"), Err(HeadError::BadField));
    assert_eq!(head(200, "a", b"b\r\nc: d"), Err(HeadError::BadField));
    for status in [0, 99, 101, 1000] {
        assert_eq!(head(status, "a", b"b"), Err(HeadError::BadStatus), "{status}");
    }
}

/// `Age` is whole seconds, rounded down, and never more than recipients can hold.
#[test]
fn age_counts_whole_seconds() {
    for (millis, text) in [(0, "0"), (999, "0"), (1_000, "1"), (61_999, "61"), (u64::MAX, "2147483648")] {
        assert_eq!(age(Duration::from_millis(millis)), text);
    }
}

/// Each outcome has its words (RFC 9211 section 2).
#[test]
fn cache_status_says_where_a_response_comes_from() {
    let miss = |reason, collapsed, storing| Outcome::Miss { reason, collapsed, storing };
    let hit = |tier| Outcome::Hit { tier };
    for (outcome, text) in [
        (hit(TierId::L0), "tiergate; hit; ttl=59; detail=l0"),
        (hit(TierId::L1), "tiergate; hit; ttl=59; detail=l1"),
        (hit(TierId::L2), "tiergate; hit; ttl=59; detail=l2"),
        (hit(TierId::L3), "tiergate; hit; ttl=59; detail=l3"),
        (miss(MissReason::Absent, false, false), "tiergate; fwd=uri-miss"),
        (miss(MissReason::Absent, true, true), "tiergate; fwd=uri-miss; collapsed; detail=storing"),
        (miss(MissReason::Uncacheable, false, false), "tiergate; fwd=uri-miss; detail=uncacheable"),
        (miss(MissReason::Stale, false, true), "tiergate; fwd=stale; detail=storing"),
        (miss(MissReason::TierFailed, false, true), "tiergate; fwd=miss; detail=tier-failed"),
        (miss(MissReason::Bypass(Bypass::Range), false, false), "tiergate; fwd=bypass; detail=range"),
    ] {
        assert_eq!(cache_status(outcome, Duration::from_millis(59_900)), text, "{outcome:?}");
    }
}

/// A request around the cache says why.
#[test]
fn cache_status_says_why_a_request_went_around() {
    for (bypass, text) in [
        (Bypass::Method, "tiergate; fwd=method"),
        (Bypass::Range, "tiergate; fwd=bypass; detail=range"),
        (Bypass::Authorization, "tiergate; fwd=bypass; detail=authorization"),
        (Bypass::Precondition, "tiergate; fwd=request; detail=precondition"),
    ] {
        assert_eq!(cache_status_passed(bypass), text, "{bypass:?}");
    }
}

/// An error says whether the origin was asked.
#[test]
fn cache_status_says_why_a_request_was_refused() {
    for (refusal, text) in [
        (Refusal::Origin(OriginFailure::TimedOut), "tiergate; fwd=miss; detail=origin-timed-out"),
        (Refusal::Origin(OriginFailure::Unsendable), "tiergate; detail=request-unsendable"),
        (
            Refusal::BreakerOpen { retry_after: Duration::from_secs(3) },
            "tiergate; detail=origin-breaker-open",
        ),
        (Refusal::TooManyFills, "tiergate; detail=too-many-fills"),
        (Refusal::TooManyWaiters, "tiergate; detail=too-many-waiters"),
    ] {
        assert_eq!(cache_status_refused(refusal), text, "{refusal:?}");
    }
}
