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
