//! Clients and origins that send too much, or too slowly, or too often: what each may cost has a bound.

use crate::{
    harness::{Origin, Site, respond},
    raw::{PATIENCE, connect, drip, exchange, read_to_end},
};
use std::{
    io::{self, Read, Write},
    sync::mpsc,
    time::Duration,
};

/// A configuration with these lines more.
fn config(origin: &Origin, more: &str) -> String {
    format!("listen: 127.0.0.1:0\norigin: http://{}\n{more}\n", origin.address)
}

/// The head of an origin's response has as many bytes and fields as it may have, and no more, whether it is
/// fetched or passed.
#[test]
fn an_origins_head_has_a_limit_on_both_ways_to_it() {
    let origin = Origin::start(|asked, stream| {
        let rest = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nX: \r\n\r\n".len();
        let fields = match &*asked.target {
            "/large" => format!("X: {}\r\n", "y".repeat(2048 - rest)),
            "/too-large" => format!("X: {}\r\n", "y".repeat(2049 - rest)),
            "/many" => "X: y\r\n".repeat(8),
            "/too-many" => "X: y\r\n".repeat(9),
            "/coded" => "Transfer-Encoding: foo\r\n".to_owned(),
            other => panic!("{other}"),
        };
        respond(stream, &fields, 2, b"ok");
    });
    let site = Site::new();
    let server = site.start(&config(&origin, "origin_limits: { head: 2KiB, fields: 10 }"));
    for method in ["GET", "POST"] {
        for target in ["/large", "/many"] {
            let response = server.request(method, target, "Content-Length: 0\r\n");
            assert_eq!((response.head.status, response.text()), (200, "ok"), "{method} {target}");
        }
        for target in ["/too-large", "/too-many", "/coded"] {
            let response = server.request(method, target, "Content-Length: 0\r\n");
            assert_eq!(response.head.status, 502, "{method} {target}");
            assert!(
                response.text().contains("the head of the origin server's response"),
                "{}",
                response.text()
            );
            assert!(response.cache_status().contains("detail=origin-malformed"), "{:?}", response.head);
        }
    }
}

/// A body that stalls, or that drips without ever stalling, is given up with a word, however it is framed.
#[test]
fn a_body_that_drips_is_cut_off() {
    // It reads a body whose end it does not know until the connection ends, and says nothing.
    let origin = Origin::start(|_, stream| drop(stream.read_to_end(&mut Vec::new())));
    let site = Site::new();
    let server = site.start(&config(&origin, "timeouts: { body_s: 1, body_bytes_per_s_min: 1000 }"));
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let head = format!("POST /a HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n3e8\r\n");
        let stalled = exchange(&server, head.as_bytes());
        assert!(stalled.starts_with("HTTP/1.1 408 "), "{stalled}");
        assert!(stalled.contains("detail=request-timed-out\r\n"), "{stalled}");
        let mut stream = connect(&server);
        stream.write_all(head.as_bytes()).expect("the server reads");
        let dripped = drip(&mut stream, &[b'x'; 200]).expect("an answer long before the body's end");
        assert!(dripped.starts_with("HTTP/1.1 408 "), "{dripped}");
    }
}

/// A body that comes in time is passed on, and the connection takes the next request, however it is framed;
/// and an origin that is slow to answer costs the client none of its time.
#[test]
fn a_body_in_time_is_passed_on() {
    let (answer, may_answer) = mpsc::channel::<()>();
    let may_answer = std::sync::Mutex::new(may_answer);
    let origin = Origin::start(move |asked, stream| {
        if asked.target == "/slow" {
            may_answer.lock().expect("no test panics with it").recv().expect("the test says when");
        }
        let body = format!("{} {}", asked.method, asked.target);
        respond(stream, "Cache-Control: no-store\r\n", body.len(), body.as_bytes());
    });
    let site = Site::new();
    let server = site.start(&config(&origin, "timeouts: { body_s: 1 }"));
    let mut stream = connect(&server);
    let bodies =
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n\
        POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
        GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(bodies).expect("the server reads");
    // Twice as long as the client would have for a byte of its body.
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a time that is not zero");
    let mut came = Vec::new();
    let waited = stream.read_to_end(&mut came);
    assert!(waited.is_err(), "it waits for the origin: {}", String::from_utf8_lossy(&came));
    answer.send(()).expect("the origin waits for it");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    let answers = String::from_utf8(came).expect("heads are text") + &read_to_end(&mut stream);
    let ends: Vec<_> = ["POST /a", "POST /slow", "GET /b"]
        .iter()
        .map(|body| answers.find(&format!("\r\n\r\n{body}")))
        .collect();
    assert!(ends.is_sorted() && ends.iter().all(Option::is_some), "{answers}");
}

/// A client that takes nothing is not waited for, and neither is what was written for it kept.
#[test]
fn a_reader_that_takes_nothing_is_cut_off() {
    const LENGTH: usize = 64 << 20;
    let origin = Origin::start(|_, stream| respond(stream, "", LENGTH, &vec![b'x'; LENGTH]));
    let site = Site::new();
    let server = site.start(&config(&origin, "log: access\ntimeouts: { write_s: 1 }"));
    for method in ["GET", "POST"] {
        let mut stream = connect(&server);
        let head = format!("{method} /{method} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        site.wait_for_log(&format!("/{method}"));
        assert!(
            site.log()
                .lines()
                .any(|line| line.contains(&format!("/{method}")) && line.contains("broken=true"))
        );
        let mut taken = Vec::new();
        let error = stream.read_to_end(&mut taken).expect_err("a reset, and no end of the body");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(taken.len() < LENGTH);
    }
    // One that reads gets everything.
    assert_eq!(server.get("/a").body.len(), LENGTH);
}
