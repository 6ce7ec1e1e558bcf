//! L3 as it is deployed: bodies in a directory or in a bucket of a real server, rows in a file or in a real
//! Redis.

use crate::{
    harness::{Origin, PATIENCE, Refusing, Server, Site, pattern, tiergate},
    moto::Moto,
    redis::Redis,
};
use std::{path::Path, thread, time::Instant};
use tiergate_stores::{S3Imitation, S3Lack, SystemClock};
use tokio::{net::TcpListener, runtime::Runtime};

pub(crate) const SIZE: usize = 700_000;
/// A feed whose log is beside the index.
pub(crate) const FEED: &str = ", feed: { poll_ms: 20, lease_ms: 500 }";
pub(crate) const FRESH: &str = "Cache-Control: max-age=3600\r\nSurrogate-Key: pages\r\n";

/// A configuration with L3 alone, its bodies in a directory, and this index.
pub(crate) fn config(site: &Site, origin: &Origin, index: &str, feed: &str) -> String {
    let blobs = format!("{{ dir: {:?} }}", site.path().join("blobs"));
    config_of(origin, &blobs, index, feed)
}

fn config_of(origin: &Origin, blobs: &str, index: &str, feed: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nadmin: {{ listen: \"127.0.0.1:0\" }}\n\
         cache: {{ l0: null, l3: {{}} {feed} }}\n\
         storage: {{ l3: {{ blobs: {blobs}, index: {index} }} }}\n",
        origin.address
    )
}

/// Bodies in the bucket `bodies` of this endpoint.
fn bucket(site: &Site, endpoint: &str) -> String {
    let file = site.path().join("s3.credentials");
    let key = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = a secret of tests\n";
    std::fs::write(&file, key).expect("a file in a directory of ours");
    format!("{{ s3: {{ bucket: bodies, endpoint: {endpoint:?}, credentials: {{ file: {file:?} }} }} }}")
}

fn embedded(site: &Site) -> String {
    format!("{{ embedded: {:?} }}", site.path().join("index.redb"))
}

/// Asks until L3 answers, with every byte: what was fetched is stored a moment after it was answered.
pub(crate) fn wait_for_l3(server: &Server) {
    wait_for_l3_with(server, &pattern(SIZE));
}

fn wait_for_l3_with(server: &Server, body: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "L3 never answers");
        let response = server.get("/a");
        assert_eq!(response.head.status, 200);
        assert!(response.body == body);
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

/// A small body lies in its row: the next process finds it there, and the blob store never hears of it.
#[test]
fn a_small_body_lies_in_its_row() {
    let of_length = |size: usize| {
        let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(size)));
        let config = config(&site, &origin, &embedded(&site), "");
        let server = site.start(&config);
        wait_for_l3_with(&server, &pattern(size));
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let server = site.start(&config);
        wait_for_l3_with(&server, &pattern(size));
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

/// The first edge's terms are everybody's who shares its index: one with others does not start, and says
/// which, until it is told to replace them. An index that is away is no reason not to start, and is used once
/// it is back.
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
    let said = refused(&site, &config);
    assert!(said.contains("`storage.l3.blobs.dir`"), "{said}");
    let said = refused(&site, &config.replace("/blobs", "/other"));
    assert!(said.contains("`storage.l3.index.embedded`"), "{said}");
    let said = refused(&site, &config.replace("/blobs", "/no/such/folder"));
    assert!(said.contains("`storage.l3.blobs.dir`") && said.contains("no"), "{said}");
}

/// What lies in a bucket, the next process serves, byte for byte and without the origin, whichever index it
/// has; and what was purged it does not. A body that is sent in parts is no exception.
#[test]
fn bodies_in_a_bucket_outlive_the_process() {
    let redis = Redis::start();
    for (index, size) in [("embedded", SIZE), ("redis", SIZE), ("s3", SIZE), ("embedded", 20_000_000)] {
        let (site, moto) = (Site::new(), Moto::start("bodies"));
        let body = pattern(size);
        let origin = Origin::fixed(FRESH, body.clone());
        let blobs = bucket(&site, &moto.endpoint());
        let place = match index {
            "embedded" => embedded(&site),
            "redis" => format!("{{ redis: \"127.0.0.1:{}\" }}", redis.port),
            _ => blobs.clone(),
        };
        let config = config_of(&origin, &blobs, &place, "");
        let again = |server: Server| {
            server.signal("TERM");
            assert_eq!(server.wait().code(), Some(0), "{index}");
            site.start(&config)
        };
        let server = site.start(&config);
        wait_for_l3_with(&server, &body);
        let listed = moto.ask("GET", "/bodies?list-type=2");
        assert!(listed.contains("<Key>tiergate/blobs/"), "{listed}");
        assert_eq!(listed.contains("<Key>tiergate/index/"), index == "s3", "{listed}");
        let before = origin.targets().len();
        let server = again(server);
        wait_for_l3_with(&server, &body);
        assert_eq!(origin.targets().len(), before, "{index}: the origin was asked for what is stored");
        let (status, line) = purge(&server, "url=http://site.example/a");
        assert_eq!((status, line.contains("failed")), (200, false), "{index}: {line}");
        let server = again(server);
        let is_l3s = server.get("/a").cache_status().ends_with("detail=l3");
        assert!(!is_l3s, "{index}: what was purged is served");
    }
}

/// A bucket that nobody reaches is no reason not to start, or not to serve, whatever should lie in it: the
/// log says what is wrong, with its endpoint.
#[test]
fn a_bucket_that_is_away_stops_nothing() {
    let refusing = Refusing::new();
    let endpoint = format!("http://{}", refusing.address);
    for (is_index, words) in
        [(false, "the bucket of L3 cannot be used"), (true, "the bucket of L3's index cannot be used")]
    {
        let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(SIZE)));
        let blobs = bucket(&site, &endpoint);
        let index = if is_index { blobs.clone() } else { embedded(&site) };
        let server = site.start(&config_of(&origin, &blobs, &index, ""));
        let response = server.get("/a");
        assert!(response.head.status == 200 && response.body == pattern(SIZE));
        site.wait_for_log(words);
        assert!(site.log().contains(&endpoint), "{}", site.log());
    }
}

/// A bucket that does not keep conditional writes is no index: the server says so and does not start.
#[test]
fn a_bucket_without_conditional_writes_is_no_index() {
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, Vec::new()));
    let (runtime, endpoint) = forgetful();
    let blobs = bucket(&site, &endpoint);
    let said = refused(&site, &config_of(&origin, &blobs, &blobs, ""));
    assert!(said.contains("`storage.l3.index.s3` is of no use") && said.contains("24 were told"), "{said}");
    drop(runtime);
}

/// An imitated service that ignores `If-None-Match`, as many do.
fn forgetful() -> (Runtime, String) {
    let (runtime, endpoint, imitation) = imitated();
    imitation.lacks(S3Lack::PutIfNone);
    (runtime, endpoint)
}

/// An imitated service with an empty bucket, its endpoint, and what it runs on.
fn imitated() -> (Runtime, String, S3Imitation) {
    let imitation = S3Imitation::new("bodies", SystemClock);
    let runtime = Runtime::new().expect("threads");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let service = imitation.clone();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move { service.serve(stream).await });
        }
    });
    (runtime, format!("http://{address}"), imitation)
}

/// What a bucket is asked for a body that is stored, and for a hit of it: one request each for what fits a
/// part. Rows cost a lookup and two writes, and a lookup.
#[test]
fn a_bucket_is_asked_little() {
    let stored = ["GET index", "PUT index", "PUT blobs", "PUT index"];
    let stored_in_parts = [
        &["GET index", "PUT index", "POST blobs"][..],
        &["PUT blobs", "PUT blobs", "PUT blobs", "POST blobs", "PUT index"],
    ];
    for (size, stored, hit) in [
        (SIZE, stored.to_vec(), vec!["GET index", "GET blobs"]),
        (20_000_000, stored_in_parts.concat(), vec!["GET index", "GET blobs", "GET blobs"]),
    ] {
        let (site, body) = (Site::new(), pattern(size));
        let origin = Origin::fixed(FRESH, body.clone());
        let (runtime, endpoint, imitation) = imitated();
        let blobs = bucket(&site, &endpoint);
        // However busy the machine is, the upload is not left behind.
        let patient = "l3: { on_full: wait }, fill: { lane_stall_ms_max: 60000 }";
        let server = site.start(&config_of(&origin, &blobs, &blobs, "").replace("l3: {}", patient));
        imitation.take_asked();
        assert!(server.get("/a").body == body);
        let mut asked = Vec::new();
        while asked.iter().filter(|kind| *kind == "PUT index").count() < 2 {
            asked.extend(imitation.take_asked().iter().filter_map(|asked| kind(asked)));
            thread::yield_now();
        }
        assert_eq!(asked, stored);
        wait_for_l3_with(&server, &body);
        imitation.take_asked();
        assert!(server.get("/a").cache_status().ends_with("detail=l3"));
        let asked: Vec<String> = imitation.take_asked().iter().filter_map(|asked| kind(asked)).collect();
        assert_eq!(asked, hit);
        drop(runtime);
    }
}

/// The method, and whether it is of a body or of a row.
fn kind(asked: &str) -> Option<String> {
    let (method, target) = asked.split_once(' ')?;
    let what = target.strip_prefix("/bodies/tiergate/")?.split('/').next()?;
    Some(format!("{method} {what}"))
}

/// Who has no credentials is told which key names them, and what is missing.
#[test]
fn a_bucket_without_credentials_is_refused() {
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, Vec::new()));
    let config = config_of(&origin, &bucket(&site, "http://127.0.0.1:1"), &embedded(&site), "");
    std::fs::write(site.path().join("s3.credentials"), "[default]\n").expect("a file in a directory of ours");
    let said = refused(&site, &config);
    assert!(
        said.contains("`storage.l3.blobs.s3.credentials`") && said.contains("aws_access_key_id"),
        "{said}"
    );
}
