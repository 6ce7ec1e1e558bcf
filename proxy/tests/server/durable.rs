//! L3 as it is deployed: bodies in a directory, rows in a file or in a real Redis.

use crate::{
    harness::{Origin, Server, Site, pattern, tiergate},
    redis::Redis,
};
use std::{path::Path, thread};

const SIZE: usize = 700_000;
const FRESH: &str = "Cache-Control: max-age=3600\r\nSurrogate-Key: pages\r\n";

/// A configuration with L3 alone, and this index.
fn config(site: &Site, origin: &Origin, index: &str, feed: &str) -> String {
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
fn wait_for_l3(server: &Server) {
    wait_for_l3_of(server, SIZE);
}

fn wait_for_l3_of(server: &Server, size: usize) {
    loop {
        let response = server.get("/a");
        assert_eq!(response.head.status, 200);
        assert!(response.body == pattern(size));
        if response.cache_status().ends_with("detail=l3") {
            return;
        }
        thread::yield_now();
    }
}

fn purge(server: &Server, what: &str) -> (u16, String) {
    let response = server.ask_admin("POST", &format!("/purge?{what}"), "");
    (response.head.status, response.text().to_owned())
}

/// What L3 has, the next process serves, without the origin; and what was purged it does not, whatever it was
/// purged by, though nothing else outlives a process here. A purge by tag is kept by the feed, beside the
/// index.
#[test]
fn what_is_durable_outlives_the_process() {
    let feed = ", feed: { poll_ms: 20, lease_ms: 500 }";
    for (of_redis, feed, what) in [
        (false, "", "url=http://site.example/a"),
        (true, "", "url=http://site.example/a"),
        (false, feed, "tag=pages"),
        (true, feed, "tag=pages"),
    ] {
        let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(SIZE)));
        let redis = Redis::start();
        let index =
            if of_redis { format!("{{ redis: \"127.0.0.1:{}\" }}", redis.port) } else { embedded(&site) };
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
}

/// A small body lies in its row: the next process finds it there, and the blob store never hears of it.
#[test]
fn a_small_body_lies_in_its_row() {
    let of_length = |size: usize| {
        let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(size)));
        let config = config(&site, &origin, &embedded(&site), "");
        let server = site.start(&config);
        wait_for_l3_of(&server, size);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let server = site.start(&config);
        wait_for_l3_of(&server, size);
        assert_eq!(origin.targets().len(), 1, "the origin was asked once");
        files_in(&site.path().join("blobs/blobs"))
    };
    assert_eq!([0, 65_536, 65_537].map(of_length), [0, 0, 1]);
}

/// How many files lie in and below a folder.
fn files_in(folder: &Path) -> usize {
    let paths =
        std::fs::read_dir(folder).expect("a folder of ours").map(|entry| entry.expect("an entry").path());
    paths.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

/// Writes a configuration, and starts a server with it that refuses to. What it says.
fn refused(site: &Site, config: &str) -> String {
    let file = site.path().join("refused.yaml");
    std::fs::write(&file, config).expect("a file in a directory of ours");
    let output = tiergate(&["serve", "-c", file.to_str().expect("temporary paths are UTF-8")]);
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).expect("it writes text")
}

/// The first edge's terms are everybody's who shares its index: one with others does not start, and says which,
/// until it is told to replace them. An index that is away is no reason not to start, and is used once it is
/// back.
#[test]
fn edges_with_other_terms_do_not_start() {
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(SIZE)));
    let redis = Redis::start();
    let ours = config(&site, &origin, &format!("{{ redis: \"127.0.0.1:{}\" }}", redis.port), "");
    let other = ours.replace("l3: {}", "l3: { idle_s: 7000 }");
    let end = |server: Server| {
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
    };
    end(site.start(&ours));
    let said = refused(&site, &other);
    assert!(said.contains("`cache.l3.idle_s` is 7000 here and 2592000 at the edges"), "{said}");
    end(site.start(&other.replace("storage: { l3: {", "storage: { l3: { terms: replace,")));
    let said = refused(&site, &ours);
    assert!(said.contains("`cache.l3.idle_s` is 2592000 here and 7000 at the edges"), "{said}");
    end(site.start(&other));
    let port = redis.port;
    drop(redis);
    let server = site.start(&ours);
    let _redis = Redis::start_at(port);
    wait_for_l3(&server);
    let said = refused(&site, &other.replace("/blobs", "/other"));
    assert!(said.contains("`cache.l3.idle_s`"), "{said}");
}

/// A store that another process uses, or that cannot be used, stops the start, with its key and what to do.
#[test]
fn a_store_that_cannot_be_used_is_named() {
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, Vec::new()));
    let config = config(&site, &origin, &embedded(&site), "");
    let _server = site.start(&config);
    let said = refused(&site, &config);
    assert!(said.contains("`storage.l3.blobs.dir`"), "{said}");
    let said = refused(&site, &config.replace("/blobs", "/other"));
    assert!(said.contains("`storage.l3.index.embedded`"), "{said}");
    let said = refused(&site, &config.replace("/blobs", "/no/such/folder"));
    assert!(said.contains("`storage.l3.blobs.dir`") && said.contains("no"), "{said}");
}
