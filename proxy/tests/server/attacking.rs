//! What strangers send who mean harm, or know no better: each gets a clear answer, the origin is not asked,
//! and nobody else is served worse for it.

use crate::{
    harness::{Origin, Site, respond},
    raw::{PATIENCE, exchange},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

/// Each bad request is answered with its own status and reason, on a connection that is then closed, and the
/// origin hears of none.
#[test]
fn bad_requests_are_told_what_is_wrong_with_them() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let cases: [(&[u8], &str, &str); 14] = [
        (b"GET ?q HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-target"),
        (b"GET c/noslash HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-target"),
        (b"GET  /two HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-request-line"),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-request-line"),
        (b"GET /a HTTP/1.1\nHost: a\n\n", "400", "bad-line-end"),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "400", "bad-length"),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", "400", "bad-length"),
        (
            b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
            "400",
            "length-and-coding",
        ),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501", "unknown-coding"),
        (b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501", "unknown-coding"),
        (b"TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n", "405", "method-not-allowed"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "405", "method-not-allowed"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", "many-hosts"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "bad-version"),
    ];
    for (bytes, status, detail) in cases {
        let answer = exchange(&server, bytes);
        let text = bytes.escape_ascii();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {answer}");
        assert!(answer.contains(&format!("Cache-Status: tiergate; detail={detail}\r\n")), "{text}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{text}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(body.starts_with(status) && body.ends_with('\n'), "{text}: {answer}");
    }
    assert_eq!(origin.targets(), [""; 0], "nobody was asked");
}

/// Heads beyond what is configured are refused as soon as that is known, with the status that says why.
#[test]
fn heads_have_limits() {
    let origin = Origin::fixed("", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nlimits: {{ head: 2KiB, target: 1KiB, fields: 5 }}\n",
        origin.address
    ));
    let get = |target: &str, fields: &str| {
        exchange(
            &server,
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n").as_bytes(),
        )
    };
    assert!(get("/a", "").starts_with("HTTP/1.1 200 "));
    assert!(get(&format!("/{}", "a".repeat(1024)), "").starts_with("HTTP/1.1 414 "));
    assert!(get("/a", "X: y\r\nX: y\r\nX: y\r\n").starts_with("HTTP/1.1 200 "));
    assert!(get("/a", "X: y\r\nX: y\r\nX: y\r\nX: y\r\n").starts_with("HTTP/1.1 431 "));
    assert!(get("/a", &format!("X: {}\r\n", "y".repeat(2048))).starts_with("HTTP/1.1 431 "));
    // Nor is the end waited for that never comes.
    let flood = format!("GET /a HTTP/1.1\r\nX: {}", "y".repeat(4096));
    assert!(exchange(&server, flood.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert_eq!(origin.targets().len(), 2);
}

/// A head that drips is cut off at its deadline, whoever sends it; a connection that is idle is closed
/// without a word.
#[test]
fn a_head_that_drips_is_cut_off() {
    let origin = Origin::fixed("", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\ntimeouts: {{ head_s: 1, idle_s: 1 }}\n",
        origin.address
    ));
    let late = exchange(&server, b"GET /a HTTP/1.1\r\nHost: a\r\n");
    assert!(late.starts_with("HTTP/1.1 408 "), "{late}");
    assert!(late.contains("detail=request-timed-out"), "{late}");
    assert_eq!(exchange(&server, b""), "");
}

/// Strangers' requests that nobody can be asked about count against nobody: as many good ones as bad ones are
/// sent, and every good one is served.
#[test]
fn bad_requests_count_against_nobody() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for number in 0..100 {
        assert!(exchange(&server, b"GET ?q HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400 "));
        // Nothing is wrong with this one but that no origin's client could write it.
        let odd = exchange(&server, b"GET /\"<> HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(odd.starts_with("HTTP/1.1 400 ") || odd.starts_with("HTTP/1.1 200 "), "{odd}");
        assert_eq!(server.get(&format!("/good/{number}")).head.status, 200);
    }
}

/// One host is one key, however it is written, and a target that names a host wins over `Host`.
#[test]
fn a_host_is_one_key_however_it_is_written() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for host in ["site.example", "SITE.example", "site.example.", "site.example:80", "site.example:"] {
        assert_eq!(server.get_from(host, "/a").head.status, 200, "{host}");
    }
    let absolute = server.get_from("other.example", "http://site.example/a");
    assert!(absolute.cache_status().contains("; hit; "), "{absolute:?}");
    let asked = origin.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].head.contains("host: site.example\r\n"), "{}", asked[0].head);
}

/// A client of HTTP/1.0 need not name a host; the origin's own is asked for.
#[test]
fn http_1_0_needs_no_host() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let answer = exchange(&server, b"GET /a HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nx"), "{answer}");
    assert!(origin.asked()[0].head.contains(&format!("host: {}\r\n", origin.address)));
    // And keeps its connection only if it asks for that.
    let twice = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /a HTTP/1.0\r\n\r\n";
    let answer = exchange(&server, twice);
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
    assert_eq!(answer.matches("Connection: keep-alive\r\n").count(), 1, "{answer}");
}

/// Requests that come at once are answered in order, each from where it belongs: memory, the origin, or
/// around the cache.
#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let origin = Origin::start(|asked, stream| {
        let body = format!("{} {}", asked.method, asked.target);
        respond(stream, "Cache-Control: max-age=60\r\n", body.len(), body.as_bytes());
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let all = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        GET /a HTTP/1.1\r\nHost: a\r\n\r\n\
        GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(&server, all);
    let bodies: Vec<_> =
        ["GET /a", "POST /b", "GET /c"].iter().map(|body| answer.find(&format!("\r\n\r\n{body}"))).collect();
    assert!(bodies.is_sorted() && bodies.iter().all(Option::is_some), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 4, "{answer}");
    assert_eq!(origin.asked()[1].body, b"abc");
}

/// What a stranger says of whom it forwards for reaches no origin, and what the connection says does, on both
/// ways to it.
#[test]
fn an_origin_hears_of_its_client_from_the_connection_only() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let lies = "X-Forwarded-Host: evil\r\nx-forwarded-for: 6.6.6.6\r\nForwarded: for=evil\r\nX-Original-URL: /evil\r\nX-Real-IP: 6.6.6.6\r\n";
    assert_eq!(server.request("GET", "/a", lies).head.status, 200);
    assert_eq!(server.request("POST", "/b", &format!("{lies}Content-Length: 1\r\n\r\nx")).head.status, 200);
    for asked in origin.asked() {
        let head = asked.head.to_ascii_lowercase();
        assert!(!head.contains("evil") && !head.contains("6.6.6.6"), "{head}");
        for line in [
            "x-forwarded-for: 127.0.0.1\r\n",
            "x-forwarded-proto: http\r\n",
            "x-forwarded-host: site.example\r\n",
            "via: 1.1 tiergate\r\n",
        ] {
            assert!(head.contains(line), "{line:?} in {head}");
        }
    }
}

/// An origin that leads back to this cache is found out at the first round, and not by a timeout.
#[test]
fn a_loop_is_found_out() {
    let relay = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let site = Site::new();
    let server = site.serve_from_memory(relay.local_addr().expect("it is bound"));
    let back = server.address;
    thread::spawn(move || {
        for stream in relay.incoming() {
            let (here, there) =
                (stream.expect("a connection"), TcpStream::connect(back).expect("it listens"));
            for (mut from, mut to) in [(clone(&here), clone(&there)), (there, here)] {
                thread::spawn(move || {
                    drop(io::copy(&mut from, &mut to));
                    drop(to.shutdown(Shutdown::Write));
                });
            }
        }
    });
    for method in ["GET", "POST"] {
        let response = server.request(method, "/a", "Content-Length: 0\r\n");
        assert_eq!(response.head.status, 508, "{method}: {:?}", response.head);
        assert!(response.cache_status().contains("detail=loop-detected"), "{:?}", response.head);
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a second handle")
}

/// One more than may be connected is told so, and has a place once somebody has left.
#[test]
fn one_client_too_many_is_turned_away() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nlimits: {{ connections: 2 }}\n",
        origin.address
    ));
    let one = server.send("GET", "/a", "").into_idle();
    let two = server.send("GET", "/a", "").into_idle();
    let turned_away = exchange(&server, b"");
    assert!(
        turned_away.starts_with("HTTP/1.1 503 ") && turned_away.contains("Retry-After: 1\r\n"),
        "{turned_away}"
    );
    let (head, body) = turned_away.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{turned_away}");
    drop((one, two));
    // Until both are gone, a client may be turned away before its request is read.
    while server.try_request("GET", "/a", "").is_none_or(|response| response.head.status != 200) {}
}

/// A client that leaves before it is answered costs its origin nothing more, and the connection is not waited
/// for.
#[test]
fn a_client_that_is_done_is_not_kept() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    assert_eq!(server.get("/a").head.status, 200);
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n").expect("the server reads");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer");
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).expect("the server closes");
    assert!(rest.ends_with(b"\r\n\r\nx"));
}

/// A body is never read as a request: not one that an origin leaves unread, and not one whose chunks have
/// extensions.
#[test]
fn a_body_is_never_read_as_a_request() {
    let origin = Origin::start(|asked, stream| {
        assert_ne!(asked.target, "/smuggled");
        respond(stream, "Cache-Control: no-store\r\n", 2, b"ok");
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = smuggled.len();
    let last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for method in ["GET", "HEAD", "POST", "PUT", "OPTIONS", "PURGE"] {
        let text =
            format!("{method} /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}{last}");
        exchange(&server, text.as_bytes());
    }
    let text = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x};ext=\"\r\n\r\n\"\r\n{smuggled}\r\n0\r\n\r\n{last}"
    );
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.write_all(text.as_bytes()).expect("the server reads");
    drop(stream.read_to_end(&mut Vec::new()));
    assert!(origin.targets().iter().all(|target| target != "/smuggled"), "{:?}", origin.targets());
}
