//! A real Redis as operators have it: with a password, over TLS, and shared with others.

use crate::{
    durable::{FEED, FRESH, outlives_the_process},
    encrypting::Certified,
    harness::{Origin, Server, Site, pattern, tiergate},
    redis::Redis,
};
use std::{fs, path::Path, thread};

const PASSWORD: &str = "sesame of tests";

fn password_file(directory: &Path) -> String {
    let file = directory.join("redis.password");
    fs::write(&file, format!("{PASSWORD}\n")).expect("a file in a directory of ours");
    format!("{file:?}")
}

/// A server with L1 alone.
fn config(origin: &Origin, redis: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nadmin: {{ listen: \"127.0.0.1:0\" }}\n\
         cache: {{ l0: null, l1: {{}} }}\nstorage: {{ l1: {{ redis: {redis} }} }}\n",
        origin.address
    )
}

/// Asks until L1 answers: what was fetched is stored a moment after it was answered.
fn wait_for_l1(server: &Server) {
    while !server.get("/a").cache_status().ends_with("detail=l1") {
        thread::yield_now();
    }
}

/// A Redis that takes connections over TLS only, and wants a password, is L1, the index and the log of the
/// feed.
#[test]
fn a_redis_is_spoken_to_over_tls_with_a_password() {
    let site = Site::new();
    let certified = Certified::new(site.path(), "127.0.0.1");
    let text = |path: &Path| path.to_str().expect("temporary paths are UTF-8").to_owned();
    let (certificate, key) = (text(&certified.certificate), text(&certified.key));
    let redis = Redis::start_with(
        "--tls-port",
        &[
            "--port",
            "0",
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "no",
            "--requirepass",
            PASSWORD,
        ],
    );
    let password = password_file(site.path());
    let of = |ca: &str| {
        format!(
            "{{ url: \"rediss://127.0.0.1:{}/2\", password_file: {password}, ca_file: {ca:?} }}",
            redis.port
        )
    };
    let origin = Origin::fixed(FRESH, pattern(700_000));
    wait_for_l1(&Site::new().start(&config(&origin, &of(&certificate))));
    outlives_the_process(|_| format!("{{ redis: {} }}", of(&certificate)), FEED, "tag=pages");
    // Whom nobody trusts is not spoken to, and requests go on without L1.
    let stranger = Certified::new(site.path(), "localhost");
    let other = Site::new();
    let server = other.start(&config(&origin, &of(&text(&stranger.certificate))));
    assert_eq!(server.get("/a").head.status, 200);
    other.wait_for_log("invalid peer certificate");
    assert!(!other.log().contains(PASSWORD), "{}", other.log());
}

/// Servers with different prefixes share a Redis and see nothing of each other; with the same one they share
/// what is stored.
#[test]
fn two_prefixes_share_a_redis_and_nothing_else() {
    let redis = Redis::start();
    let of = |prefix: &str| format!("{{ url: \"redis://127.0.0.1:{}\", prefix: \"{prefix}\" }}", redis.port);
    let origin = Origin::fixed(FRESH, pattern(10_000));
    let sites: [Site; 3] = std::array::from_fn(|_| Site::new());
    let one = sites[0].start(&config(&origin, &of("one:")));
    wait_for_l1(&one);
    let asked = origin.targets().len();
    let same = sites[1].start(&config(&origin, &of("one:")));
    assert!(same.get("/a").cache_status().ends_with("detail=l1"));
    assert_eq!(origin.targets().len(), asked);
    let other = sites[2].start(&config(&origin, &of("two:")));
    assert!(!other.get("/a").cache_status().ends_with("detail=l1"));
    assert_eq!(origin.targets().len(), asked + 1);
}

/// A wrong password costs L1, and is not in the log.
#[test]
fn a_wrong_password_is_not_told() {
    let redis = Redis::start_with("--port", &["--requirepass", "another one"]);
    let site = Site::new();
    let password = password_file(site.path());
    let of = format!("{{ url: \"redis://127.0.0.1:{}\", password_file: {password} }}", redis.port);
    let origin = Origin::fixed(FRESH, pattern(10_000));
    let server = site.start(&format!("{}log: debug\n", config(&origin, &of)));
    assert_eq!(server.get("/a").head.status, 200);
    site.wait_for_log("authentication failed");
    assert!(!site.log().contains("sesame"), "{}", site.log());
}

/// A password that cannot be read stops the start, with its key and without a byte of it.
#[test]
fn a_password_that_cannot_be_read_is_named() {
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, Vec::new()));
    let empty = site.path().join("empty");
    fs::write(&empty, "\nsesame\n").expect("a file in a directory of ours");
    let cases = [
        (format!("password_file: {empty:?}"), "password_file` has an empty first line, and no password"),
        ("password_file: /no/such/file".to_owned(), "password_file` is /no/such/file, which cannot be read"),
        ("password_env: TIERGATE_NO_SUCH".to_owned(), "password_env` is TIERGATE_NO_SUCH, which is not set"),
        ("ca_file: /no/such/roots".to_owned(), "ca_file` /no/such/roots: "),
    ];
    for (more, expected) in cases {
        let file = site.path().join("refused.yaml");
        let redis = format!("{{ url: \"rediss://127.0.0.1:1\", {more} }}");
        fs::write(&file, config(&origin, &redis)).expect("a file in a directory of ours");
        let output = tiergate(&["serve", "-c", file.to_str().expect("temporary paths are UTF-8")]);
        let said = String::from_utf8(output.stderr).expect("it writes text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        let expected = format!("`storage.l1.redis.{expected}");
        assert!(said.contains(&expected) && !said.contains("sesame"), "{said}");
    }
}
