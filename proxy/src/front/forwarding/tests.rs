use super::*;

fn trusted() -> TrustedProxies {
    TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")])
}

/// The client's address and the whole list, for a peer and its lines of `X-Forwarded-For`.
fn of(peer: &str, lines: &[&str]) -> (String, String) {
    let lines = lines.iter().map(|value| ("x-forwarded-for", value.as_bytes()));
    let client = Client::of(peer.parse().expect("an address"), Scheme::Http, &trusted(), lines);
    let list = String::from_utf8(client.forwarded_for).expect("it was given as text");
    (client.address.to_string(), list)
}

/// The client is the right-most address that is not trusted, as far as whoever says so is.
#[test]
fn the_client_is_the_nearest_that_is_not_trusted() {
    let cases: [(&str, &[&str], &str, &str); 13] = [
        ("192.0.2.9", &[], "192.0.2.9", "192.0.2.9"),
        ("192.0.2.9", &["1.1.1.1"], "192.0.2.9", "192.0.2.9"),
        ("::ffff:192.0.2.9", &[], "192.0.2.9", "192.0.2.9"),
        ("10.0.0.1", &[], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1"], "1.1.1.1", "1.1.1.1, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, 2.2.2.2"], "2.2.2.2", "1.1.1.1, 2.2.2.2, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, 10.0.0.2"], "1.1.1.1", "1.1.1.1, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1,2.2.2.2", "10.0.0.2"], "2.2.2.2", "1.1.1.1,2.2.2.2, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3", "10.0.0.3, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2", "1.1.1.1, unknown, 10.0.0.2, 10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1:99"], "1.1.1.1", "1.1.1.1:99, 10.0.0.1"),
        (
            "10.0.0.1",
            &["[2001:db8::1]:99, [2001:db8::2]"],
            "2001:db8::2",
            "[2001:db8::1]:99, [2001:db8::2], 10.0.0.1",
        ),
        ("10.0.0.1", &[""], "10.0.0.1", "10.0.0.1"),
    ];
    for (peer, lines, address, list) in cases {
        assert_eq!(of(peer, lines), (address.to_owned(), list.to_owned()), "{peer} {lines:?}");
    }
}

/// One word of a trusted proxy decides; anything else leaves what the connection is.
#[test]
fn the_scheme_is_what_one_trusted_word_says() {
    let scheme = |standing, connection, lines: &[&str]| {
        let lines = lines.iter().map(|value| ("x-forwarded-proto", value.as_bytes()));
        client_scheme(connection, standing, lines)
    };
    let (trusted, stranger) = (Standing::Trusted, Standing::Stranger);
    let (http, https) = (Scheme::Http, Scheme::Https);
    let cases: [(Standing, Scheme, &[&str], Scheme); 8] = [
        (trusted, http, &["https"], https),
        (trusted, http, &["HTTPS"], https),
        (trusted, https, &["http"], http),
        (trusted, http, &[], http),
        (trusted, http, &["https", "https"], http),
        (trusted, http, &["https,https"], http),
        (trusted, https, &["ws"], https),
        (stranger, http, &["https"], http),
    ];
    for (standing, connection, lines, expected) in cases {
        assert_eq!(scheme(standing, connection, lines), expected, "{standing:?} {connection:?} {lines:?}");
    }
}

/// Whatever might make an origin take a request for another one is not passed on, however it is spelt; what a
/// list names is not, and of what it does not name nothing is lost.
#[test]
fn what_could_make_it_another_request_is_not_passed_on() {
    let default = Unforwarded::default();
    for name in
        ["x-forwarded-host", "x-original-url", "x-rewrite-url", "x-forwarded-prefix", "proxy", "forwarded"]
    {
        assert!(default.has(name, "GET") && default.has(name, "POST"), "{name}");
        assert!(default.has(&name.replace('-', "_"), "POST"), "{name}");
    }
    for name in ["x-http-method-override", "x_http_method_override", "x-method-override"] {
        assert!(
            default.has(name, "GET") && default.has(name, "HEAD") && !default.has(name, "POST"),
            "{name}"
        );
    }
    for name in ["content_length", "transfer_encoding", "host_", "cookie"] {
        assert_eq!(default.has(name, "POST"), !matches!(name, "host_" | "cookie"), "{name}");
    }
    let own = Unforwarded::new(vec!["x-a".to_owned()]);
    assert!(own.has("x-a", "GET") && own.has("x_a", "POST") && own.has("x-forwarded-for", "GET"));
    assert!(!own.has("x-forwarded-prefix", "GET") && !default.has("x-a", "GET"));
}
