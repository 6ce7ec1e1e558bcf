//! L2's disk: found again after a restart however it is asked, gone and back, rotten.

use crate::harness::{End, Origin, Response, Server, Site, pattern};
use std::{fs, os::unix::fs::FileExt};

const CACHE: &str = "cache: { l0: null, l2: { capacity: 64MiB } }\n";
const FIELDS: &str = "Cache-Control: max-age=600\r\n";
/// Where the log's first segment begins.
const SEGMENTS_BEGIN: u64 = 9 << 20;

fn is_from_l2(response: &Response) -> bool {
    let status = response.cache_status();
    status.starts_with("tiergate; hit; ") && status.ends_with("detail=l2")
}

fn stop(server: Server) {
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// However the disk is asked, and with several directories, a new process finds what an earlier one stored;
/// and it says how the disk is asked.
#[test]
fn a_restart_finds_what_was_stored_however_the_disk_is_asked() {
    let body = pattern(700_000);
    for (io, said) in [("auto", ", l2 through "), ("pool", ", l2 through pool\n")] {
        let origin = Origin::fixed(FIELDS, body.clone());
        let site = Site::new();
        let config = site.config(origin.address, &format!("io: {io}"), CACHE);
        let config = config.replacen("l2\",", &format!("l2\", {:?}],", site.path().join("second")), 1);
        let config = config.replacen("directory: ", "directory: [", 1);
        let targets = ["/a", "/b", "/c", "/d", "/e", "/f"];
        let server = site.start(&config);
        assert!(server.line.contains(said), "{}", server.line);
        for target in targets {
            assert!(server.get(target).body == body);
        }
        stop(server);
        let server = site.start(&config);
        for target in targets {
            // Until it is known what L2 holds, the origin is asked.
            let mut response = server.get(target);
            while !is_from_l2(&response) {
                assert!(response.body == body);
                response = server.get(target);
            }
            assert!((response.head.status, response.end) == (200, End::Whole) && response.body == body);
        }
        stop(server);
        for directory in ["l2", "second"] {
            assert!(site.path().join(directory).join("log").is_file());
        }
    }
}

/// A directory that is removed under a running server is made anew; the origin serves meanwhile, and the log
/// says in one line each that L2 is down and that it is back.
#[test]
fn a_removed_directory_is_made_anew() {
    let body = pattern(100_000);
    let origin = Origin::fixed(FIELDS, body.clone());
    let site = Site::new();
    let server = site.serve(origin.address, CACHE);
    for target in ["/a", "/b"] {
        assert!(server.get(target).body == body);
    }
    fs::remove_dir_all(site.l2()).expect("it is ours");
    // Nobody can make it while something else has its name.
    fs::write(site.l2(), "").expect("it is gone");
    while !site.log().contains("L2 is down") {
        assert!(server.get("/a").body == body);
    }
    fs::remove_file(site.l2()).expect("it is ours");
    while !site.log().contains("L2 is back") {
        assert!(server.get("/b").body == body);
    }
    while !is_from_l2(&server.get("/a")) {}
    let log = site.log();
    for line in ["L2 is down", "L2 is back"] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
    // That it lies in memory is said where temporary directories do.
    let is_warning = |line: &&str| line.contains("WARN") && !line.contains("lies in memory");
    let warnings: Vec<&str> = log.lines().filter(is_warning).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    stop(server);
}

/// After much of the disk has rotted, every answer is whole and right: what is rotten is a miss. L2 is as
/// well as before.
#[test]
fn rot_is_a_miss() {
    let size = 100_000;
    let body = pattern(size);
    let origin = Origin::fixed(FIELDS, body.clone());
    let site = Site::new();
    let targets: Vec<String> = (0..40).map(|number| format!("/{number}")).collect();
    let server = site.serve(origin.address, CACHE);
    for target in &targets {
        assert!(server.get(target).body == body);
    }
    stop(server);
    let log = fs::File::options().read(true).write(true).open(site.l2().join("log")).expect("it is ours");
    // One bit in each 64 KiB: three objects of four are hit.
    let end = SEGMENTS_BEGIN + 2 * (targets.len() * size) as u64;
    for at in (SEGMENTS_BEGIN + 20_000..end).step_by(64 << 10) {
        let mut byte = [0];
        log.read_exact_at(&mut byte, at).expect("the file is preallocated");
        log.write_all_at(&[byte[0] ^ 1], at).expect("the file is preallocated");
    }
    let server = site.serve(origin.address, CACHE);
    let mut misses = 0;
    for target in &targets {
        let response = server.get(target);
        assert!((response.head.status, response.end) == (200, End::Whole) && response.body == body);
        misses += usize::from(!is_from_l2(&response));
    }
    assert!(misses >= targets.len() / 2, "{misses} misses");
    // They are stored again: rot is no reason to leave L2 alone. A commit may come after the client's last
    // byte.
    for target in &targets {
        assert!((0..1_000).any(|_| is_from_l2(&server.get(target))), "{target}");
    }
    assert!(!site.log().contains("L2 is down"), "{}", site.log());
    stop(server);
}
