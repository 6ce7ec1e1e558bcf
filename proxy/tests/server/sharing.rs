//! Many clients, one object.

use crate::harness::{Origin, Site, pattern, respond};
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const CLIENTS: usize = 100;
const SIZE: usize = 50_000_000;
/// The object fits in this many times; what 100 clients would take if each had a copy does not.
const MEMORY_MAX: u64 = 400 << 20;

/// A hundred clients want one large cold object at once: the origin is asked once, every client gets every
/// byte, and memory does not grow with clients times size (M6).
#[test]
fn a_hundred_clients_of_a_cold_object_are_one_request_to_the_origin() {
    let body = Arc::new(pattern(SIZE));
    let sent = Arc::clone(&body);
    // The origin answers once all have asked: who comes when the body has gone by asks anew, for no tier
    // keeps so much.
    let all_asked = Arc::new(Barrier::new(CLIENTS + 1));
    let (asked, is_first) = (Arc::clone(&all_asked), AtomicBool::new(true));
    let origin = Origin::start(move |_, stream| {
        if is_first.swap(false, Ordering::Relaxed) {
            asked.wait();
        }
        respond(stream, "Cache-Control: max-age=60\r\n", SIZE, &sent);
    });
    let site = Site::new();
    let server = site.serve(origin.address, "");
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut exchange = server.send("GET", "/big", "");
                    all_asked.wait();
                    let head = exchange.head("GET");
                    head.status == 200 && exchange.matches(&body)
                })
            })
            .collect();
        let whole =
            clients.into_iter().map(|client| client.join().expect("a client")).filter(|whole| *whole).count();
        assert_eq!(whole, CLIENTS);
    });
    assert_eq!(origin.targets(), ["/big"]);
    let peak = server.memory_peak();
    assert!(peak < MEMORY_MAX, "{peak} bytes of memory");
}
