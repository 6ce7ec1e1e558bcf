//! HTTP/2 from those who mean harm: each attack ends its stream or its connection, costs bounded memory, and
//! whoever else asks is served.

use crate::{
    h2_client::{
        CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, GET, GOAWAY, HEADERS,
        PING, POST, REFUSED_STREAM, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, block, frame, get, run, serve,
        settings,
    },
    harness::{Origin, Server, Site, pattern, respond},
};
use std::{
    io,
    sync::{Mutex, mpsc::channel},
};

const FRESH: &str = "Cache-Control: max-age=600\r\n";
/// More than any attack here costs.
const MEMORY_MAX: u64 = 200 << 20;

/// Everybody else is served, over HTTP/1 and HTTP/2.
fn serves_others(server: &Server) {
    assert_eq!(server.get("/else").head.status, 200);
    run(async { assert_eq!(Client::connect(server).await.ask(get("/else")).await.status, 200) });
    assert!(server.memory_peak() < MEMORY_MAX, "{} bytes", server.memory_peak());
}

/// Streams that a client may open, in order.
fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, block)
}

/// The connection ends with this word.
fn ends_with(raw: &mut Raw, code: u32) {
    let frames = raw.rest();
    let last = frames.iter().rfind(|frame| frame.kind == GOAWAY);
    assert_eq!(last.map(Frame::code), Some(code), "{frames:?}");
}

/// What an attack writes. The server may close while it does.
fn write(raw: &mut Raw, bytes: &[u8]) {
    if let Err(error) = raw.write(bytes) {
        assert!(is_closed(&error), "{error}");
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Streams that are reset as soon as they are opened (CVE-2023-44487).
#[test]
fn rapid_resets_end_the_connection() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    let mut raw = Raw::connect(&server, b"");
    let attack = streams().take(1_000).flat_map(|stream| {
        let opened = headers(stream, END_STREAM, &block(GET, &format!("/{stream}"), &[]));
        [opened, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    write(&mut raw, &attack.collect::<Vec<_>>());
    ends_with(&mut raw, ENHANCE_YOUR_CALM);
    assert!(origin.asked().len() < 500, "{}", origin.asked().len());
    serves_others(&server);
}

/// The same by a client that takes its time: each answer that it leaves was asked for by then.
#[test]
fn answers_that_are_left_end_the_connection() {
    let (asked, asking) = channel();
    let asked = Mutex::new(asked);
    let origin = Origin::start(move |request, stream| {
        if request.target.starts_with("/left") {
            asked.lock().expect("no test panics with it").send(()).expect("the test waits");
        } else {
            respond(stream, FRESH, 2, b"ok");
        }
        let mut more = [0];
        drop(io::Read::read(stream, &mut more));
    });
    let site = Site::new();
    let server = serve(&site, origin.address, "cache: { fill: { on_abandon: cancel } }\n");
    let mut raw = Raw::connect(&server, b"");
    for stream in streams().take(200) {
        let opened = headers(stream, END_STREAM, &block(GET, &format!("/left/{stream}"), &[]));
        raw.write(&opened).expect("the server reads");
        asking.recv().expect("the origin is asked");
        write(&mut raw, &frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    ends_with(&mut raw, ENHANCE_YOUR_CALM);
    serves_others(&server);
}

/// A head that never ends.
#[test]
fn continuations_without_end_end_the_connection() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    let mut raw = Raw::connect(&server, b"");
    write(&mut raw, &frame(HEADERS, END_STREAM, 1, &block(GET, "/", &[])));
    let more = frame(CONTINUATION, 0, 1, &block(GET, "/", &[("x", &"y".repeat(100))])[19..]);
    write(&mut raw, &more.repeat(2_000));
    ends_with(&mut raw, ENHANCE_YOUR_CALM);
    let mut raw = Raw::connect(&server, b"");
    write(&mut raw, &frame(HEADERS, END_STREAM, 1, &block(GET, "/", &[])));
    write(&mut raw, &frame(CONTINUATION, 0, 1, b"").repeat(2_000));
    ends_with(&mut raw, ENHANCE_YOUR_CALM);
    serves_others(&server);
    assert_eq!(origin.targets(), ["/else"]);
}

/// Frames that make the server reset its own streams (CVE-2025-8671).
#[test]
fn streams_that_the_server_must_reset_end_the_connection() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    let mut raw = Raw::connect(&server, b"");
    let attack = streams().take(1_000).flat_map(|stream| {
        let opened = headers(stream, END_STREAM, &block(GET, &format!("/{stream}"), &[]));
        [opened, frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())].concat()
    });
    write(&mut raw, &attack.collect::<Vec<_>>());
    ends_with(&mut raw, ENHANCE_YOUR_CALM);
    assert!(origin.asked().len() < 500, "{}", origin.asked().len());
    serves_others(&server);
}

/// Data that bring nothing.
#[test]
fn empty_data_end_the_connection() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    let mut raw = Raw::connect(&server, b"");
    write(&mut raw, &headers(1, 0, &block(POST, "/", &[])));
    write(&mut raw, &frame(DATA, 0, 1, b"").repeat(100_000));
    ends_with(&mut raw, ENHANCE_YOUR_CALM);
    serves_others(&server);
}

/// Heads beyond what is configured are refused with a page that says why; those beyond twice as much with the
/// status alone, and those far beyond end the connection.
#[test]
fn heads_have_limits() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "limits: { head: 4KiB }\n");
    run(async {
        let mut client = Client::connect(&server).await;
        let told = client.ask(get("/a").header("x", "y".repeat(5_000))).await;
        assert_eq!((told.status, &*told.cache_status()), (431, "tiergate; detail=head-too-large"));
        let told = client.ask(get("/a").header("x", "y".repeat(9_000))).await;
        assert_eq!((told.status, &*told.cache_status()), (431, ""));
        assert_eq!(client.ask(get("/a").header("x", "y".repeat(3_000))).await.status, 200);
        let told = client.ask(get("/a").header("x", "y".repeat(100_000))).await;
        assert_eq!((told.status, told.body.is_err()), (0, true), "{told:?}");
    });
    serves_others(&server);
    assert_eq!(origin.targets(), ["/a", "/else"]);
}

/// More streams than a client may have are refused, each by itself; the others are answered.
#[test]
fn streams_beyond_the_limit_are_refused() {
    let (go_on, told_to) = channel::<()>();
    let told_to = Mutex::new(told_to);
    let origin = Origin::start(move |asked, stream| {
        if asked.target != "/else" {
            told_to.lock().expect("no test panics with it").recv().expect("the test tells");
        }
        respond(stream, "Cache-Control: no-store\r\n", 2, b"ok");
    });
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    let mut raw = Raw::connect(&server, b"");
    // The limit counts from when the client has said that it heard of it.
    let first = raw.wait_for(SETTINGS);
    assert_eq!(first.flags, 0);
    raw.write(&frame(SETTINGS, 1, 0, b"")).expect("the server reads");
    for stream in streams().take(148) {
        let opened = headers(stream, END_STREAM, &block(GET, &format!("/{stream}"), &[]));
        raw.write(&opened).expect("the server reads");
    }
    let refused: Vec<_> = (0..20).map(|_| raw.wait_for(RST_STREAM)).collect();
    assert!(refused.iter().all(|frame| frame.code() == REFUSED_STREAM && frame.stream > 256), "{refused:?}");
    serves_others(&server);
    for _ in 0..128 {
        go_on.send(()).expect("the origin waits");
    }
    for _ in 0..128 {
        assert!(raw.wait_for(HEADERS).stream < 256);
    }
}

/// A client with no room for a single byte keeps a stream for as long as it may take to take some, and no
/// longer, whether the response is small or large, in memory or on its way.
#[test]
fn a_client_without_room_is_not_waited_for() {
    let body = pattern(300_000);
    let origin = Origin::fixed(FRESH, body);
    let site = Site::new();
    let server = serve(&site, origin.address, "timeouts: { write_s: 1 }\n");
    server.get("/kept");
    let mut raw = Raw::connect(&server, &settings(&[(4, 0)]));
    for (stream, path) in streams().zip(["/kept", "/new"]) {
        raw.write(&headers(stream, END_STREAM, &block(GET, path, &[]))).expect("the server reads");
    }
    let reset: Vec<_> =
        (0..2).map(|_| raw.wait_for(RST_STREAM)).map(|frame| (frame.code(), frame.stream < 4)).collect();
    assert_eq!(reset, [(8, true); 2]);
    serves_others(&server);
}

/// Answers to questions that nobody asked are read, and fill no log.
#[test]
fn strangers_do_not_fill_the_log() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "");
    let mut raw = Raw::connect(&server, b"");
    raw.write(&frame(PING, 1, 0, &[1; 8]).repeat(100)).expect("the server reads");
    raw.write(&frame(PING, 0, 0, &[2; 8])).expect("the server reads");
    assert_eq!(raw.wait_for(PING).payload, [2; 8]);
    serves_others(&server);
    assert_eq!(site.log(), "");
}

/// Questions whose answers the client does not read: the server stops reading, too, and closes when the
/// client's time is over.
#[test]
fn a_client_that_reads_nothing_is_closed() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = serve(&site, origin.address, "timeouts: { write_s: 1 }\n");
    for question in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &settings(&[(4, 1_000)]))] {
        let mut raw = Raw::connect(&server, b"");
        let many = question.repeat(1_000);
        let error = loop {
            if let Err(error) = raw.write(&many) {
                break error;
            }
        };
        assert!(is_closed(&error), "{error}");
    }
    serves_others(&server);
}
