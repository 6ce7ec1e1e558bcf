//! Signals, drains and restarts (failure R9).

use crate::harness::{End, Origin, Server, Site, pattern, respond};
use std::{
    io::Write,
    sync::{
        Mutex,
        mpsc::{Sender, channel},
    },
};

const SIZE: usize = 3_000_000;

/// An origin that sends half of its body, and the rest when it is told to.
fn patient() -> (Origin, Sender<()>) {
    let (go_on, told) = channel::<()>();
    let told = Mutex::new(told);
    let body = pattern(SIZE);
    let origin = Origin::start(move |_, stream| {
        let (first, second) = body.split_at(SIZE / 2);
        respond(stream, "Cache-Control: max-age=60\r\n", SIZE, first);
        if told.lock().expect("no test panics with it").recv().is_ok() {
            drop(stream.write_all(second));
        }
    });
    (origin, go_on)
}

fn finishes_a_transfer(signal: &str, method: &str, more: &str) {
    let (origin, go_on) = patient();
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let mut exchange = server.send(method, "/a", more);
    let head = exchange.head(method);
    server.signal(signal);
    server.wait_until_closed();
    go_on.send(()).expect("the origin waits");
    let response = exchange.finish(head);
    assert!(response.end == End::Whole && response.body == pattern(SIZE));
    assert_eq!(server.wait().code(), Some(0));
}

/// After SIGTERM nobody is let in, the transfer under way comes to its end, and the exit code is 0.
#[test]
fn a_transfer_outlives_sigterm() {
    finishes_a_transfer("TERM", "GET", "");
}

/// SIGINT does the same.
#[test]
fn a_transfer_outlives_sigint() {
    finishes_a_transfer("INT", "GET", "");
}

/// SIGQUIT does the same, as nginx does at it.
#[test]
fn a_transfer_outlives_sigquit() {
    finishes_a_transfer("QUIT", "GET", "");
}

/// So does a transfer of which the engine knows nothing, because it goes around the cache.
#[test]
fn a_passed_transfer_outlives_sigterm() {
    finishes_a_transfer("TERM", "POST", "Content-Length: 0\r\n");
}

/// A transfer that outlasts `drain_seconds` is cut, visibly, and the exit code is 0 still.
#[test]
fn a_drain_ends_at_its_deadline() {
    let (origin, _never) = patient();
    let site = Site::new();
    let server = site.serve(origin.address, "drain_seconds: 0\n");
    let mut exchange = server.send("GET", "/a", "");
    let head = exchange.head("GET");
    server.signal("TERM");
    let response = exchange.finish(head);
    assert_eq!(response.end, End::Broken);
    assert_eq!(server.wait().code(), Some(0));
}

/// A connection that waits for its next request does not hold up a drain: with a day to drain, it ends at
/// once.
#[test]
fn an_idle_connection_does_not_hold_up_a_drain() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"hello".to_vec());
    let site = Site::new();
    let server = site.serve(origin.address, "drain_seconds: 86400\n");
    let mut idle = server.send("GET", "/a", "");
    idle.head("GET");
    assert_eq!(idle.first_bytes(5), b"hello");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// What L2 holds survives a restart: the new process answers from it, without the origin, byte for byte.
#[test]
fn l2_survives_a_restart() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", pattern(SIZE));
    let site = Site::new();
    let stop = |server: Server| {
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
    };
    let server = site.serve(origin.address, "");
    assert!(server.get("/a").body == pattern(SIZE));
    stop(server);
    let server = site.serve(origin.address, "");
    let response = server.get("/a");
    assert!(response.end == End::Whole && response.body == pattern(SIZE));
    assert!(response.cache_status().starts_with("tiergate; hit; "), "{}", response.cache_status());
    assert!(response.cache_status().ends_with("detail=l2"), "{}", response.cache_status());
    assert_eq!(origin.targets(), ["/a"]);
    stop(server);
}

/// Signals that others reload, upgrade or rotate at end nothing: a transfer goes on, new clients are served,
/// and the log says that nothing was done.
#[test]
fn other_signals_end_nothing() {
    let (origin, go_on) = patient();
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let mut exchange = server.send("GET", "/a", "");
    let head = exchange.head("GET");
    for name in ["HUP", "USR1", "USR2"] {
        server.signal(name);
        site.wait_for_log(&format!("SIG{name}: "));
    }
    go_on.send(()).expect("the origin waits");
    let response = exchange.finish(head);
    assert!(response.end == End::Whole && response.body == pattern(SIZE));
    assert_eq!(server.get("/a").body.len(), SIZE);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// They are nothing to a server that drains either: it is no second signal to stop.
#[test]
fn other_signals_do_not_cut_a_drain_short() {
    let (origin, go_on) = patient();
    let site = Site::new();
    let server = site.serve(origin.address, "");
    let mut exchange = server.send("GET", "/a", "");
    let head = exchange.head("GET");
    server.signal("TERM");
    server.wait_until_closed();
    server.signal("HUP");
    site.wait_for_log("SIGHUP: ");
    go_on.send(()).expect("the origin waits");
    let response = exchange.finish(head);
    assert!(response.end == End::Whole && response.body == pattern(SIZE));
    assert_eq!(server.wait().code(), Some(0));
}

/// After SIGUSR1 the access log is written to a file of its name, though the old one was moved away.
#[test]
fn the_access_log_is_opened_anew_at_sigusr1() {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"hello".to_vec());
    let site = Site::new();
    let (file, old) = (site.path().join("access.log"), site.path().join("access.log.1"));
    let server = site.serve(origin.address, &format!("access_log: {{ file: {file:?} }}\n"));
    std::fs::rename(&file, &old).expect("the server has made it");
    server.signal("USR1");
    while !file.exists() {
        std::thread::yield_now();
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(old.exists());
}
