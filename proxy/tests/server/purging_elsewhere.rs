//! A purge at one of several servers, which tell each other through a real Redis.

use crate::harness::{Origin, Server, Site, respond};
use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};
use tempfile::TempDir;

/// A `redis-server` that ends with the test.
struct Redis {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl Redis {
    /// Somebody may take the port that was found, before it does: then on another one.
    fn start() -> Self {
        (0..10).find_map(|_| Self::try_start()).expect("one of ten free ports stays free for a moment")
    }

    fn try_start() -> Option<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`redis-server` must be on the path: `scripts/need redis-server` installs it");
        let said = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let is_ready = |line: &String| line.contains("eady to accept connections");
        let is_up = said.lines().map_while(Result::ok).any(|line| is_ready(&line));
        is_up.then_some(Self { process, port, _directory: directory })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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
