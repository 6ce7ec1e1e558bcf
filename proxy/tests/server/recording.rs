//! What a server records of itself can be lived again.

use crate::harness::{Origin, Site, pattern, respond, tiergate};
use std::{fs, io::BufReader, os::unix::fs::PermissionsExt, path::Path};
use tiergate_recording::{Difference, Life, ReadError, Reader};

/// Lives the recording again: how many effects it has.
fn relive(text: &[u8]) -> Result<Result<usize, Difference>, ReadError> {
    let (header, mut reader) = Reader::open(BufReader::new(text))?;
    let mut life = Life::begin(&header).expect("a server ran on this configuration");
    let mut effects = 0;
    while let Some(step) = reader.step()? {
        let lived = life.live(&step.incoming);
        if let Err(difference) = step.compare(&lived) {
            return Ok(Err(difference));
        }
        effects += lived.asked.len();
    }
    Ok(Ok(effects))
}

fn recorded(file: &Path) -> Vec<u8> {
    fs::read(file).expect("the server made it")
}

/// Misses, hits in memory and on disk, parts, heads, conditions, variants, purges and a POST: told the same,
/// an engine of the same seed decides the same, without bodies, and without the files.
#[test]
fn a_recorded_server_can_be_lived_again() {
    let fields = "Cache-Control: max-age=600\r\nETag: \"v1\"\r\nVary: accept-language\r\n";
    let origin = Origin::start(move |asked, stream| match asked.method.as_str() {
        "POST" => respond(stream, &format!("{fields}Content-Location: /c\r\n"), 6, b"posted"),
        "HEAD" => respond(stream, fields, 300_000, b""),
        _ => respond(stream, fields, 300_000, &pattern(300_000)),
    });
    let site = Site::new();
    let file = site.path().join("recording");
    let more = format!(
        "shards: 1\ncache: {{ l0: {{ gate: 256KiB }}, l2: {{ capacity: 64MiB }} }}\nrecording: {{ file: {file:?} }}\n"
    );
    let server = site.serve(origin.address, &more);
    for target in ["/a", "/b", "/a"] {
        assert_eq!(server.get(target).head.status, 200);
    }
    server.request("GET", "/a", "Accept-Language: de\r\n");
    server.request("GET", "/a", "Range: bytes=5-9\r\n");
    server.request("GET", "/a", "If-None-Match: \"v1\"\r\n");
    server.request("HEAD", "/b", "");
    server.request("PURGE", "/b", "");
    server.get("/b");
    server.request("POST", "/c", "Content-Length: 0\r\n");
    assert_eq!(server.get("/c").body, b"posted");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));

    let text = recorded(&file);
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "requests have credentials in them");
    let effects = relive(&text).expect("it reads").expect("the same decisions");
    assert!(effects > 30, "{effects}");
    // Had the origin said something else, something else would have been decided.
    let changed = String::from_utf8(text).expect("JSON").replace("max-age=600", "no-store");
    assert!(relive(changed.as_bytes()).expect("it reads").is_err());
}

/// A recording ends where it may not grow, and the server goes on; the next one keeps it beside itself.
#[test]
fn a_recording_has_an_end_and_a_predecessor() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", pattern(10));
    let site = Site::new();
    let file = site.path().join("recording");
    let config = format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nshards: 1\nrecording: {{ file: {file:?}, size_max: 64KiB }}\n",
        origin.address
    );
    let server = site.start(&config);
    for number in 0..150 {
        assert_eq!(server.get(&format!("/{number}")).head.status, 200);
    }
    drop(server);
    let text = recorded(&file);
    assert!((50_000..=65_536).contains(&text.len()), "{}", text.len());
    relive(&text).expect("it reads").expect("the same decisions");
    drop(site.start(&config));
    assert!(recorded(&file).len() < 50_000);
    assert!(recorded(&site.path().join("recording.old")) == text);
}

/// A shard that is not there, no room, no file: each is told before anything starts.
#[test]
fn a_wrong_recording_is_refused() {
    let site = Site::new();
    let config = site.path().join("wrong.yaml");
    let path = config.to_str().expect("temporary paths are UTF-8");
    let cases = [
        (
            2,
            "shards: 2\nrecording: { file: a, shard: 2 }",
            "`recording.shard` is 2, but must be below `shards`, which is 2",
        ),
        (
            2,
            "recording: { file: a, size_max: 1KiB }",
            "`recording.size_max` is 1KiB, but must be at least 64KiB",
        ),
        (2, "recording: { file: '' }", "`recording.file` is empty, but must be a file"),
        (1, "recording: { file: /dev/null/a }", "cannot write to /dev/null/a"),
    ];
    for (code, text, expected) in cases {
        fs::write(&config, format!("origin: http://a\nlisten: 127.0.0.1:0\n{text}\n"))
            .expect("a file of ours");
        let output = tiergate(&["serve", "-c", path]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
