//! What the program says when it starts, or why it does not.

use crate::harness::{Server, Site, tiergate};
use std::{net::TcpListener, path::Path, process::Output};

fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are text")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Each wrong configuration ends `check` and `serve` alike with code 2 and one line that names file, line, key, value and
/// bound.
#[test]
fn a_wrong_configuration_is_code_2_with_file_line_key_value_and_bound() {
    let cases = [
        ("listen: 80\norigin: http://a\n", ":1: `listen` is 80, but must be an IP address and a port"),
        ("listen: 127.0.0.1:0\n", ": `origin` is missing"),
        ("origin: https://a\n", ":1: `origin` is https://a, but must be http://host:port"),
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
    let expected =
        "tiergate: command line: `--origin` is ftp://a, but must be a URL such as http://127.0.0.1:9000\n";
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

/// The example in the repository is a right configuration, as it stands.
#[test]
fn check_approves_the_example() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/tiergate.example.yaml");
    let output = tiergate(&["check", "-c", example]);
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    assert!(output.stdout.ends_with(b"tiergate.example.yaml: ok\n"));
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

/// A directory that cannot be made is code 1, named. It is below a regular file: permissions do not stop root.
#[test]
fn an_impossible_directory_is_told() {
    let site = Site::new();
    let blocker = site.path().join("file");
    std::fs::write(&blocker, "").expect("a file in a directory of ours");
    let directory = blocker.join("l2");
    let file = site.path().join("tiergate.yaml");
    let text = format!(
        "listen: 127.0.0.1:0\norigin: http://127.0.0.1:9\ncache: {{ l2: {{}} }}\nstorage: {{ l2: {{ directory: {directory:?} }} }}\n"
    );
    std::fs::write(&file, text).expect("a file in a directory of ours");
    let output = tiergate(&["serve", "-c", path(&file)]);
    let message = complaint(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(path(&directory)), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

/// Two processes cannot share an L2: the second says so.
#[test]
fn a_directory_in_use_is_told() {
    let site = Site::new();
    let origin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let _first = site.serve(origin.local_addr().expect("it is bound"), "");
    let output = tiergate(&["serve", "-c", path(&site.path().join("tiergate.yaml"))]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("in use by another process"), "{}", complaint(&output));
}

/// Without a configuration there is an origin to try, and a cache before it.
#[test]
fn a_demonstration_needs_no_configuration() {
    let server = Server::start(&["serve", "--listen", "127.0.0.1:0"]);
    let page = server.get("/");
    assert!(page.body.starts_with(b"<!doctype html>"), "{page:?}");
    assert_eq!(server.get("/hello").cache_status(), "tiergate; fwd=uri-miss; stored");
    // Until L2 has it on the disk, a second request shares the first one's fill; after that it is a hit.
    let again = server.get("/hello").cache_status();
    assert!(again.contains("hit") || again.contains("collapsed"), "{again}");
    let big = server.get("/big?mb=3");
    assert_eq!(big.body.len(), 3_000_000);
    assert_eq!(server.get("/nostore").cache_status(), "tiergate; fwd=uri-miss");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}
