//! What a client gets, request by request.

use crate::harness::{End, Origin, Refusing, Site, pattern, respond};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

const FRESH: &str = "Cache-Control: max-age=60\r\nETag: \"v1\"\r\nContent-Type: text/plain\r\n";

/// The first request goes to the origin, the second is answered from memory with the same bytes, and both say
/// so.
#[test]
fn a_miss_is_followed_by_a_hit() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let first = server.get("/a?b=c");
    assert_eq!((first.head.status, first.body.as_slice(), first.end), (200, &b"hello"[..], End::Whole));
    assert_eq!(first.cache_status(), "tiergate; fwd=uri-miss; detail=storing");
    assert_eq!(first.head.field("age"), "");
    let second = server.get("/a?b=c");
    assert_eq!((second.body.as_slice(), second.end), (&b"hello"[..], End::Whole));
    assert!(second.cache_status().starts_with("tiergate; hit; ttl="), "{second:?}");
    assert!(second.cache_status().ends_with("detail=l0"), "{second:?}");
    assert_ne!(second.head.field("age"), "");
    assert_eq!(second.head.field("via"), "1.1 tiergate");
    assert_eq!(second.head.field("content-type"), "text/plain");
    assert_eq!(origin.targets(), ["/a?b=c"]);
}

/// F8: whoever fills, looks up or purges, in whichever letters the host is written, names one object.
#[test]
fn f8_fills_lookups_and_purges_name_one_object() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    server.get("/a");
    let other_letters = |method| {
        let mut exchange = server.send_to("SITE.Example", method, "/a", "");
        let head = exchange.head(method);
        exchange.finish(head)
    };
    let hit = other_letters("GET");
    assert!(hit.cache_status().starts_with("tiergate; hit;"), "{hit:?}");
    let purged = other_letters("PURGE");
    assert!(String::from_utf8_lossy(&purged.body).contains("removed"), "{purged:?}");
    let again = server.get("/a");
    assert_eq!(again.cache_status(), "tiergate; fwd=uri-miss; detail=storing");
    assert_eq!(origin.targets(), ["/a", "/a"]);
}

/// A POST reaches the origin each time, with its body, and says that it went around the cache.
#[test]
fn a_post_passes_with_its_body() {
    let origin = Origin::fixed(FRESH, b"done".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "");
    for _ in 0..2 {
        let response = server.request("POST", "/form", "Content-Length: 7\r\n\r\na=1&b=2");
        assert_eq!((response.head.status, response.body.as_slice()), (200, &b"done"[..]));
        assert_eq!(response.cache_status(), "tiergate; fwd=method");
        assert_eq!(response.head.field("via"), "1.1 tiergate");
    }
    let asked = origin.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].method.as_str(), asked[0].body.as_slice()), ("POST", &b"a=1&b=2"[..]));
    assert!(asked[0].head.contains("site.example"), "{:?}", asked[0]);
}

/// Around the cache, too, the date of a response is the origin's; one that says none, or what is no date,
/// gets the time at which its response came.
#[test]
fn a_date_is_the_origins() {
    const SAID: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let origin = Origin::start(|asked, stream| {
        let date = match asked.target.as_str() {
            "/dated" => format!("Date: {SAID}\r\n"),
            "/wrong" => "Date: yesterday\r\n".to_owned(),
            _ => String::new(),
        };
        respond(stream, &date, 2, b"ok");
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let dated = |target| {
        let response = server.request("POST", target, "Content-Length: 0\r\n");
        assert_eq!((response.head.status, response.text()), (200, "ok"));
        response.head.field("date")
    };
    assert_eq!(dated("/dated"), SAID);
    for target in ["/undated", "/wrong"] {
        let date = dated(target);
        assert!(date.ends_with(" GMT") && date != SAID, "{target}: {date}");
    }
}

/// A GET that brings a body is no question to a cache: it is passed, body and all.
#[test]
fn a_get_with_a_body_passes() {
    let origin = Origin::fixed(FRESH, b"answer".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let response = server.request("GET", "/search", "Content-Length: 5\r\n\r\nquery");
    assert_eq!(response.cache_status(), "tiergate; fwd=method");
    assert_eq!(origin.asked()[0].body, b"query");
}

/// A range of what is not stored has the whole fetched, and so has a `HEAD`: one question to the origin
/// answers both and all that follow.
#[test]
fn a_part_of_what_is_cold_fills() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "");
    for (method, target, fields) in [("GET", "/a", "Range: bytes=1-2\r\n"), ("HEAD", "/b", "")] {
        let first = server.request(method, target, fields);
        let (status, body) = if method == "GET" { (206, &b"el"[..]) } else { (200, &b""[..]) };
        assert_eq!((first.head.status, first.body.as_slice()), (status, body));
        assert_eq!(first.cache_status(), "tiergate; fwd=uri-miss; detail=storing");
        // The whole is fetched to its end, whoever has had a part of it already.
        assert_eq!(server.get(target).body, b"hello");
        let part = server.request("GET", target, "Range: bytes=-1\r\n");
        assert_eq!((part.head.status, part.body.as_slice()), (206, &b"o"[..]));
        assert!(part.cache_status().starts_with("tiergate; hit"), "{part:?}");
    }
    assert_eq!(origin.targets(), ["/a", "/b"]);
    assert!(origin.asked().iter().all(|asked| asked.method == "GET" && !asked.head.contains("bytes=")));
}

/// Ranges where they fetch nothing, and credentials that nothing stored is for, go to the origin, each with
/// its own words in `Cache-Status`.
#[test]
fn ranges_and_credentials_pass() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let cache = "cache: { l2: { capacity: 64MiB }, fill: { on_range: never } }\n";
    let server = site.serve(origin.address, cache);
    let range = server.request("GET", "/a", "Range: bytes=0-1\r\n");
    assert_eq!(range.cache_status(), "tiergate; fwd=bypass; detail=range");
    // What credentials brought is not stored without leave, and what others brought is not used for them.
    let secret = || server.request("GET", "/a", "Authorization: Basic eA==\r\n");
    assert_eq!(secret().cache_status(), "tiergate; fwd=uri-miss");
    server.get("/a");
    assert_eq!(secret().cache_status(), "tiergate; fwd=bypass; detail=authorization");
    assert!(server.get("/a").cache_status().starts_with("tiergate; hit"));
    assert_eq!(origin.targets(), ["/a"; 4]);
    let shown = origin.asked().iter().map(|asked| asked.head.contains("Basic eA==")).collect::<Vec<_>>();
    assert!(origin.asked()[0].head.contains("bytes=0-1"));
    assert_eq!(shown, [false, true, false, true]);
}

/// What says that it may be shared is stored whoever brought it, and serves all.
#[test]
fn shared_responses_are_served_to_credentials() {
    let origin = Origin::fixed("Cache-Control: public, max-age=60\r\nETag: \"v1\"\r\n", b"hello".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let secret =
        |fields: &str| server.request("GET", "/a", &format!("Authorization: Basic eA==\r\n{fields}"));
    assert_eq!(secret("").body, b"hello");
    for response in [server.get("/a"), secret("")] {
        assert!(response.cache_status().starts_with("tiergate; hit"), "{response:?}");
        assert_eq!(response.body, b"hello");
    }
    assert_eq!(secret("If-Match: \"v2\"\r\n").head.status, 412);
    assert_eq!(origin.targets(), ["/a"]);
}

/// `no-store` means that every request reaches the origin; the cache remembers, and says so.
#[test]
fn no_store_is_not_stored() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"secret".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "");
    for detail in ["", "; detail=uncacheable", "; detail=uncacheable"] {
        let response = server.get("/private");
        assert_eq!((response.body.as_slice(), response.end), (&b"secret"[..], End::Whole));
        assert_eq!(response.cache_status(), format!("tiergate; fwd=uri-miss{detail}"));
    }
    assert_eq!(origin.targets().len(), 3);
}

/// Once stored, a HEAD is answered with the head alone, and a matching validator with 304, both without the
/// origin. The object stays whole (failure T7).
#[test]
fn a_stored_object_answers_head_and_conditions() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    server.get("/a");
    let head = server.request("HEAD", "/a", "");
    assert_eq!((head.head.status, head.body.len()), (200, 0));
    assert_eq!(head.head.field("content-length"), "5");
    let same = server.request("GET", "/a", "If-None-Match: \"v0\", \"v1\"\r\n");
    assert_eq!((same.head.status, same.body.len()), (304, 0));
    assert_eq!(same.head.field("etag"), "\"v1\"");
    assert!(same.cache_status().starts_with("tiergate; hit"), "{same:?}");
    let other = server.request("GET", "/a", "If-None-Match: \"v2\"\r\n");
    assert_eq!((other.head.status, other.body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(server.get("/a").body, b"hello");
    assert_eq!(origin.targets(), ["/a"]);
}

/// A body whose length nobody announced is sent in chunks, and with its length once it is stored.
#[test]
fn a_body_of_unknown_length_is_stored_whole() {
    let body = pattern(300_000);
    let sent = body.clone();
    let origin = Origin::start(move |_, stream| {
        use std::io::Write;
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n";
        stream.write_all(head).expect("the server reads");
        for chunk in sent.chunks(7_001) {
            write!(stream, "{:x}\r\n", chunk.len()).expect("the server reads");
            stream.write_all(chunk).expect("the server reads");
            stream.write_all(b"\r\n").expect("the server reads");
        }
        stream.write_all(b"0\r\n\r\n").expect("the server reads");
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let first = server.get("/a");
    assert_eq!(first.head.field("transfer-encoding"), "chunked");
    assert!(first.end == End::Whole && first.body == body);
    let second = server.get("/a");
    assert_eq!(second.head.field("content-length"), "300000");
    assert!(second.body == body);
    assert_eq!(origin.targets(), ["/a"]);
}

/// A client of HTTP/1.0 knows no chunks: the bytes of a body of unknown length come as they are, and the
/// connection ends.
#[test]
fn a_client_of_1_0_gets_no_chunks() {
    let body = pattern(300_000);
    let sent = body.clone();
    let origin = Origin::start(move |_, stream| {
        use std::io::Write;
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=60\r\n\r\n";
        stream.write_all(head).and_then(|()| stream.write_all(&sent)).expect("the server reads");
    });
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let (head, came) = server.get_in_1_0("/a");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("cache-status: tiergate; fwd=uri-miss; detail=storing"), "{head}");
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    assert!(came == body);
}

/// A purge says what each tier held, and the next request goes to the origin again.
#[test]
fn a_purge_is_answered_with_what_was_seen() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "cache: { l0: { gate: 1 }, l2: { capacity: 64MiB } }\n");
    let nothing = server.request("PURGE", "/a", "");
    assert_eq!(nothing.head.status, 200);
    let text = String::from_utf8(nothing.body).expect("JSON is text");
    assert!(text.contains("\"l2\":{\"outcome\":\"absent\"}"), "{text}");
    server.get("/a");
    let text = String::from_utf8(server.request("PURGE", "/a", "").body).expect("JSON is text");
    assert!(!text.contains("\"failed\""), "{text}");
    assert_eq!(server.get("/a").cache_status(), "tiergate; fwd=uri-miss; detail=storing");
    assert_eq!(origin.targets(), ["/a", "/a"]);
}

/// An origin that is not there: 502 with a reason that a person and a program can read, and the connection
/// stays.
#[test]
fn an_unreachable_origin_is_a_502() {
    let origin = Refusing::new();
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let asked = server.get("/a");
    assert_eq!(asked.head.status, 502);
    assert_eq!(asked.cache_status(), "tiergate; fwd=miss; detail=origin-unreachable");
    assert!(asked.body.starts_with(b"502 Bad Gateway: the origin server cannot be reached"), "{asked:?}");
    let passed = server.request("POST", "/a", "Content-Length: 0\r\n");
    assert_eq!(passed.head.status, 502);
    assert_eq!(passed.cache_status(), "tiergate; fwd=method");
    assert!(passed.body.starts_with(b"502 Bad Gateway: the origin server cannot be reached"), "{passed:?}");
}

/// What an origin says about its own connection stays between it and the server, on both ways through it.
#[test]
fn hop_by_hop_fields_stop_here() {
    let origin = Origin::start(|_, stream| {
        let fields =
            "Keep-Alive: timeout=5\r\nX-Private: 1\r\nConnection: X-Private\r\nCache-Control: max-age=60\r\n";
        respond(stream, fields, 2, b"ok");
    });
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let got = server.get("/a");
    let posted = server.request("POST", "/a", "Content-Length: 0\r\n");
    for response in [got, posted] {
        assert_eq!(response.body, b"ok");
        assert_eq!(response.head.field("keep-alive"), "", "{response:?}");
        assert_eq!(response.head.field("x-private"), "", "{response:?}");
    }
}

/// A request that does not say which host it is for, or says it twice, is a bad one; the origin never sees
/// it.
#[test]
fn a_request_without_one_host_is_refused() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "");
    assert_eq!(server.request("GET", "/a", "Host: other.example\r\n").head.status, 400);
    assert_eq!(origin.targets().len(), 0);
}

/// Requests that a client sends before it has read the responses are answered in their order.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|asked, stream| {
        respond(stream, "Cache-Control: max-age=60\r\n", 2, asked.target.as_bytes());
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    server.get("/1");
    let mut exchange = server.send("GET", "/1", "\r\nGET /2 HTTP/1.1\r\nHost: site.example\r\n\r\n");
    for expected in [b"/1", b"/2"] {
        assert_eq!(exchange.head("GET").status, 200);
        assert_eq!(exchange.first_bytes(2), expected);
    }
}

/// An L1 that is down costs nobody an answer (failure R1, C1).
#[test]
fn a_redis_that_is_down_changes_no_answer() {
    let gone = Refusing::new();
    let redis = gone.address;
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\ncache: {{ l1: {{}} }}\nstorage: {{ l1: {{ redis: {redis} }} }}\n",
        origin.address
    ));
    let first = server.get("/a");
    assert_eq!((first.head.status, first.body.as_slice(), first.end), (200, &b"hello"[..], End::Whole));
    assert_eq!(server.get("/a").body, b"hello");
    assert_eq!(origin.targets(), ["/a"]);
}

/// A client that goes away while the origin thinks is noticed then, not when there is something to write:
/// with `on_abandon: cancel` the origin sees its connection end (O1).
#[test]
fn a_client_that_leaves_cancels_a_fetch_without_a_head() {
    use std::{io::Read, sync::mpsc::channel};
    let (asked, was_asked) = channel();
    let (ended, has_ended) = channel();
    let signals = std::sync::Mutex::new((asked, ended));
    let origin = Origin::start(move |_, stream| {
        let (asked, ended) = signals.lock().expect("no test panics with it").clone();
        asked.send(()).expect("the test waits");
        let closed = stream.read(&mut [0]).map_or(true, |read| read == 0);
        ended.send(closed).expect("the test waits");
    });
    let site = Site::new();
    let server =
        site.serve(origin.address, "cache: { l2: { capacity: 64MiB }, fill: { on_abandon: cancel } }\n");
    let exchange = server.send("GET", "/a", "");
    was_asked.recv().expect("the origin is asked");
    drop(exchange);
    let closed = has_ended.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(closed, Ok(true));
}

/// A range of what memory holds whole is served from it: exactly its bytes, under a head that says so.
#[test]
fn a_range_of_a_stored_object_is_a_hit() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    server.get("/a");
    let part = server.request("GET", "/a", "Range: bytes=1-3\r\n");
    assert_eq!((part.head.status, part.body.as_slice(), part.end), (206, &b"ell"[..], End::Whole));
    assert_eq!(part.head.field("content-range"), "bytes 1-3/5");
    assert_eq!(part.head.field("content-length"), "3");
    assert!(part.cache_status().starts_with("tiergate; hit"), "{part:?}");
    let beyond = server.request("GET", "/a", "Range: bytes=9-\r\n");
    assert_eq!((beyond.head.status, beyond.head.field("content-range").as_str()), (416, "bytes */5"));
    assert_eq!(origin.targets(), ["/a"]);
}

/// What must be asked about before each use is asked about, and the origin's 304 spares the body.
#[test]
fn a_304_of_the_origin_serves_what_is_stored() {
    let origin = Origin::start(|asked, stream| {
        use std::io::Write;
        let head = "Connection: close\r\nCache-Control: no-cache\r\nETag: \"v1\"\r\n";
        let response = if asked.head.contains("if-none-match: \"v1\"") {
            format!("HTTP/1.1 304 Not Modified\r\n{head}\r\n")
        } else {
            format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 5\r\n\r\nhello")
        };
        stream.write_all(response.as_bytes()).expect("the server reads");
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    assert_eq!(server.get("/a").cache_status(), "tiergate; fwd=uri-miss; detail=storing");
    for _ in 0..2 {
        let again = server.get("/a");
        assert_eq!((again.head.status, again.body.as_slice(), again.end), (200, &b"hello"[..], End::Whole));
        assert!(again.cache_status().starts_with("tiergate; fwd=stale; fwd-status=304"), "{again:?}");
    }
    assert_eq!(origin.targets().len(), 3);
}

/// RFC 9111 section 4.4: what an unsafe request changed is not served from the cache any more, in no tier;
/// one that the origin refused changes nothing.
#[test]
fn an_unsafe_request_invalidates() {
    let origin = Origin::start(|asked, stream| {
        use std::io::Write;
        let status = if asked.target == "/refused" && asked.method != "GET" { "403 No" } else { "200 OK" };
        let response =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\n{FRESH}Content-Length: 2\r\n\r\nok");
        stream.write_all(response.as_bytes()).expect("the server reads");
    });
    let site = Site::new();
    let server = site.serve(origin.address, "");
    for (target, method, again) in [
        ("/a", "POST", "fwd=uri-miss"),
        ("/b", "DELETE", "fwd=uri-miss"),
        ("/refused", "PUT", "hit"),
        ("/c", "OPTIONS", "hit"),
    ] {
        server.get(target);
        server.request(method, target, "Content-Length: 0\r\n");
        let after = server.get(target);
        assert!(after.cache_status().contains(again), "{method} {target}: {after:?}");
    }
}

/// What an origin says before its response reaches the client whose request it is, at once, and is not
/// stored: a hit has nothing before it.
#[test]
fn interim_responses_reach_the_client_before_the_response() {
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::start(move |_, stream| {
        let early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
        stream.write_all(early).expect("the server reads");
        told.lock().expect("no test panics with it").recv().expect("the test lives");
        respond(stream, "Cache-Control: max-age=60\r\n", 5, b"hello");
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let mut exchange = server.send("GET", "/a", "");
    let early = exchange.head("HEAD");
    assert_eq!((early.status, early.field("link").as_str()), (103, "</style.css>; rel=preload"));
    assert_eq!(early.field("cache-status"), "");
    go_on.send(()).expect("the origin waits");
    let head = exchange.head("GET");
    assert_eq!(head.status, 200);
    assert_eq!(exchange.finish(head).body, b"hello");
    let hit = server.get("/a");
    assert_eq!(hit.head.status, 200);
    assert!(hit.cache_status().contains("; hit; "), "{:?}", hit.head);
}

/// Another protocol that client and origin agree on goes both ways, byte for byte, until one of
/// them ends it.
#[test]
fn another_protocol_is_tunnelled() {
    let origin = Origin::start(|asked, stream| {
        let head = asked.head.to_ascii_lowercase();
        assert!(
            head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
            "{head}"
        );
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(agreed).expect("the server reads");
        let mut said = [0; 4];
        for _ in 0..2 {
            stream.read_exact(&mut said).expect("the client speaks");
            said.reverse();
            stream.write_all(&said).expect("the client listens");
        }
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let mut client = TcpStream::connect(server.address).expect("the server listens");
    let request = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(request.as_bytes()).expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    for said in [b"abcd", b"1234"] {
        client.write_all(said).expect("the server reads");
        let mut heard = [0; 4];
        client.read_exact(&mut heard).expect("an answer");
        heard.reverse();
        assert_eq!(&heard, said);
    }
    assert_eq!(client.read(&mut [0]).expect("an end"), 0);
}
