//! A body that breaks off must look broken to every client, and must not be stored (failures T1, T3, T11).

use crate::harness::{End, Origin, Response, Server, Site, pattern};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
};

const SIZE: usize = 4_000_000;
const CLIENTS: usize = 8;

/// An origin whose first answer stops half way, once it is told to; the later ones are whole.
fn half_dead(head: &'static str, frame: fn(&[u8]) -> Vec<u8>, last: &'static [u8]) -> (Origin, impl Fn()) {
    let (die, told) = channel::<()>();
    let told: Mutex<Option<Receiver<()>>> = Mutex::new(Some(told));
    let body = pattern(SIZE);
    let origin = Origin::start(move |_, stream| {
        let (first, second) = body.split_at(SIZE / 2);
        stream.write_all(head.as_bytes()).expect("the server reads");
        stream.write_all(&frame(first)).expect("the server reads");
        let told = told.lock().expect("no test panics with it").take();
        if let Some(told) = told {
            told.recv().expect("the test lives");
            return;
        }
        stream.write_all(&frame(second)).expect("the server reads");
        stream.write_all(last).expect("the server reads");
    });
    (origin, move || die.send(()).expect("the origin waits"))
}

/// Clients read until the body is on its way to all of them, the origin dies, and each reads what else there
/// is.
fn read_while_it_dies(server: &Server, die: impl Fn()) -> Vec<Response> {
    let (started, all_started) = channel();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let started = started.clone();
                scope.spawn(move || {
                    let mut exchange = server.send("GET", "/a", "");
                    let head = exchange.head("GET");
                    started.send(()).expect("the test waits");
                    exchange.finish(head)
                })
            })
            .collect();
        for _ in 0..CLIENTS {
            all_started.recv().expect("every client starts");
        }
        die();
        let read = |client: thread::ScopedJoinHandle<'_, Response>| client.join().expect("a client");
        clients.into_iter().map(read).collect()
    })
}

fn check(origin: &Origin, die: impl Fn()) {
    let body = pattern(SIZE);
    let site = Site::new();
    let server = site.serve(origin.address, "");
    for response in read_while_it_dies(&server, die) {
        assert_eq!((response.head.status, response.end), (200, End::Broken));
        assert!(response.body.len() <= SIZE / 2 && body.starts_with(&response.body));
    }
    assert_eq!(origin.targets().len(), 1, "the clients share one fetch");
    let again = server.get("/a");
    assert!(again.end == End::Whole && again.body == body);
    assert_eq!(again.cache_status(), "tiergate; fwd=uri-miss; detail=storing");
    assert_eq!(origin.targets().len(), 2, "nothing of the broken body was stored");
}

/// With a length announced: fewer bytes than that, and then the end of the connection.
#[test]
fn a_body_that_breaks_off_is_too_short() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\nCache-Control: max-age=60\r\n\r\n";
    let (origin, die) = half_dead(head, <[u8]>::to_vec, b"");
    check(&origin, die);
}

/// In chunks: no last chunk.
#[test]
fn a_chunked_body_that_breaks_off_has_no_last_chunk() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n";
    let frame = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let (origin, die) = half_dead(head, frame, b"0\r\n\r\n");
    check(&origin, die);
}

/// URLs that fail take no others away: an origin that answers them at all, even with what is no HTTP, is
/// asked for the rest; and it is asked once for each, not again.
#[test]
fn urls_that_fail_take_no_others_away() {
    for bad in [
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "what is this\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(256)),
        &format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(128 << 10)),
    ] {
        let failing = bad.to_owned();
        let origin = Origin::start(move |asked, stream| {
            let text = if asked.target.starts_with("/bad") {
                &failing
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\n\r\nok"
            };
            stream.write_all(text.as_bytes()).expect("the server reads");
        });
        let site = Site::new();
        let server = site.serve(origin.address, "");
        for number in 0..200 {
            assert!(server.get(&format!("/bad{number}")).head.status >= 500);
            assert_eq!(server.get(&format!("/good{number}")).body, b"ok", "{number} beside {bad:.60}");
        }
        assert_eq!(origin.targets().len(), 400);
    }
}

/// A client of HTTP/1.0 that knows neither length nor chunks: only a reset tells it that this was not the
/// end.
#[test]
fn a_body_that_only_the_end_frames_is_reset_when_it_breaks_off() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n";
    let frame = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let (origin, die) = half_dead(head, frame, b"0\r\n\r\n");
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.write_all(b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n").expect("the server reads");
    let mut start = [0; 1024];
    stream.read_exact(&mut start).expect("the body is on its way");
    assert!(start.starts_with(b"HTTP/1.1 200 OK\r\n"));
    die();
    let error =
        stream.read_to_end(&mut Vec::new()).expect_err("the end of the connection is no end of the body");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
