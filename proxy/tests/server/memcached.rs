//! L1 on a real memcached.

use crate::harness::{Origin, Server, Site, pattern};
use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command},
    thread,
};

/// A `memcached` that ends with the test.
struct Memcached {
    process: Child,
    port: u16,
}

impl Memcached {
    /// Somebody may take the port that was found, before it does: then on another one.
    fn start() -> Self {
        (0..10).find_map(|_| Self::try_start()).expect("one of ten free ports stays free for a moment")
    }

    fn try_start() -> Option<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let mut process = Command::new("memcached")
            // The user counts only where the test is root, whom it asks for one.
            .args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()])
            .spawn()
            .expect("`memcached` must be on the path: `scripts/need memcached` installs it");
        loop {
            if process.try_wait().expect("it is our child").is_some() {
                return None;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(Self { process, port });
            }
            thread::yield_now();
        }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_l1s(server: &Server) -> bool {
    let response = server.get("/a");
    assert_eq!(response.head.status, 200);
    assert!(response.body == pattern(700_000));
    response.cache_status().ends_with("detail=l1")
}

/// What one server has stored, another serves without the origin, until one of them purges it; and while
/// memcached is away, requests go on without it.
#[test]
fn servers_share_a_memcached() {
    let mut memcached = Memcached::start();
    let origin = Origin::fixed("Cache-Control: max-age=3600\r\n", pattern(700_000));
    let config = format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nadmin: {{ listen: \"127.0.0.1:0\" }}\n\
         cache: {{ l0: null, l1: {{}} }}\nstorage: {{ l1: {{ memcached: \"127.0.0.1:{}\" }} }}\n",
        origin.address, memcached.port
    );
    let sites: [Site; 2] = std::array::from_fn(|_| Site::new());
    let [one, two] = sites.each_ref().map(|site| site.start(&config));
    while !is_l1s(&one) {
        thread::yield_now();
    }
    let asked = origin.targets().len();
    assert!(is_l1s(&two));
    assert_eq!(origin.targets().len(), asked);
    let purged = two.ask_admin("POST", "/purge?url=http://site.example/a", "");
    assert_eq!(purged.head.status, 200, "{}", purged.text());
    assert!(!is_l1s(&one));
    assert_eq!(origin.targets().len(), asked + 1);
    memcached.process.kill().expect("it is our child");
    memcached.process.wait().expect("it is our child");
    assert!(!is_l1s(&one) && !is_l1s(&two));
}
