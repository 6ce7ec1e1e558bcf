//! Who the client is, where proxies in front of this one say it: by `X-Forwarded-For`, and by the PROXY
//! protocol. What strangers say of it, `attacking` has.

use crate::{
    encrypting::{Certified, Said, encrypted, get},
    harness::{Asked, Origin, Server, Site},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(120);

fn has_line(asked: &Asked, line: &str) -> bool {
    asked.head.to_ascii_lowercase().contains(&format!("{line}\r\n"))
}

/// Sends these bytes, and reads everything until the connection ends, however it does.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    stream.write_all(bytes).expect("the server has room for it");
    let mut came = Vec::new();
    if let Err(error) = stream.read_to_end(&mut came) {
        // What is closed with bytes unread is reset.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server closes");
    }
    String::from_utf8(came).expect("these answers are text")
}

/// How many connections were closed for want of a header, by the server's own count.
fn refused(server: &Server) -> String {
    let metrics = server.ask_admin("GET", "/metrics", "");
    let line = metrics.text().lines().find(|line| line.starts_with("tiergate_proxy_headers_refused_total "));
    line.expect("it is counted").rsplit(' ').next().expect("a number").to_owned()
}

/// What a trusted proxy says of the client reaches the origin on both ways to it, and the log; whom it names
/// as the host does not.
#[test]
fn a_trusted_proxy_is_believed() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nlog: access\ntrusted_proxies: [127.0.0.0/8, 10.0.0.1]\n",
        origin.address
    ));
    let said = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: evil\r\nForwarded: for=evil\r\nX-Real-IP: 9.9.9.9\r\n";
    assert_eq!(server.request("GET", "/a", said).head.status, 200);
    assert_eq!(server.request("POST", "/b", &format!("{said}Content-Length: 1\r\n\r\nx")).head.status, 200);
    for asked in origin.asked() {
        for line in [
            "x-forwarded-for: 6.6.6.6, 192.0.2.1, 10.0.0.1, 127.0.0.1",
            "x-forwarded-proto: https",
            "x-forwarded-host: site.example",
            "host: site.example",
        ] {
            assert!(has_line(&asked, line), "{line:?} in {}", asked.head);
        }
        assert!(!asked.head.contains("evil") && !asked.head.contains("9.9.9.9"), "{}", asked.head);
    }
    site.wait_for_log("method=\"POST\"");
    let log = site.log();
    assert_eq!(log.matches("client=192.0.2.1 ").count(), 2, "{log}");
    assert!(!log.contains("client=127.0.0.1") && !log.contains("client=6.6.6.6"), "{log}");
}

/// The scheme that a trusted proxy tells is part of the key, for requests and for purges.
#[test]
fn the_scheme_that_a_trusted_proxy_tells_is_keyed() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\ntrusted_proxies: [127.0.0.1]\n",
        origin.address
    ));
    let (https, http) = ("X-Forwarded-Proto: https\r\n", "X-Forwarded-Proto: http\r\n");
    let is_hit = |fields: &str| server.request("GET", "/a", fields).cache_status().contains("; hit; ");
    assert_eq!((is_hit(https), is_hit(https)), (false, true));
    assert_eq!((is_hit(http), is_hit("")), (false, true));
    // One word is believed, and nothing else.
    assert!(is_hit("X-Forwarded-Proto: https, http\r\n") && is_hit(&format!("{https}{https}")));
    assert_eq!(server.request("PURGE", "/a", https).head.status, 200);
    assert_eq!((is_hit(http), is_hit(https)), (true, false));
}

/// A proxy that speaks HTTP/2 is believed as one that speaks HTTP/1 is; without trust, nobody is.
#[test]
fn a_trusted_proxy_may_speak_http_2() {
    for (trusted, forwarded_for, proto) in
        [("[127.0.0.1]", "192.0.2.1, 127.0.0.1", "http"), ("[127.0.0.2]", "127.0.0.1", "https")]
    {
        let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"hello".to_vec());
        let site = Site::new();
        let one = Certified::new(site.path(), "one.example");
        let server = site.start(&format!(
            "listen: 127.0.0.1:0\norigin: http://{}\nlog: access\ntrusted_proxies: {trusted}\n\
             tls: {{ listen: 127.0.0.1:0, certificates: [{}] }}\n",
            origin.address,
            one.files()
        ));
        let said = Said {
            fields: &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")],
            ..Said::default()
        };
        get(encrypted(&server), one.name, one.root(), "h2", said).expect("an answer");
        let asked = &origin.asked()[0];
        assert!(has_line(asked, &format!("x-forwarded-for: {forwarded_for}")), "{}", asked.head);
        assert!(has_line(asked, &format!("x-forwarded-proto: {proto}")), "{}", asked.head);
        let clear = server.send_to("one.example", "GET", "/a", "").head("GET");
        assert_eq!(clear.field("cache-status").contains("; hit; "), proto == "http", "{clear:?}");
        let client = forwarded_for.split(',').next().expect("one at least");
        site.wait_for_log(&format!("client={client} "));
    }
}

/// Each connection begins with a header, and what it says is the client's address; what comes right after it
/// is the request.
#[test]
fn the_proxy_protocol_tells_the_client() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\nproxy_protocol: true\ntrusted_proxies: [127.0.0.1]\norigin: http://{}\nadmin: {{ listen: 127.0.0.1:0 }}\n",
        origin.address
    ));
    let request: &[u8] =
        b"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    let version_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x03\x7f\0\0\x01\x0f\xa0\0\x50";
    for header in [
        b"PROXY TCP4 192.0.2.3 127.0.0.1 4000 80\r\n",
        version_2,
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    ] {
        let answer = exchange(server.address, &[header, request].concat());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{}: {answer}", header.escape_ascii());
    }
    let asked = origin.asked();
    // Whom a header names is no trusted proxy; the balancer that speaks for itself is one.
    for (asked, forwarded_for) in
        asked.iter().zip(["192.0.2.3", "192.0.2.3", "6.6.6.6, 127.0.0.1", "6.6.6.6, 127.0.0.1"])
    {
        assert!(has_line(asked, &format!("x-forwarded-for: {forwarded_for}")), "{}", asked.head);
    }
    assert_eq!(asked.len(), 4);
    assert_eq!(refused(&server), "0");
    for bad in
        [request, b"PROXY TCP4 192.0.2.3\r\n", &[&b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n"[..], request].concat()]
    {
        assert_eq!(exchange(server.address, bad), "", "{}", bad.escape_ascii());
    }
    assert_eq!(refused(&server), "3");
    assert_eq!(origin.asked().len(), 4, "nobody was asked");
}

/// A header from a stranger is not read, and one that does not come is not waited for longer than a head.
#[test]
fn the_proxy_protocol_is_for_trusted_proxies() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"x".to_vec());
    let site = Site::new();
    let start = |trusted: &str| {
        site.start(&format!(
            "listen: 127.0.0.1:0\nproxy_protocol: true\ntrusted_proxies: {trusted}\norigin: http://{}\n\
             timeouts: {{ head_s: 1 }}\nadmin: {{ listen: 127.0.0.1:0 }}\n",
            origin.address
        ))
    };
    let server = start("[127.0.0.2]");
    let right = b"PROXY UNKNOWN\r\nGET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(server.address, right), "");
    assert_eq!((refused(&server).as_str(), origin.asked().len()), ("1", 0));
    let server = start("[127.0.0.1]");
    assert_eq!(exchange(server.address, b"PROXY TCP4 192.0.2.3 "), "");
    assert_eq!(refused(&server), "1");
}

/// Addresses are counted as the header tells them: a balancer has as many connections as its clients.
#[test]
fn clients_behind_a_balancer_are_counted_one_by_one() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\nproxy_protocol: true\ntrusted_proxies: [127.0.0.1]\norigin: http://{}\n\
         limits: {{ connections_per_address: 1 }}\n",
        origin.address
    ));
    let hold = |client: &str| {
        let mut stream = TcpStream::connect(server.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
        let text = format!("PROXY TCP4 {client} 127.0.0.1 4000 80\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(text.as_bytes()).expect("the server reads");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        (stream, status)
    };
    let (_one, first) = hold("192.0.2.1");
    let (_two, other) = hold("192.0.2.2");
    let (_, again) = hold("192.0.2.1");
    assert_eq!([&first, &other, &again], [b"HTTP/1.1 200", b"HTTP/1.1 200", b"HTTP/1.1 503"]);
}

/// A connection whose header has not come holds up no drain.
#[test]
fn a_drain_waits_for_no_header() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\nproxy_protocol: true\ntrusted_proxies: [127.0.0.1]\norigin: http://{}\ndrain_seconds: 1\n",
        origin.address
    ));
    let _silent = TcpStream::connect(server.address).expect("the server listens");
    // Whoever connected before this one was accepted before it.
    let request = b"PROXY UNKNOWN\r\nGET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(exchange(server.address, request).starts_with("HTTP/1.1 200 "));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!site.log().contains("`drain_seconds` are over"), "{}", site.log());
}

/// Before TLS it is the same, and the handshake begins right after the header.
#[test]
fn the_proxy_protocol_comes_before_tls() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"hello".to_vec());
    let site = Site::new();
    let one = Certified::new(site.path(), "one.example");
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\ntrusted_proxies: [127.0.0.1]\n\
         tls: {{ listen: 127.0.0.1:0, proxy_protocol: true, certificates: [{}] }}\n",
        origin.address,
        one.files()
    ));
    for alpn in ["http/1.1", "h2"] {
        let said = Said { first: b"PROXY TCP6 2001:db8::1 ::1 4000 443\r\n", ..Said::default() };
        let (status, ..) = get(encrypted(&server), one.name, one.root(), alpn, said).expect("an answer");
        assert_eq!(status, 200, "{alpn}");
        assert!(get(encrypted(&server), one.name, one.root(), alpn, Said::default()).is_err(), "{alpn}");
    }
    let asked = origin.asked();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert!(has_line(&asked, "x-forwarded-for: 2001:db8::1"), "{}", asked.head);
    }
    assert_eq!(server.get("/a").head.status, 200, "the other listener wants none");
}
