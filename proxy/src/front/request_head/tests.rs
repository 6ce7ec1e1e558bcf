use super::*;

/// A head as it is read: judged, or the fault.
fn read(text: &str) -> Result<Read, Fault> {
    let limits = HeadLimits::default();
    let length = find_end(text.as_bytes(), 0, &limits)?.expect("the head is whole");
    let mut head = text.as_bytes()[..length].to_vec();
    lower_names(&mut head);
    let mut places = [const { MaybeUninit::uninit() }; FIELD_LINES_MOST];
    let parsed = parse(&head, Scheme::Http, Standing::Stranger, &limits, &mut places)?;
    Ok(Read {
        target: parsed.target.to_string(),
        authority: parsed.authority.as_deref().map(str::to_owned),
        framing: parsed.framing,
        keeps_open: parsed.keeps_open,
        upgrades: parsed.upgrades,
        method: parsed.engine_method(),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Read {
    target: String,
    authority: Option<String>,
    framing: Framing,
    keeps_open: bool,
    upgrades: bool,
    method: Method,
}

fn get(lines: &str) -> Result<Read, Fault> {
    read(&format!("GET /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
}

/// Whatever two servers might read differently is refused, with its own reason.
#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let cases = [
        ("GET /a HTTP/1.1\nHost: h\n\n", Fault::LineEnd),
        ("GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", Fault::LineEnd),
        ("\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", Fault::LineEnd),
        ("GET /a HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", Fault::Field),
        ("GET  /a HTTP/1.1\r\nHost: h\r\n\r\n", Fault::RequestLine),
        ("GET /a  HTTP/1.1\r\nHost: h\r\n\r\n", Fault::RequestLine),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", Fault::RequestLine),
        ("GET /a\r\nHost: h\r\n\r\n", Fault::RequestLine),
        ("GET /a HTTP/1.1 \r\nHost: h\r\n\r\n", Fault::LineEnd),
        ("G@T /a HTTP/1.1\r\nHost: h\r\n\r\n", Fault::RequestLine),
        ("GET /a HTTP/2.0\r\nHost: h\r\n\r\n", Fault::Version),
        ("GET /a HTTP/1.2\r\nHost: h\r\n\r\n", Fault::Version),
        ("GET ?q HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Target),
        ("GET a HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Target),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Target),
        ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Target),
        ("GET ftp://h/a HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Target),
        ("GET /a HTTP/1.1\r\n\r\n", Fault::NoHost),
        ("GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Fault::ManyHosts),
        ("GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", Fault::BadHost),
        ("GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n", Fault::BadHost),
        ("GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n", Fault::BadHost),
        ("GET /a HTTP/1.1\r\nHost: a:70000\r\n\r\n", Fault::BadHost),
        ("GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n", Fault::BadHost),
        ("GET /a HTTP/1.1\r\nHost: \r\n\r\n", Fault::BadHost),
        ("GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", Fault::BadHost),
        ("GET /a HTTP/1.1\r\nHost : h\r\n\r\n", Fault::Field),
        ("GET /a HTTP/1.1\r\n Host: h\r\n\r\n", Fault::Field),
        ("GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", Fault::Field),
        ("GET /a HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", Fault::Field),
        ("GET /a HTTP/1.1\r\nHost: h\r\nX: \u{0}\r\n\r\n", Fault::Field),
        ("TRACE /a HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Method),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Method),
    ];
    for (text, fault) in cases {
        assert_eq!(read(text).map(|read| read.target), Err(fault), "{text:?}");
    }
}

/// A body has one length, or comes in chunks.
#[test]
fn a_body_is_framed_in_one_way() {
    let framing = |lines: &str| get(lines).map(|read| read.framing);
    assert_eq!(framing(""), Ok(Framing::Empty));
    assert_eq!(framing("Content-Length: 0\r\n"), Ok(Framing::Empty));
    assert_eq!(framing("content-length: 7\r\n"), Ok(Framing::Length(7)));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
    for bad in ["3, 3", "+3", "-3", "0x3", "3 ", "", "3;", "99999999999999999999"] {
        let refused = framing(&format!("Content-Length: {bad}\r\n"));
        // Space around a value is not part of it.
        assert_eq!(refused, if bad == "3 " { Ok(Framing::Length(3)) } else { Err(Fault::Length) }, "{bad:?}");
    }
    assert_eq!(framing("Content-Length: 3\r\nContent-Length: 3\r\n"), Err(Fault::Length));
    assert_eq!(framing("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), Err(Fault::LengthAndCoding));
    for bad in ["gzip, chunked", "chunked, chunked", "xchunked", "chunked;q=1", "identity", "\u{b}chunked"] {
        let refused = framing(&format!("Transfer-Encoding: {bad}\r\n"));
        assert!(matches!(refused, Err(Fault::Coding | Fault::Field)), "{bad:?}: {refused:?}");
    }
    assert_eq!(framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Err(Fault::Coding));
    let in_10 = "POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(in_10).map(|read| read.framing), Err(Fault::CodingIn10));
}

/// One host has one spelling, and a target that names one wins over `Host` (RFC 9112 section 3.2.2).
#[test]
fn a_host_has_one_spelling() {
    let authority = |host: &str| {
        read(&format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .map(|read| read.authority.expect("1.1 has one"))
    };
    for host in ["a", "A", "a.", "a:80", "a:", "A.:80"] {
        assert_eq!(authority(host).as_deref(), Ok("a"), "{host:?}");
    }
    assert_eq!(authority("a:8080").as_deref(), Ok("a:8080"));
    assert_eq!(authority("A:0080").as_deref(), Ok("a"));
    assert_eq!(authority("[::1]:80").as_deref(), Ok("[::1]"));
    assert_eq!(authority("[0:0::1]:81").as_deref(), Ok("[::1]:81"));
    for (target, path) in [("http://B/x?y", "/x?y"), ("HTTP://b", "/"), ("http://b?y", "/?y")] {
        let read = read(&format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n")).expect("it is right");
        assert_eq!((&*read.target, read.authority.as_deref()), (path, Some("b")), "{target:?}");
    }
    let old = read("GET /a HTTP/1.0\r\n\r\n").expect("HTTP/1.0 needs no host");
    assert_eq!((old.authority, old.keeps_open), (None, false));
}

/// Who closes, who stays, and who wants something else.
#[test]
fn a_connection_is_kept_as_the_client_says() {
    let keeps = |text: &str| read(text).map(|read| read.keeps_open);
    assert_eq!(get("").map(|read| read.keeps_open), Ok(true));
    assert_eq!(get("Connection: x, Close\r\n").map(|read| read.keeps_open), Ok(false));
    assert_eq!(keeps("GET /a HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n"), Ok(true));
    let upgrade = |lines: &str| get(lines).map(|read| (read.upgrades, read.method));
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(upgrade(websocket), Ok((true, Method::OtherSafe)));
    assert_eq!(upgrade("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), Ok((false, Method::Get)));
    assert_eq!(upgrade("Upgrade: websocket\r\n"), Ok((false, Method::Get)));
    assert_eq!(upgrade("Expect: 100-continue\r\n"), Ok((false, Method::Get)));
    assert_eq!(upgrade("Expect: a miracle\r\n"), Err(Fault::Expectation));
}

/// Each limit has its own answer, and what is just within is served.
#[test]
fn a_head_has_limits() {
    let limits = HeadLimits::default();
    let target = |bytes: usize| read(&format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bytes - 1)));
    assert!(target(limits.target_bytes_max).is_ok());
    assert_eq!(target(limits.target_bytes_max + 1), Err(Fault::TargetTooLong));
    let fields = |count: usize| get(&"X: y\r\n".repeat(count - 1));
    assert!(fields(limits.field_lines_max).is_ok());
    assert_eq!(fields(limits.field_lines_max + 1), Err(Fault::TooManyFields));
    let whole = |bytes: usize| {
        let rest = "GET /a HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
        get(&format!("X: {}\r\n", "y".repeat(bytes - rest)))
    };
    assert!(whole(limits.head_bytes_max).is_ok());
    assert_eq!(whole(limits.head_bytes_max + 1), Err(Fault::HeadTooLarge));
    // What has no end yet is refused as soon as it cannot be right any more.
    let begun = |text: &str| find_end(text.as_bytes(), 0, &limits);
    assert_eq!(begun("GET /a HTTP/1.1\r\nHost: h\r\n"), Ok(None));
    assert_eq!(
        begun(&format!("GET /{}", "a".repeat(limits.target_bytes_max + 100))),
        Err(Fault::TargetTooLong)
    );
    assert_eq!(
        begun(&format!("GET /a HTTP/1.1\r\nX: {}", "y".repeat(limits.head_bytes_max))),
        Err(Fault::HeadTooLarge)
    );
}

/// A head that comes in pieces ends where one that comes at once does.
#[test]
fn pieces_do_not_matter() {
    let text = b"\r\nGET /a HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\nGET /b";
    let limits = HeadLimits::default();
    let whole = find_end(text, 0, &limits).expect("it is right").expect("it is whole");
    assert_eq!(&text[whole..], b"GET /b");
    let mut searched = 0;
    for length in 1..=text.len() {
        let found = find_end(&text[..length], searched, &limits).expect("it is right");
        assert_eq!(found, (length >= whole).then_some(whole), "{length}");
        if found.is_some() {
            break;
        }
        searched = length;
    }
}

/// What strangers say of the client, and what is about one connection, is not for the origin.
#[test]
fn an_origin_is_not_told_what_strangers_say_of_a_client() {
    let text = "GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: evil\r\nForwarded: host=evil\r\nX-Real-IP: 1\r\n\
                Connection: X-One\r\nX-One: 1\r\nTE: x\r\nAccept: y\r\n\r\n";
    let mut head = text.as_bytes().to_vec();
    lower_names(&mut head);
    let mut places = [const { MaybeUninit::uninit() }; FIELD_LINES_MOST];
    let parsed = parse(&head, Scheme::Http, Standing::Stranger, &HeadLimits::default(), &mut places)
        .expect("it is right");
    let head = parsed.engine_head("default", &Unforwarded::default()).expect("it is right");
    assert_eq!(head.fields.iter().collect::<Vec<_>>(), [("accept", &b"y"[..])]);
}
