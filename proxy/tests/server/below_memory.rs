//! What only the disk has is worth what memory has: parts, conditions, heads, and a 304 of the origin.

use crate::harness::{End, Origin, Server, Site, pattern, respond};
use std::io::Write;

const SIZE: usize = 700_000;

/// A server that has `/a` on its disk alone: another process stored it.
fn only_on_disk(site: &Site, origin: &Origin) -> Server {
    let config = "cache: { l0: null, l2: { capacity: 64MiB } }\n";
    let server = site.serve(origin.address, config);
    assert!(server.get("/a").body == pattern(SIZE));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    site.serve(origin.address, config)
}

/// A part, several parts, a part that is not there, a head, and a condition that holds: all without the
/// origin.
#[test]
fn parts_heads_and_conditions_are_answered_from_the_disk() {
    let whole = pattern(SIZE);
    let origin = Origin::fixed("Cache-Control: max-age=600\r\nETag: \"v1\"\r\n", whole.clone());
    let site = Site::new();
    let server = only_on_disk(&site, &origin);
    let part = server.request("GET", "/a", "Range: bytes=300000-499999\r\n");
    assert_eq!((part.head.status, part.end), (206, End::Whole));
    assert!(part.body == whole[300_000..500_000]);
    assert_eq!(part.head.field("content-range"), "bytes 300000-499999/700000");
    assert_eq!(part.head.field("content-length"), "200000");
    assert!(part.cache_status().ends_with("detail=l2"), "{part:?}");
    let parts = server.request("GET", "/a", "Range: bytes=0-1,10-12\r\n");
    assert_eq!((parts.head.status, parts.end), (206, End::Whole));
    assert!(parts.head.field("content-type").starts_with("multipart/byteranges; boundary="), "{parts:?}");
    let beyond = server.request("GET", "/a", "Range: bytes=700000-\r\n");
    assert_eq!((beyond.head.status, beyond.head.field("content-range").as_str()), (416, "bytes */700000"));
    let head = server.request("HEAD", "/a", "");
    assert_eq!((head.head.status, head.body.len()), (200, 0));
    assert_eq!(head.head.field("content-length"), "700000");
    let same = server.request("GET", "/a", "If-None-Match: \"v1\"\r\n");
    assert_eq!((same.head.status, same.body.len()), (304, 0));
    assert!(server.get("/a").body == whole);
    assert_eq!(origin.targets(), ["/a"]);
}

/// A connection serves the next request after a body that came in pieces, and after a head whose body nobody
/// read.
#[test]
fn a_connection_outlives_what_came_in_pieces() {
    let whole = pattern(SIZE);
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", whole.clone());
    let site = Site::new();
    let server = only_on_disk(&site, &origin);
    let next = |method| format!("\r\n{method} /a HTTP/1.1\r\nHost: site.example\r\n");
    let mut exchange = server.send("GET", "/a", &format!("{}{}\r\n", next("HEAD"), next("GET")));
    assert_ne!(exchange.head("GET").field("connection"), "close");
    assert!(exchange.first_bytes(SIZE) == whole);
    assert_eq!(exchange.head("HEAD").field("content-length"), "700000");
    let last = exchange.head("GET");
    assert!(last.field("cache-status").ends_with("detail=l2"), "{last:?}");
    let last = exchange.finish(last);
    assert!(last.end == End::Whole && last.body == whole);
    assert_eq!(origin.targets(), ["/a"]);
}

/// What must be asked about before each use is read from the disk once the origin has agreed.
#[test]
fn a_304_of_the_origin_serves_what_the_disk_has() {
    let whole = pattern(SIZE);
    let sent = whole.clone();
    let origin = Origin::start(move |asked, stream| {
        let head = "Connection: close\r\nCache-Control: no-cache\r\nETag: \"v1\"\r\n";
        let answered = if asked.head.contains("if-none-match: \"v1\"") {
            write!(stream, "HTTP/1.1 304 Not Modified\r\n{head}\r\n")
        } else {
            write!(stream, "HTTP/1.1 200 OK\r\n{head}Content-Length: {SIZE}\r\n\r\n")
                .and_then(|()| stream.write_all(&sent))
        };
        answered.expect("the server reads");
    });
    let site = Site::new();
    let server = only_on_disk(&site, &origin);
    let again = server.get("/a");
    assert!((again.head.status, again.end) == (200, End::Whole) && again.body == whole);
    assert!(
        again.cache_status().starts_with("tiergate; fwd=stale; fwd-status=304"),
        "{}",
        again.cache_status()
    );
    assert_eq!(origin.targets().len(), 2);
}

/// A purge by tag is kept: after a kill, a server on the same directory does not serve what it covered, and
/// serves the rest; a second one neither.
#[test]
fn f2_a_purge_by_tag_outlives_the_process() {
    let origin = Origin::start(|asked, stream| {
        let fields = if asked.target == "/a" { "Surrogate-Key: one\r\n" } else { "Surrogate-Key: two\r\n" };
        respond(stream, &format!("Cache-Control: max-age=600\r\n{fields}"), SIZE, &pattern(SIZE));
    });
    let site = Site::new();
    let config = "cache: { l0: null, l2: { capacity: 64MiB } }\n";
    let server = site.serve(origin.address, config);
    for target in ["/a", "/b"] {
        assert!(server.get(target).body == pattern(SIZE));
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let server = site.serve(origin.address, config);
    assert!(server.get("/a").cache_status().ends_with("detail=l2"), "both are on the disk");
    let purged = server.request("PURGE", "/", "Surrogate-Key: one\r\n");
    assert_eq!(purged.head.status, 200);
    assert!(String::from_utf8_lossy(&purged.body).contains("\"l2\":{\"outcome\":\"barred\"}"), "{purged:?}");
    server.signal("KILL");
    assert_eq!(server.wait().code(), None);
    let server = site.serve(origin.address, config);
    let gone = server.get("/a");
    assert!(!gone.cache_status().contains("hit") && gone.body == pattern(SIZE), "{}", gone.cache_status());
    assert!(server.get("/b").cache_status().ends_with("detail=l2"), "nobody purged it");
    assert_eq!(origin.targets(), ["/a", "/b", "/a"]);
}
