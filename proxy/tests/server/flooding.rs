//! Clients and origins that send too much, or too slowly, or too often: what each may cost has a bound.

use crate::{
    harness::{Origin, Site, respond},
    raw::{PATIENCE, connect, drip, exchange, read_to_end},
};
use std::{
    io::{self, Read, Write},
    sync::{Mutex, mpsc},
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
        // What is still sent does not cost the client what it is told.
        let mut stream = connect(&server);
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        stream.write_all(&[b'x'; 100]).expect("the server still reads");
        let rest = read_to_end(&mut stream);
        assert!(status == *b"HTTP/1.1 408" && rest.ends_with("too slowly.\n"), "{rest}");
    }
}

/// A body that comes in time is passed on, and the connection takes the next request, however it is framed;
/// and an origin that is slow to answer costs the client none of its time.
#[test]
fn a_body_in_time_is_passed_on() {
    let (answer, may_answer) = mpsc::channel::<()>();
    let may_answer = Mutex::new(may_answer);
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

/// An address that sends more requests than it may is told when to come back, whatever it asks for, and keeps
/// its connection.
#[test]
fn an_address_has_a_rate() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&config(
        &origin,
        "admin: { listen: \"127.0.0.1:0\" }\nlimits: { requests_per_s: 1, requests_burst: 5 }",
    ));
    assert_eq!(server.get("/a").head.status, 200);
    let mut requests =
        "GET /a HTTP/1.1\r\nHost: site.example\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    requests += &"GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n".repeat(50);
    requests += "POST /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = exchange(&server, requests.as_bytes());
    let statuses: Vec<_> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer[..3].parse::<u16>().expect("a status"))
        .collect();
    assert_eq!(statuses.len(), 55, "{answers}");
    assert_eq!(statuses[..4], [200; 4], "{answers}");
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!(refused > 40 && statuses.last() == Some(&429), "{statuses:?}");
    assert_eq!(answers.matches("Retry-After: 1\r\n").count(), refused, "{answers}");
    assert!(answers.contains("Cache-Status: tiergate; detail=too-many-requests-of-address\r\n"), "{answers}");
    let counted = format!("tiergate_requests_turned_away_total {refused}\n");
    let metrics = server.ask_admin("GET", "/metrics", "");
    assert!(metrics.text().contains(&counted), "{counted}");
}

/// A request counts until its response has ended, on both ways to the origin; one more is told to come back.
#[test]
fn requests_under_way_have_a_limit() {
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let origin = Origin::start(move |asked, stream| {
        respond(stream, "Cache-Control: max-age=60\r\n", 2, b"o");
        if asked.target == "/slow" {
            may_go_on.lock().expect("no test panics with it").recv().expect("the test says when");
        }
        drop(stream.write_all(b"k"));
    });
    let site = Site::new();
    let server = site.start(&config(&origin, "limits: { requests_under_way: 1 }"));
    assert_eq!(server.get("/a").head.status, 200);
    for method in ["GET", "POST"] {
        // The last byte of an answer may be here before the server knows that it was sent.
        let (slow, head) = loop {
            let mut slow = server.send(method, "/slow", "Content-Length: 0\r\n");
            let head = slow.head(method);
            if head.status == 200 {
                break (slow, head);
            }
        };
        let turned_away = server.get("/a");
        assert_eq!(turned_away.head.status, 503, "{method}");
        assert_eq!(turned_away.head.field("retry-after"), "1");
        assert_eq!(turned_away.cache_status(), "tiergate; detail=too-many-requests");
        go_on.send(()).expect("the origin waits for it");
        assert_eq!(slow.finish(head).body, b"ok");
        while server.get("/a").head.status != 200 {}
    }
}

/// A connection takes so many requests, and says with the last answer that it takes no more, from wherever
/// that comes.
#[test]
fn a_connection_takes_so_many_requests() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&config(&origin, "limits: { requests_per_connection: 3 }"));
    for last in ["GET /a", "GET /never-seen", "POST /b"] {
        let get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let last = format!("{last} HTTP/1.1\r\nHost: a\r\n\r\n");
        let post = "POST /b HTTP/1.1\r\nHost: a\r\n\r\n";
        let answers = exchange(&server, format!("{get}{post}{last}{get}{get}").as_bytes());
        assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3, "{answers}");
        assert_eq!(answers.matches("Connection: close\r\n").count(), 1, "{answers}");
        let (_, after) = answers.rsplit_once("HTTP/1.1 200 ").expect("an answer");
        assert!(after.contains("Connection: close\r\n"), "{answers}");
    }
}

/// A client that is turned away reads why, though it has sent a whole request by then.
#[test]
fn a_client_that_is_turned_away_reads_why() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&config(&origin, "limits: { connections: 1 }"));
    let one = server.send("GET", "/a", "").into_idle();
    let request =
        format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
    for _ in 0..50 {
        let answer = exchange(&server, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("503 Service Unavailable: too many are connected now\n"), "{answer}");
    }
    drop(one);
}

/// Heads that nobody finishes take what they may have and hardly more, and those who send them are served once
/// they go on.
#[test]
fn unfinished_heads_take_bounded_memory() {
    const CLIENTS: usize = 200;
    const HEAD: usize = 31 << 10;
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    assert_eq!(server.get("/a").head.status, 200);
    let before = server.memory_peak();
    let head =
        format!("GET /a HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\nX: {}", "y".repeat(HEAD));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(&server)).collect();
    for client in &mut clients {
        client.write_all(head.as_bytes()).expect("the server reads");
    }
    for client in &mut clients {
        client.write_all(b"\r\n\r\n").expect("the server reads");
        let answer = read_to_end(client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let each = (server.memory_peak() - before) / CLIENTS as u64;
    println!("{each} bytes for each unfinished head of {HEAD}");
    // The head, what its buffer has beside it, the task and its place among the connections.
    assert!(each < 3 * HEAD as u64, "{each} bytes for a head of {HEAD}");
}

/// A head that drips without ever stalling is cut off as one that stalls.
#[test]
fn a_head_that_drips_is_cut_off_in_time() {
    let origin = Origin::fixed("", b"x".to_vec());
    let site = Site::new();
    let server = site.start(&config(&origin, "timeouts: { head_s: 1 }"));
    let mut stream = connect(&server);
    let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(200));
    let dripped = drip(&mut stream, head.as_bytes()).expect("an answer long before the head's end");
    assert!(dripped.starts_with("HTTP/1.1 408 "), "{dripped}");
    assert_eq!(origin.targets(), [""; 0]);
}
