//! What the program says when it starts, or why it does not.

use crate::harness::{Server, Site, tiergate};
use std::{net::TcpListener, path::Path, process::Output};

fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Each wrong configuration ends `check` and `serve` alike with code 2 and one line that names file, line,
/// key, value and bound.
#[test]
fn a_wrong_configuration_is_code_2_with_file_line_key_value_and_bound() {
    let cases = [
        ("listen: 80\norigin: http://a\n", ":1: `listen` is 80, but must be an IP address and a port"),
        ("listen: 127.0.0.1:0\n", ": `origin` is missing"),
        ("origin: ftp://a\n", ":1: `origin` is ftp://a, but must be a URL such as http://127.0.0.1:9000"),
        ("origin: http://a\ncache: { l0: null }\n", ":2: `cache.l0` is null, and there is no other tier"),
        ("origin: http://a\nshards: 5000\n", ":2: `shards` is 5000, but must be from 1 to 4096"),
        (
            "origin: http://a\ncache:\n  fill:\n    window: 1KiB\n",
            ":4: `cache.fill.window` is 1KiB, but must be at least 64KiB",
        ),
        ("origin: http://a\nnonsense: 1\n", ":2: unknown field `nonsense`"),
        ("origin: http://a\ncache: { l2: {} }\n", ":2: `cache.l2` is given, but `storage.l2` is not"),
    ];
    let site = Site::new();
    let file = site.path().join("wrong.yaml");
    for (text, expected) in cases {
        std::fs::write(&file, text).expect("a file in a directory of ours");
        for command in ["check", "serve"] {
            let output = tiergate(&[command, "-c", path(&file)]);
            let message = complaint(&output);
            assert_eq!(output.status.code(), Some(2), "{text}: {message}");
            assert!(message.contains(&format!("{}{expected}", path(&file))), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
            assert_eq!(output.stdout, b"");
        }
    }
}

/// A mistake on the command line is told as one, whatever the file says.
#[test]
fn a_wrong_override_is_not_blamed_on_the_file() {
    let output = tiergate(&["serve", "-c", "absent.yaml", "--origin", "ftp://a"]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "tiergate: command line: `--origin` is ftp://a, but must be a URL such as http://127.0.0.1:9000 or \
                    https://www.example.com\n";
    assert_eq!(complaint(&output), expected);
}

/// A file that is not there is a wrong configuration too.
#[test]
fn a_missing_configuration_is_code_2() {
    let site = Site::new();
    let file = site.path().join("absent.yaml");
    let output = tiergate(&["serve", "-c", path(&file)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("absent.yaml: cannot be read"), "{}", complaint(&output));
}

/// The configurations in the repository are right, as they stand.
#[test]
fn check_approves_what_is_in_the_repository() {
    for name in ["tiergate.example.yaml", "tests/cache-tests.yaml"] {
        let file = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
        let output = tiergate(&["check", "-c", &file]);
        assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
        assert!(output.stdout.ends_with(format!("{name}: ok\n").as_bytes()));
    }
}

/// A taken port is code 1, with what to do about it.
#[test]
fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = tiergate(&["serve", "--origin", "http://127.0.0.1:9", "--listen", &address]);
    let message = complaint(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&format!("cannot listen on {address}: ")), "{message}");
    assert!(message.contains("choose another with `listen`"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

/// Starts a server with this disk, which must end with code 2 and one line, and says what that is.
fn refused(site: &Site, cache: &str, storage: &str) -> String {
    let file = site.path().join("tiergate.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\norigin: http://127.0.0.1:9\ncache: {{ l2: {cache} }}\nstorage: {{ l2: {storage} }}\n"
    );
    std::fs::write(&file, text).expect("a file in a directory of ours");
    let output = tiergate(&["serve", "-c", path(&file)]);
    let message = complaint(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_eq!(output.stdout, b"");
    message.replace(path(site.path()), "HERE")
}

/// A directory that cannot be L2 is code 2 and one line: which key, what it is, why that is wrong, and what
/// to do. What is there stays there.
#[test]
fn an_impossible_directory_is_told() {
    let site = Site::new();
    std::fs::write(site.path().join("file"), "precious").expect("a file in a directory of ours");
    std::fs::create_dir_all(site.path().join("old/records")).expect("a directory of ours");
    let at = |name: &str| format!("{{ directory: {:?} }}", site.path().join(name));
    let small = "{ capacity: 16MiB }";
    let cases = [
        ("file", "is HERE/file, but that is not a directory: remove it, or choose another directory"),
        ("file/l2", "is HERE/file, but that is not a directory: remove it, or choose another directory"),
        ("a/b", "is HERE/a/b, but HERE/a does not exist: create it, or choose another directory"),
        (
            "old",
            "is HERE/old, but an earlier release left `records` there, which this one does not read: remove what is in the \
             directory to start empty, or choose another directory",
        ),
    ];
    for (name, expected) in cases {
        let message = refused(&site, small, &at(name));
        assert_eq!(message, format!("tiergate: `storage.l2.directory` {expected}\n"));
    }
    let message = refused(&site, small, "{ directory: /proc/self }");
    assert!(message.contains("the file system there (proc) holds no files of ours"), "{message}");
    let message = refused(&site, "{ capacity: 500TiB }", &at("l2"));
    assert!(
        message.starts_with("tiergate: `cache.l2.capacity` is 549755813888000 bytes for HERE/l2, but "),
        "{message}"
    );
    assert!(message.ends_with(" more are needed: lower it, or make room\n"), "{message}");
    assert_eq!(std::fs::read(site.path().join("file")).expect("it is there"), b"precious");
    assert!(site.path().join("old/records").is_dir());
}

/// What is in a directory that is no log of ours, or was cut up for much more, is refused and left as it is.
#[test]
fn an_impossible_log_is_told() {
    let site = Site::new();
    let storage = format!("{{ directory: {:?} }}", site.l2());
    std::fs::create_dir(site.l2()).expect("a directory of ours");
    let log = site.l2().join("log");
    std::fs::write(&log, [7; 100_000]).expect("a file in a directory of ours");
    assert_eq!(
        refused(&site, "{ capacity: 16MiB }", &storage),
        "tiergate: `storage.l2.directory` is HERE/l2, but the file `log` there is not a log, or its description is damaged: \
         remove it to start empty, or choose another directory\n"
    );
    assert_eq!(std::fs::read(&log).expect("it is there")[..100_000], [7; 100_000]);
    std::fs::remove_file(&log).expect("it is ours");
    let origin = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound");
    let server = site.serve(origin, "cache: { l2: { capacity: 512MiB } }\n");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(
        refused(&site, "{ capacity: 64MiB }", &storage),
        "tiergate: `cache.l2.capacity` is 67108864 bytes for HERE/l2, but the log there has segments of 8388608 bytes: make \
         it at least 134217728 bytes (16 segments), or remove the file `log` to start empty\n"
    );
}

/// Two processes cannot share an L2: the second says so.
#[test]
fn a_directory_in_use_is_told() {
    let site = Site::new();
    let origin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let _first = site.serve(origin.local_addr().expect("it is bound"), "");
    let output = tiergate(&["serve", "-c", path(&site.path().join("tiergate.yaml"))]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("in use by another process"), "{}", complaint(&output));
}

/// Without a configuration there is an origin to try, and a cache before it.
#[test]
fn a_demonstration_needs_no_configuration() {
    let server = Server::start(&["serve", "--listen", "127.0.0.1:0"]);
    let page = server.get("/");
    assert!(page.body.starts_with(b"<!doctype html>"), "{page:?}");
    assert_eq!(server.get("/hello").cache_status(), "tiergate; fwd=uri-miss; detail=storing");
    // Until L2 has it on the disk, a second request shares the first one's fill; after that it is a hit.
    let again = server.get("/hello").cache_status();
    assert!(again.contains("hit") || again.contains("collapsed"), "{again}");
    let big = server.get("/big?mb=3");
    assert_eq!(big.body.len(), 3_000_000);
    assert_eq!(server.get("/nostore").cache_status(), "tiergate; fwd=uri-miss");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// The soft limit of open files is raised to the hard one, and when that is too low for the connections that
/// may come, it is said with both numbers.
#[test]
fn descriptors_are_taken_and_too_few_are_told() {
    let config = |connections: u32| {
        format!("listen: 127.0.0.1:0\norigin: http://127.0.0.1:1\nlimits: {{ connections: {connections} }}\n")
    };
    let told = "`limits.connections` is above what the limit of open files (RLIMIT_NOFILE) has room for";
    let roomy = Site::new();
    let server = roomy.start_under("ulimit -S -n 64 && ulimit -H -n 400", &config(100));
    assert_eq!(server.descriptors_max(), 400);
    assert!(!roomy.log().contains(told), "{}", roomy.log());
    let narrow = Site::new();
    let server = narrow.start_under("ulimit -S -n 64 && ulimit -H -n 300", &config(100));
    assert_eq!(server.descriptors_max(), 300);
    let log = narrow.log();
    assert!(log.contains(told) && log.contains("connections=100 descriptors=300"), "{log}");
}

/// An L0 for which no machine has the memory is said, with what there is.
#[test]
fn a_capacity_above_the_memory_is_told() {
    let config = |capacity: &str| {
        format!(
            "listen: 127.0.0.1:0\norigin: http://127.0.0.1:1\ncache: {{ l0: {{ capacity: {capacity} }} }}\n"
        )
    };
    let site = Site::new();
    let _server = site.start(&config("1000TiB"));
    let log = site.log();
    let told = "`cache.l0.capacity` is above the memory of ";
    assert!(log.contains(told) && log.contains("capacity=1000TiB memory="), "{log}");
    let site = Site::new();
    let _server = site.start(&config("4MiB"));
    assert!(!site.log().contains(told), "{}", site.log());
}
