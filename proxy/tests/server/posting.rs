//! Answers to POST that say they are what a GET would get (RFC 9110 section 9.3.3): they are reused, and no
//! others are.

use crate::{
    h2_client::{self, Client, get, run, to},
    harness::{End, Exchange, Origin, Response, Server, Site, pattern, respond},
};
use bytes::Bytes;
use std::{
    io::Write,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

const FRESH: &str = "Cache-Control: max-age=600\r\n";
const OWN: &str = "Cache-Control: max-age=600\r\nContent-Location: /a\r\n";
const FORM: &str = "Content-Length: 3\r\n\r\na=1";

/// Answers a POST with these field lines, and a GET with others.
fn answering(fields: &'static str) -> Origin {
    Origin::start(move |asked, stream| match asked.method.as_str() {
        "POST" => respond(stream, fields, 6, b"posted"),
        "HEAD" => respond(stream, FRESH, 3, b""),
        _ => respond(stream, FRESH, 3, b"got"),
    })
}

fn post(server: &Server) -> Response {
    let posted = server.request("POST", "/a", FORM);
    assert_eq!((posted.head.status, posted.cache_status().as_str()), (200, "tiergate; fwd=method"));
    posted
}

/// What the next GET gets, with the origin's word where that was asked.
fn got(server: &Server) -> (String, bool) {
    let got = server.get("/a");
    (got.text().to_owned(), got.cache_status().starts_with("tiergate; hit"))
}

/// The answer to a POST answers the GET and the HEAD after it; the next POST goes to the origin again.
#[test]
fn a_post_is_reused_for_later_gets() {
    let origin = answering(OWN);
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    post(&server);
    assert_eq!(got(&server), ("posted".to_owned(), true));
    let head = server.request("HEAD", "/a", "");
    assert_eq!((head.head.field("content-length").as_str(), head.end), ("6", End::Whole));
    post(&server);
    let methods: Vec<_> = origin.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["POST", "POST"]);
}

/// The same where both come over HTTP/2.
#[test]
fn a_post_over_http_2_is_reused() {
    let origin = answering(OWN);
    let site = Site::new();
    let server = h2_client::serve(&site, origin.address, "");
    run(async {
        let mut client = Client::connect(&server).await;
        let form = to("POST", "/a").header("content-length", "3");
        let posted = client.bring(form, Bytes::from_static(b"a=1")).await;
        assert_eq!(posted.body.as_deref(), Ok(&b"posted"[..]));
        let hit = client.ask(get("/a")).await;
        assert_eq!(hit.body.as_deref(), Ok(&b"posted"[..]));
        assert!(hit.cache_status().starts_with("tiergate; hit"), "{hit:?}");
    });
    assert_eq!(origin.targets(), ["/a"]);
}

/// Not without a word on what it is, not if it is something else, and not if it may not be stored; and what
/// was stored before is gone in each case.
#[test]
fn what_does_not_say_so_is_not_reused() {
    for fields in [
        FRESH,
        "Content-Location: /a\r\n",
        "Content-Location: /a\r\nLast-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n",
        "Cache-Control: max-age=600\r\nContent-Location: /b\r\n",
        "Cache-Control: max-age=600\r\nContent-Location: http://other.example/a\r\n",
        "Cache-Control: max-age=600, private\r\nContent-Location: /a\r\n",
        "Cache-Control: max-age=600, no-store\r\nContent-Location: /a\r\n",
        "Cache-Control: max-age=0\r\nETag: \"v\"\r\nContent-Location: /a\r\n",
        "Cache-Control: max-age=600\r\nContent-Location: /a\r\nVary: *\r\n",
        "Cache-Control: max-age=600\r\nContent-Location: /a\r\nSet-Cookie: a=1\r\n",
    ] {
        let origin = answering(fields);
        let site = Site::new();
        let server = site.serve_from_memory(origin.address);
        assert_eq!(got(&server), ("got".to_owned(), false));
        post(&server);
        assert_eq!(got(&server), ("got".to_owned(), false), "{fields}");
    }
}

/// Only a body of known length, up to a bound.
#[test]
fn what_is_long_or_of_unknown_length_is_not_reused() {
    let origin = Origin::start(|asked, stream| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", "/short") => {
            let fields = format!("{FRESH}Content-Location: /short\r\n");
            respond(stream, &fields, 1 << 20, &pattern(1 << 20));
        }
        ("POST", "/long") => {
            let fields = format!("{FRESH}Content-Location: /long\r\n");
            respond(stream, &fields, (1 << 20) + 1, &pattern((1 << 20) + 1));
        }
        ("POST", _) => {
            let head =
                format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Location: /chunked\r\nConnection: close\r\n");
            let body = "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
            stream.write_all((head + body).as_bytes()).expect("the server reads");
        }
        _ => respond(stream, FRESH, 3, b"got"),
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for (target, is_reused) in [("/short", true), ("/long", false), ("/chunked", false)] {
        server.request("POST", target, FORM);
        let hit = server.get(target);
        assert_eq!(hit.cache_status().starts_with("tiergate; hit"), is_reused, "{target}");
        assert_eq!(hit.body == b"got", !is_reused, "{target}");
    }
}

/// An origin that sends a POST's answer in two parts, the second when it is told to, or none.
fn in_two_parts() -> (Origin, Sender<bool>) {
    let (go_on, told): (Sender<bool>, Receiver<bool>) = channel();
    let told = Mutex::new(told);
    let origin = Origin::start(move |asked, stream| {
        if asked.method != "POST" {
            return respond(stream, FRESH, 3, b"got");
        }
        respond(stream, OWN, 6, b"pos");
        if told.lock().expect("no test panics with it").recv() == Ok(true) {
            drop(stream.write_all(b"ted"));
        }
    });
    (origin, go_on)
}

fn begin(server: &Server) -> Exchange {
    let mut exchange = server.send("POST", "/a", FORM);
    assert_eq!(exchange.head("POST").status, 200);
    assert_eq!(exchange.first_bytes(3), b"pos");
    exchange
}

/// A body that breaks off is not stored, and its client sees that it did.
#[test]
fn a_body_that_breaks_off_is_not_reused() {
    let (origin, go_on) = in_two_parts();
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let mut exchange = server.send("POST", "/a", FORM);
    let head = exchange.head("POST");
    go_on.send(false).expect("the origin waits");
    let posted = exchange.finish(head);
    assert_eq!((posted.body.as_slice(), posted.end), (&b"pos"[..], End::Broken));
    assert_eq!(got(&server), ("got".to_owned(), false));
}

/// A purge while the body comes is not undone by its end. Without one, the end makes it what later requests
/// get, unless one of them was there before.
#[test]
fn what_comes_while_the_body_does_wins() {
    let (origin, go_on) = in_two_parts();
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for meanwhile in ["nothing", "purge", "get"] {
        let mut exchange = begin(&server);
        match meanwhile {
            "purge" => assert_eq!(server.request("PURGE", "/a", "").head.status, 200),
            "get" => assert_eq!(got(&server), ("got".to_owned(), false)),
            _ => {}
        }
        go_on.send(true).expect("the origin waits");
        assert_eq!(exchange.first_bytes(3), b"ted");
        let expected = match meanwhile {
            "nothing" => ("posted".to_owned(), true),
            "purge" => ("got".to_owned(), false),
            _ => ("got".to_owned(), true),
        };
        assert_eq!(got(&server), expected, "{meanwhile}");
    }
}

/// What is passed for another reason is not stored this way, whatever it says of itself.
#[test]
fn other_methods_store_nothing() {
    for (method, more) in [("PUT", FORM), ("OPTIONS", ""), ("PATCH", FORM), ("DELETE", "")] {
        let origin = Origin::start(|asked, stream| match asked.method.as_str() {
            "GET" => respond(stream, FRESH, 3, b"got"),
            _ => respond(stream, OWN, 6, b"posted"),
        });
        let site = Site::new();
        let server = site.serve_from_memory(origin.address);
        assert_eq!(server.request(method, "/a", more).head.status, 200);
        assert_eq!(got(&server), ("got".to_owned(), false), "{method}");
    }
}
