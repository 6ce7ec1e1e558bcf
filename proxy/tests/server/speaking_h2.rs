//! HTTP/2 towards clients: judged and answered as HTTP/1 is, each request on its own stream.

use crate::{
    h2_client::{Client, Frame, GOAWAY, Raw, get, run, serve, to, told, whole},
    harness::{End, Origin, Site, pattern, respond},
};
use ::h2::Reason;
use bytes::Bytes;
use std::{
    io::{Read, Write},
    sync::{Mutex, mpsc::channel},
    time::Duration,
};

const FRESH: &str = "Cache-Control: max-age=600\r\nDate: Thu, 01 Jan 2099 00:00:00 GMT\r\nETag: \"v1\"\r\n";

/// One cache answers both versions on one port, from memory, from the origin, in part and without a body;
/// what the origin said stays, its `Date` as well.
#[test]
fn both_versions_are_answered_from_one_cache() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    run(async {
        let mut client = Client::connect(&server).await;
        let miss = client.ask(get("/a")).await;
        assert_eq!((miss.status, miss.body.as_deref()), (200, Ok(&b"hello"[..])));
        assert_eq!(miss.cache_status(), "tiergate; fwd=uri-miss; detail=storing");
        let hit = client.ask(get("/a")).await;
        assert_eq!((hit.status, hit.body.as_deref()), (200, Ok(&b"hello"[..])));
        assert!(hit.cache_status().starts_with("tiergate; hit; ttl="), "{hit:?}");
        assert_eq!(hit.field("date"), "Thu, 01 Jan 2099 00:00:00 GMT");
        assert_eq!(
            (hit.field("content-length"), hit.field("via")),
            ("5".to_owned(), "1.1 tiergate".to_owned())
        );
        let head = client.ask(to("HEAD", "/a")).await;
        assert_eq!((head.field("content-length").as_str(), head.body.as_deref()), ("5", Ok(&b""[..])));
        let part = client.ask(get("/a").header("range", "bytes=1-2")).await;
        assert_eq!((part.status, part.body.as_deref()), (206, Ok(&b"el"[..])));
        let same = client.ask(get("/a").header("if-none-match", "\"v1\"")).await;
        assert_eq!((same.status, same.body.as_deref()), (304, Ok(&b""[..])));
        let around = client.ask(to("DELETE", "/other")).await;
        assert_eq!((around.status, around.body.as_deref()), (200, Ok(&b"hello"[..])));
        assert_eq!(around.field("date"), "Thu, 01 Jan 2099 00:00:00 GMT");
    });
    let over_http_1 = server.get("/a");
    assert!(over_http_1.cache_status().starts_with("tiergate; hit"), "{over_http_1:?}");
    assert_eq!(origin.targets(), ["/a", "/other"]);
}

/// Bodies that no piece of memory holds at once arrive whole: from the origin, from memory, and around the
/// cache.
#[test]
fn large_bodies_arrive_whole() {
    let body = pattern(1_500_000);
    let origin = Origin::fixed(FRESH, body.clone());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    run(async {
        let mut client = Client::connect(&server).await;
        for request in [get("/a"), get("/a"), to("POST", "/b").header("content-length", "0")] {
            let told = client.ask(request).await;
            assert!(told.body.as_deref() == Ok(&body[..]), "{:?}", told.fields);
        }
    });
}

/// What is passed brings its body, in whatever pieces and of known length or not; its trailers stay here. Its
/// `Cache-Status` says that it was passed, and the origin hears who asked.
#[test]
fn what_is_passed_brings_its_body() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", b"done".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    let body = pattern(500_000);
    run(async {
        let mut client = Client::connect(&server).await;
        let post =
            to("POST", "/form?x=1").header("content-length", body.len()).header("x-forwarded-for", "9.9.9.9");
        let told = client.bring(post, Bytes::from(body.clone())).await;
        assert_eq!((told.status, told.body.as_deref()), (200, Ok(&b"done"[..])));
        assert_eq!(told.cache_status(), "tiergate; fwd=method");
        let told = client.bring(to("GET", "/search").header("content-length", "1"), Bytes::from("q")).await;
        assert_eq!(told.cache_status(), "tiergate; fwd=method");
        let told = client.bring(to("GET", "/open"), Bytes::new()).await;
        assert_eq!((told.status, told.cache_status().as_str()), (200, "tiergate; fwd=method"));
    });
    let asked = origin.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].target.as_str()), ("POST", "/form?x=1"));
    assert!(asked[0].body == body);
    let head = asked[0].head.to_ascii_lowercase();
    for line in ["host: site.example\r\n", "x-forwarded-for: 127.0.0.1\r\n", "via: 1.1 tiergate\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("trailer") && !head.contains("9.9.9.9"), "{head}");
    assert_eq!(asked[1].body, b"q");
    assert!(asked[2].head.to_ascii_lowercase().contains("transfer-encoding: chunked\r\n"), "{asked:?}");
}

/// Cookies may come in several fields, and reach the origin in one.
#[test]
fn cookies_are_joined() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"x".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    run(async {
        let mut client = Client::connect(&server).await;
        for method in ["GET", "DELETE"] {
            client.ask(to(method, "/a").header("cookie", "a=1").header("cookie", "b=2")).await;
        }
    });
    for asked in origin.asked() {
        assert!(asked.head.to_ascii_lowercase().contains("\r\ncookie: a=1; b=2\r\n"), "{}", asked.head);
    }
}

/// Interim responses come before the response, of a fetch and around the cache.
#[test]
fn interim_responses_come_first() {
    let origin = Origin::start(|_, stream| {
        let early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
        stream.write_all(early).expect("the server reads");
        respond(stream, "Cache-Control: max-age=60\r\n", 2, b"ok");
    });
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    run(async {
        let mut client = Client::connect(&server).await;
        for request in [get("/a"), to("DELETE", "/a")] {
            let told = client.ask(request).await;
            assert_eq!((told.status, told.body.as_deref()), (200, Ok(&b"ok"[..])));
            let [(103, fields)] = &told.interim[..] else { panic!("{told:?}") };
            assert_eq!(fields["link"], "</style.css>; rel=preload");
        }
    });
}

/// Each bad request is answered with its own status and reason, on a connection that stays, and the origin
/// hears of none.
#[test]
fn bad_requests_are_told_what_is_wrong_with_them() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let limits = "limits: { fields: 10, target: 100 }\n";
    let server = serve(&site, origin.address, limits);
    run(async {
        let mut client = Client::connect(&server).await;
        let long = "x".repeat(100);
        let many = (0..11).fold(get("/"), |request, n| request.header(format!("x-{n}"), "1"));
        for (request, status, detail) in [
            (to("TRACE", "/"), 405, "method-not-allowed"),
            (get("/").header("host", "other.example"), 400, "many-hosts"),
            (get("/").uri("http://b@d/"), 400, "bad-host"),
            (get("/").uri("ftp://site.example/"), 400, "bad-target"),
            (get(&format!("/{long}")), 414, "target-too-long"),
            (many, 431, "too-many-fields"),
            (get("/").header("expect", "200-ok"), 417, "unknown-expectation"),
            (get("/").header("a", "b "), 400, "bad-field"),
        ] {
            let told = client.ask(request).await;
            assert_eq!((told.status, told.cache_status()), (status, format!("tiergate; detail={detail}")));
            let text = String::from_utf8(told.body.expect("a whole body")).expect("text");
            assert!(text.starts_with(&status.to_string()), "{text}");
        }
        assert_eq!(client.ask(get("/fine")).await.status, 200);
    });
    assert_eq!(origin.targets(), ["/fine"]);
}

/// Purges are taken from who knows the token, and from nobody else.
#[test]
fn purges_are_taken_from_who_knows_the_token() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    run(async {
        let mut client = Client::connect(&server).await;
        client.ask(get("/a")).await;
        let refused = client.ask(to("PURGE", "/a")).await;
        assert_eq!(
            (refused.status, refused.cache_status().as_str()),
            (403, "tiergate; detail=purge-forbidden")
        );
        assert!(client.ask(get("/a")).await.cache_status().starts_with("tiergate; hit"));
        let done = client.ask(to("PURGE", "/a").header("authorization", "Bearer purge-token-of-tests")).await;
        assert_eq!((done.status, done.field("content-type").as_str()), (200, "application/json"));
        assert!(!client.ask(get("/a")).await.cache_status().contains("hit"));
    });
}

/// A body that breaks off ends with a reset, from the origin's fetch and around the cache; an origin that
/// cannot be understood is an error page.
#[test]
fn a_body_that_breaks_off_is_reset() {
    let origin = Origin::start(|asked, stream| match asked.target.as_str() {
        "/none" => drop(stream.write_all(b"nonsense\r\n\r\n")),
        _ => respond(stream, "Cache-Control: max-age=60\r\n", 100, b"half"),
    });
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    run(async {
        let mut client = Client::connect(&server).await;
        for request in [get("/a"), to("DELETE", "/a")] {
            let told = client.ask(request).await;
            // The head may have been on its way still, and is overtaken then.
            assert_eq!(told.body, Err(Some(Reason::INTERNAL_ERROR)), "{told:?}");
        }
        for request in [get("/none"), to("DELETE", "/none")] {
            let told = client.ask(request).await;
            assert_eq!(told.status, 502, "{told:?}");
        }
    });
}

/// A stream that its client resets is gone: with `on_abandon: cancel` the origin sees its connection end, for
/// a request that waits for its head and for one whose body is under way, around the cache as well.
#[test]
fn a_stream_that_is_reset_asks_nobody_any_more() {
    let (left, leavings) = channel();
    let left = Mutex::new(left);
    let origin = Origin::start(move |asked, stream| {
        if asked.target != "/silent" {
            respond(stream, "Cache-Control: max-age=60\r\n", 100, b"some");
        }
        // Ends when the server closes.
        let ended = stream.read(&mut [0]);
        left.lock()
            .expect("no test panics with it")
            .send((asked.target.clone(), ended.is_ok_and(|count| count == 0)))
            .expect("the test waits");
    });
    let site = Site::new();
    let server = serve(&site, origin.address, "cache: {
  fill: { on_abandon: cancel },
  resilience: { breaker: { probe_ms_max: 600000 }, deadline: { head_ms_max: 600000, answer_ms_max: 600000, chunk_ms_max: 600000 } } }
");
    run(async {
        let mut client = Client::connect(&server).await;
        for (method, path) in
            [("GET", "/silent"), ("GET", "/begun"), ("DELETE", "/silent"), ("DELETE", "/begun")]
        {
            let (response, mut stream) = client.begin(to(method, path), true).await;
            if path == "/begun" {
                let mut body = response.await.expect("its head came").into_body();
                assert_eq!(body.data().await.expect("some of it").expect("came"), "some");
            } else {
                while !origin.asked().iter().any(|asked| asked.method == method) {
                    tokio::task::yield_now().await;
                }
            }
            stream.send_reset(Reason::CANCEL);
            // Before any deadline would end it.
            let told = tokio::task::block_in_place(|| leavings.recv_timeout(Duration::from_secs(20)));
            let told = told.expect("the origin tells");
            assert_eq!(told, (path.to_owned(), true), "{method}");
        }
        assert!(!client.connection.is_finished());
    });
}

/// A stream whose client reads nothing of it holds up no other of its connection, and is reset when its time
/// is over.
#[test]
fn a_stream_that_is_not_read_holds_nobody_up() {
    let body = pattern(400_000);
    let origin = Origin::fixed(FRESH, body.clone());
    let site = Site::new();
    let server = serve(&site, origin.address, "timeouts: { write_s: 1 }\n");
    run(async {
        let mut client = Client::connect(&server).await;
        client.ask(get("/a")).await;
        client.ask(get("/small")).await;
        // Nothing of these is released, so that their windows close.
        let (unread, _stream) = client.begin(get("/a"), true).await;
        let mut unread = unread.await.expect("its head came").into_body();
        let beside = client.ask(get("/small").header("range", "bytes=0-9")).await;
        assert_eq!(beside.body.as_deref(), Ok(&body[..10]));
        let mut came = 0;
        let reason = loop {
            match unread.data().await.expect("it does not end") {
                Ok(piece) => came += piece.len(),
                Err(error) => break error.reason(),
            }
        };
        assert_eq!(reason, Some(Reason::CANCEL));
        assert!(came < body.len());
        assert!(client.ask(get("/small")).await.body.as_deref() == Ok(&body[..]));
    });
}

/// After SIGTERM a transfer under way comes to its end, and then the connection does; one that is idle ends
/// at once, even where the client does not answer. The exit code is 0.
#[test]
fn a_drain_finishes_what_is_under_way() {
    let (go_on, told_to) = channel::<()>();
    let told_to = Mutex::new(told_to);
    let body = pattern(300_000);
    let sent = body.clone();
    let origin = Origin::start(move |_, stream| {
        let (first, second) = sent.split_at(100_000);
        respond(stream, "Cache-Control: max-age=60\r\n", sent.len(), first);
        if told_to.lock().expect("no test panics with it").recv().is_ok() {
            drop(stream.write_all(second));
        }
    });
    for method in ["GET", "DELETE"] {
        let site = Site::new();
        let server = serve(&site, origin.address, "drain_seconds: 600\n");
        let mut mute = Raw::connect(&server, b"");
        run(async {
            let (mut client, idle) = (Client::connect(&server).await, Client::connect(&server).await);
            let response = client.send(to(method, "/a")).await.await.expect("its head came");
            server.signal("TERM");
            idle.connection.await.expect("no panic").expect("it ends in order");
            let frames = tokio::task::block_in_place(|| mute.rest());
            assert_eq!(frames.last().map(Frame::code), Some(0), "{frames:?}");
            go_on.send(()).expect("the origin waits");
            assert!(whole(response.into_body()).await.as_deref() == Ok(&body[..]));
            client.connection.await.expect("no panic").expect("it ends in order");
        });
        assert_eq!(server.wait().code(), Some(0));
    }
}

/// A connection without streams is closed when its time is over, with the word that all is well; one that has
/// one is not.
#[test]
fn an_idle_connection_is_closed() {
    let (go_on, told_to) = channel::<()>();
    let told_to = Mutex::new(told_to);
    let origin = Origin::start(move |_, stream| {
        told_to.lock().expect("no test panics with it").recv().expect("the test tells");
        respond(stream, FRESH, 2, b"ok");
    });
    let site = Site::new();
    let server = serve(&site, origin.address, "timeouts: { idle_s: 1 }\n");
    let mut idle = Raw::connect(&server, b"");
    run(async {
        let mut client = Client::connect(&server).await;
        let waiting = client.send(get("/a")).await;
        let frames = tokio::task::block_in_place(|| idle.rest());
        let last = frames.last().expect("it is told");
        assert_eq!((last.kind, last.code()), (GOAWAY, 0), "{frames:?}");
        go_on.send(()).expect("the origin waits");
        assert_eq!(told(waiting).await.body.as_deref(), Ok(&b"ok"[..]));
        client.connection.await.expect("no panic").expect("it ends in order");
    });
}

/// What is logged says which version a request came in, whoever answered it.
#[test]
fn the_log_names_the_version() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let file = site.path().join("access.log");
    let server = serve(&site, origin.address, &format!("access_log: {{ file: {file:?} }}\n"));
    run(async {
        let mut client = Client::connect(&server).await;
        for method in ["GET", "GET", "DELETE", "TRACE"] {
            client.ask(to(method, "/a")).await;
        }
    });
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let log = std::fs::read_to_string(file).expect("it was written");
    assert_eq!(log.matches("GET /a HTTP/2.0\" 200 5 ").count(), 2, "{log}");
    assert_eq!(log.matches("DELETE /a HTTP/2.0\" 200 5 ").count(), 1, "{log}");
    assert_eq!(log.matches("HTTP/2.0\" 405 ").count(), 1, "{log}");
}

/// HTTP/2 in clear text is spoken only where it is configured; there, what does not begin with its preface is
/// HTTP/1, however it comes.
#[test]
fn clear_text_is_http_1_unless_configured() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let mut stream = std::net::TcpStream::connect(server.address).expect("the server listens");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    let both = serve(&site, origin.address, "timeouts: { head_s: 1 }\n");
    let response = both.request("PRI", "/a", "");
    assert_eq!((response.body.as_slice(), response.end), (&b"hello"[..], End::Whole));
    let mut stream = std::net::TcpStream::connect(both.address).expect("the server listens");
    stream.write_all(b"PRI * HT").expect("the server reads");
    answer.clear();
    stream.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}
