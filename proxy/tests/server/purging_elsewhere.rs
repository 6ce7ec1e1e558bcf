//! A purge at one of several servers, which tell each other through a real Redis.

use crate::{
    harness::{Origin, Server, Site, respond},
    redis::Redis,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

/// What the origin says is fresh for an hour, and counts how often it was asked.
fn counting() -> Origin {
    let asked = Arc::new(AtomicU32::new(0));
    Origin::start(move |_, stream| {
        let body = asked.fetch_add(1, Ordering::Relaxed).to_string();
        respond(
            stream,
            "Cache-Control: max-age=3600\r\nSurrogate-Key: pages\r\n",
            body.len(),
            body.as_bytes(),
        );
    })
}

fn start(site: &Site, origin: &Origin, redis: &Redis) -> Server {
    site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nadmin: {{ listen: \"127.0.0.1:0\" }}\n\
         cache: {{ feed: {{ poll_ms: 20, lease_ms: 500 }} }}\nstorage: {{ feed: {{ redis: \"127.0.0.1:{}\" }} }}\n",
        origin.address, redis.port
    ))
}

fn is_hit(server: &Server) -> bool {
    server.get("/a").cache_status().starts_with("tiergate; hit")
}

/// Asks until what is stored is used: an edge that has not read the log yet uses nothing.
fn wait_for_hit(server: &Server) {
    while !is_hit(server) {
        thread::yield_now();
    }
}

fn purge(server: &Server, what: &str) -> (u16, String) {
    let response = server.ask_admin("POST", &format!("/purge?{what}"), "");
    (response.head.status, response.text().to_owned())
}

/// What one of three has purged is soon gone from the others, whatever it was purged by. Without the log no
/// purge is confirmed, and once their lease is over, none of them uses what it stored.
#[test]
fn a_purge_crosses_servers() {
    let (origin, mut redis) = (counting(), Redis::start());
    let sites: [Site; 3] = std::array::from_fn(|_| Site::new());
    let servers = sites.each_ref().map(|site| start(site, &origin, &redis));
    for what in ["url=http://site.example/a", "tag=pages", "prefix=http://site.example/", "all=true"] {
        servers.iter().for_each(wait_for_hit);
        let before: Vec<String> = servers.iter().map(|server| server.get("/a").text().to_owned()).collect();
        let (status, line) = purge(&servers[0], what);
        assert_eq!((status, line.contains("\"feed\":\"told\"")), (200, true), "{what}: {line}");
        for (server, before) in servers.iter().zip(before) {
            while server.get("/a").text() == before {
                thread::yield_now();
            }
        }
    }
    servers.iter().for_each(wait_for_hit);
    redis.process.kill().expect("it is our child");
    let (status, line) = purge(&servers[1], "tag=pages");
    assert_eq!((status, line.contains("\"feed\":\"failed\"")), (502, true), "{line}");
    for server in &servers {
        while is_hit(server) {
            thread::yield_now();
        }
        let trusts_again = (0..20).any(|_| is_hit(server));
        assert!(!trusts_again, "what is stored is used without a lease");
    }
}
