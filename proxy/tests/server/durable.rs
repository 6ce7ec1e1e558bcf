//! L3 as it is deployed: bodies in a directory, rows in a file or in a real Redis.

use crate::{
    harness::{Origin, PATIENCE, Server, Site, pattern, tiergate},
    redis::Redis,
};
use std::{thread, time::Instant};

pub(crate) const SIZE: usize = 700_000;
/// A feed whose log is beside the index.
pub(crate) const FEED: &str = ", feed: { poll_ms: 20, lease_ms: 500 }";
pub(crate) const FRESH: &str = "Cache-Control: max-age=3600\r\nSurrogate-Key: pages\r\n";

/// A configuration with L3 alone, and this index.
pub(crate) fn config(site: &Site, origin: &Origin, index: &str, feed: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nadmin: {{ listen: \"127.0.0.1:0\" }}\n\
         cache: {{ l0: null, l3: {{}} {feed} }}\n\
         storage: {{ l3: {{ blobs: {{ dir: {:?} }}, index: {index} }} }}\n",
        origin.address,
        site.path().join("blobs")
    )
}

fn embedded(site: &Site) -> String {
    format!("{{ embedded: {:?} }}", site.path().join("index.redb"))
}

/// Asks until L3 answers, with every byte: what was fetched is stored a moment after it was answered.
pub(crate) fn wait_for_l3(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "L3 never answers");
        let response = server.get("/a");
        assert_eq!(response.head.status, 200);
        assert!(response.body == pattern(SIZE));
        if response.cache_status().ends_with("detail=l3") {
            return;
        }
        thread::yield_now();
    }
}

pub(crate) fn purge(server: &Server, what: &str) -> (u16, String) {
    let response = server.ask_admin("POST", &format!("/purge?{what}"), "");
    (response.head.status, response.text().to_owned())
}

/// What L3 has, the next process serves, without the origin; and what was purged it does not, whatever it was
/// purged by, though nothing else outlives a process here. A purge by tag is kept by the feed, beside the
/// index.
#[test]
fn what_is_durable_outlives_the_process() {
    for (feed, what) in [("", "url=http://site.example/a"), (FEED, "tag=pages")] {
        outlives_the_process(embedded, feed, what);
        let redis = Redis::start();
        outlives_the_process(|_| format!("{{ redis: \"127.0.0.1:{}\" }}", redis.port), feed, what);
    }
}

/// That, of one index.
pub(crate) fn outlives_the_process(index: impl Fn(&Site) -> String, feed: &str, what: &str) {
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(SIZE)));
    let index = index(&site);
    let config = config(&site, &origin, &index, feed);
    let again = |server: Server| {
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{index}");
        site.start(&config)
    };
    let server = site.start(&config);
    wait_for_l3(&server);
    let before = origin.targets().len();
    let server = again(server);
    wait_for_l3(&server);
    // With a feed, the origin is asked until the log was read to its end.
    let asked = origin.targets().len() - before;
    assert!(asked == 0 || !feed.is_empty(), "{index}: the origin was asked for what is stored");
    let (status, line) = purge(&server, what);
    assert_eq!((status, line.contains("failed")), (200, false), "{index}, {what}: {line}");
    let server = again(server);
    let is_l3s = server.get("/a").cache_status().ends_with("detail=l3");
    assert!(!is_l3s, "{index}, {what}: what was purged is served");
}

/// A store that another process uses, or that cannot be used, stops the start, with its key and what to do.
#[test]
fn a_store_that_cannot_be_used_is_named() {
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, Vec::new()));
    let config = config(&site, &origin, &embedded(&site), "");
    let _server = site.start(&config);
    let file = site.path().join("second.yaml");
    std::fs::write(&file, &config).expect("a file in a directory of ours");
    let refused = |config: &str| {
        std::fs::write(&file, config).expect("a file in a directory of ours");
        let output = tiergate(&["serve", "-c", file.to_str().expect("temporary paths are UTF-8")]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("it writes text")
    };
    let said = refused(&config);
    assert!(said.contains("`storage.l3.blobs.dir`"), "{said}");
    let said = refused(&config.replace("/blobs", "/other"));
    assert!(said.contains("`storage.l3.index.embedded`"), "{said}");
    let said = refused(&config.replace("/blobs", "/no/such/folder"));
    assert!(said.contains("`storage.l3.blobs.dir`") && said.contains("no"), "{said}");
}
