//! Access logs and tables are read as they are written, what is no request is counted, and no bytes make a
//! reader panic.

use indicatif::ProgressBar;
use proptest::prelude::*;
use std::{fs, io::Write, path::Path};
use tempfile::TempDir;
use tiergate_engine::{
    ByteCount, CacheKey, Config, RawConfig, RawDiskTier, RawDurableTier, RawMemoryTier, RawSharedTier, TierId,
};
use tiergate_sim::replay::{
    Below, Columns, Disk, Format, LeftOut, Reading, Request, Trace, TraceError, replay, replay_above,
};

fn reading() -> Reading {
    Reading { format: None, columns: Columns::default(), malformed_percent_max: 1.0 }
}

fn read(name: &str, bytes: &[u8], reading: &Reading) -> Result<(Format, Vec<Request>, LeftOut), TraceError> {
    let folder = TempDir::new().expect("the system has a directory for temporary files");
    let file = folder.path().join(name);
    fs::write(&file, bytes).expect("a new folder can be written to");
    let mut trace = Trace::open(&file, reading, &ProgressBar::hidden())?;
    let requests: Result<Vec<_>, _> = trace.by_ref().collect();
    Ok((trace.format(), requests?, trace.left_out()))
}

fn wrong(name: &str, bytes: &[u8], reading: &Reading) -> String {
    let error = read(name, bytes, reading).expect_err("the file is broken").to_string();
    error.split_once(&format!("{name}: ")).expect("an error names the file").1.to_owned()
}

fn request(time_ms: u64, host: &str, target: &str, size: u64) -> Request {
    Request { time_ms, key: CacheKey::of(host, target), size: ByteCount(size) }
}

/// 2026-11-27 01:50:54 UTC.
const THEN: u64 = 1_795_744_254_000;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("bytes in memory can be compressed")
}

/// One log in three compressions: GET counts as it stands, HEAD and 304 as the whole that was seen before,
/// 206 as the largest part; POST, errors and what was never seen whole are counted and left out.
#[test]
fn a_combined_log_is_read() {
    let log =
        br#"192.0.2.1 - - [27/Nov/2026:01:50:54 +0000] "GET /a?b=\"c HTTP/1.1" 200 700 "-" "curl \"x\" [y]"
192.0.2.1 - frank [27/Nov/2026:01:50:55 +0000] "HEAD /a?b=\"c HTTP/1.1" 200 0 "-" "-"
192.0.2.1 - - [27/Nov/2026:03:50:56 +0200] "GET /a?b=\"c HTTP/2.0" 304 -

192.0.2.1 - - [27/Nov/2026:01:50:55 +0000] "GET http://Example.org/v HTTP/1.1" 206 50
192.0.2.1 - - [27/Nov/2026:01:50:57 +0000] "GET http://example.org/v HTTP/1.1" 206 20
192.0.2.1 - - [27/Nov/2026:01:50:57 +0000] "POST /a HTTP/1.1" 200 1
192.0.2.1 - - [27/Nov/2026:01:50:57 +0000] "GET /b HTTP/1.1" 502 1
192.0.2.1 - - [27/Nov/2026:01:50:57 +0000] "GET /never HTTP/1.1" 304 0
192.0.2.1 - - [27/Nov/2026:01:50:57 +0000] "\x16\x03\x01" 400 150
"#;
    let target = r#"/a?b=\"c"#;
    let expected = [
        request(THEN, "", target, 700),
        request(THEN + 1_000, "", target, 700),
        request(THEN + 2_000, "", target, 700),
        request(THEN + 2_000, "example.org", "/v", 50),
        request(THEN + 3_000, "example.org", "/v", 50),
    ];
    let two_members = [gzip(&log[..200]), gzip(&log[200..])].concat();
    let zstd = zstd::bulk::compress(log, 3).expect("bytes in memory can be compressed");
    for (name, bytes) in [("access.log", &log[..]), ("access.log.1.gz", &two_members), ("old", &zstd)] {
        let (format, requests, left_out) = read(name, bytes, &reading()).expect("a good log");
        assert_eq!((format, &requests[..]), (Format::Combined, &expected[..]), "{name}");
        let expected = LeftOut {
            lines: 9,
            other_methods: 2,
            other_statuses: 1,
            unknown_sizes: 1,
            reordered: 1,
            ..LeftOut::default()
        };
        assert_eq!(left_out, expected, "{name}");
    }
}

/// A virtual host before the line is part of the key, without the port of its scheme.
#[test]
fn a_virtual_host_is_part_of_the_key() {
    let log = b"Example.org:443 192.0.2.1 - - [27/Nov/2026:01:50:54 +0000] \"GET /a HTTP/1.1\" 200 7\n\
                example.org:8080 192.0.2.1 - - [27/Nov/2026:01:50:54 +0000] \"GET /a HTTP/1.1\" 200 7\n";
    let (_, requests, _) = read("log", log, &reading()).expect("a good log");
    assert_eq!(requests, [request(THEN, "example.org", "/a", 7), request(THEN, "example.org:8080", "/a", 7)]);
}

/// The same request as Caddy, Envoy, nginx (in parts and as a line) and a log with names of its own write it.
#[test]
fn json_lines_are_read() {
    let lines = [
        r#"{"ts":1795744254.25,"request":{"method":"GET","host":"Example.org","uri":"/a"},"status":200,"size":7}"#,
        r#"{"start_time":"2026-11-27T01:50:54.250Z","method":"GET","path":"/a","authority":"example.org","response_code":200,"bytes_sent":"7"}"#,
        r#"{"time_iso8601":"2026-11-27T01:50:55+00:00","host":"example.org","request_method":"GET","request_uri":"/a","status":"200","body_bytes_sent":"7"}"#,
        r#"{"time_local":"27/Nov/2026:01:50:55 +0000","host":"example.org","request":"GET /a HTTP/1.1","status":200,"body_bytes_sent":7}"#,
        r#"{"ts":1795744256,"request":{"method":"PURGE","host":"example.org","uri":"/a"},"status":200,"size":7}"#,
    ];
    let (format, requests, left_out) =
        read("log.json", lines.join("\n").as_bytes(), &reading()).expect("good lines");
    let expected =
        [THEN + 250, THEN + 250, THEN + 1_000, THEN + 1_000].map(|at| request(at, "example.org", "/a", 7));
    assert_eq!((format, &requests[..], left_out.other_methods), (Format::Json, &expected[..], 1));

    let columns = "time=when.at,key=what,size=n".parse().expect("three columns");
    let (_, requests, _) =
        read("log", br#"{"when":{"at":5},"what":77,"n":9}"#, &Reading { columns, ..reading() })
            .expect("a good line");
    assert_eq!(requests, [request(5_000, "", "77", 9)]);
}

/// Separators, quotes, names of columns in common use, names of one's own, and columns by number.
#[test]
fn tables_are_read() {
    let expected = [request(1_000, "", "/a,b", 7), request(2_000, "", "\"q\"", 8)];
    let named = |columns: &str| Reading { columns: columns.parse().expect("columns"), ..reading() };
    let cases: [(&str, &str, Reading); 5] = [
        ("t.csv", "Timestamp,URL,bytes\n1,\"/a,b\",7\r\n2,\"\"\"q\"\"\",8\n", reading()),
        ("t.tsv", "\u{feff}size\ttime\tkey\n7\t1\t/a,b\n8\t2\t\"\"\"q\"\"\"\n", reading()),
        ("t", "at_ms;what;long\n1000;/a,b;7\n2000;\"\"\"q\"\"\";8\n", named("time=at_ms,key=what,size=long")),
        ("t.csv", "1,x,\"/a,b\",7\n2,x,\"\"\"q\"\"\",8\n", named("time=1,key=3,size=4")),
        (
            "t",
            "time,key,size,status,method\n1,\"/a,b\",7,200,GET\n2,\"\"\"q\"\"\",8,206,GET\n2,x,8,500,GET\n",
            reading(),
        ),
    ];
    for (name, table, reading) in cases {
        let (format, requests, _) =
            read(name, table.as_bytes(), &reading).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!((format, &requests[..]), (Format::Csv, &expected[..]), "{table}");
    }
}

/// A bad line is counted and shown with line, column, value and bound; more of them than allowed are an
/// error.
#[test]
fn malformed_lines_are_counted() {
    let table = "time,key,size\n1,/a,7\nsoon,/a,7\n2,/a,many\n3,/a\n4,\"/a,7\n5,/a,8\n";
    let allowed = Reading { malformed_percent_max: 70.0, ..reading() };
    let (_, requests, left_out) = read("t.csv", table.as_bytes(), &allowed).expect("four of six are allowed");
    assert_eq!(requests, [request(1_000, "", "/a", 7), request(5_000, "", "/a", 8)]);
    let shown: Vec<_> = left_out.examples.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "line 3: `time` is \"soon\", but must be a time: ISO 8601, `27/Nov/2026:01:50:54 +0000`, or a number of s, ms, µs or ns since 1970",
            "line 4: `size` is \"many\", but must be a whole number of bytes up to 1125899906842624 (1 PiB), or `-` for none",
            "line 5: `size` is missing: it must be a whole number of bytes up to 1125899906842624 (1 PiB), or `-` for none",
            "line 6: `line` is \"4,\\\"/a,7\", but must be fields between separators, each quote closed on its line",
        ]
    );
    let text = wrong("t.csv", table.as_bytes(), &reading());
    assert!(
        text.starts_with("4 of 6 lines are malformed, but at most 1 % may be (--malformed-max)\n  line 3: "),
        "{text}"
    );
    let hopeless = wrong(
        "t.json",
        "no\n".repeat(5_000).as_bytes(),
        &Reading { malformed_percent_max: 100.0, ..reading() },
    );
    assert!(hopeless.starts_with("1000 of 1000 lines are malformed"), "{hopeless}");
}

/// What is wrong with a whole file is an error that says what to do.
#[test]
fn a_file_that_cannot_be_read_says_why() {
    assert_eq!(
        wrong("t.csv", b"time,what,size\n1,/a,7\n", &reading()),
        "line 1: no column is known to hold the key; the columns are time, what, size: say which with --columns key=NAME"
    );
    let log = b"192.0.2.1 - - [27/Nov/2026:01:50:54 +0000] \"POST / HTTP/1.1\" 200 1\n";
    assert_eq!(
        wrong("log", log, &reading()),
        "holds 0 requests that a cache could answer, but must hold at least 1"
    );
    assert_eq!(
        wrong("notes.txt", b"origin: somewhere\n", &reading()),
        "neither its name nor its first line tells its format: say --format oracle-general, csv, combined or json"
    );
    let columns = Reading { columns: "key=a".parse().expect("one column"), ..reading() };
    assert_eq!(
        wrong("log", log, &columns),
        "--columns is for CSV and JSON, but this is read as access log, combined: leave it out, or say --format"
    );
    for wrong in ["", "key", "keys=a", "key=", "key=a,key=b"] {
        assert!(wrong.parse::<Columns>().is_err(), "{wrong}");
    }
}

/// Whatever L0 puts out is found in the store that is there, and every request is answered once, by one tier
/// or by the origin, with each set of tiers.
#[test]
fn any_set_of_tiers_answers() {
    let table: String = (0..400).fold("time,key,size\n".to_owned(), |table, at| {
        table + &format!("{at},/{},{}\n", at * at % 37, 10 + at * at % 37)
    });
    let folder = TempDir::new().expect("the system has a directory for temporary files");
    let file = folder.path().join("t.csv");
    fs::write(&file, table).expect("a new folder can be written to");
    for set in 0..16_u32 {
        let has = |bit: u32| set & (1 << bit) != 0;
        let raw = RawConfig {
            l0: has(0).then(|| RawMemoryTier { capacity: ByteCount(200), ..RawMemoryTier::default() }),
            l1: has(1).then(RawSharedTier::default),
            l2: has(2).then(RawDiskTier::default),
            l3: has(3).then(RawDurableTier::default),
            ..RawConfig::default()
        };
        let below = Below { l2: Disk::Bodies(ByteCount(500)), ..Below::default() };
        let totals = replay_above(&file, &reading(), Config::try_from(raw).expect("within bounds"), below)
            .expect("a good table")
            .totals;
        let tiers: Vec<_> = totals.tiers.keys().copied().collect();
        let present: Vec<_> = [TierId::L0, TierId::L1, TierId::L2, TierId::L3]
            .into_iter()
            .zip(0..)
            .filter(|(_, bit)| has(*bit))
            .collect();
        assert_eq!(tiers, present.iter().map(|(tier, _)| *tier).collect::<Vec<_>>());
        let hits: u64 = totals.tiers.values().map(|totals| totals.hits.requests).sum();
        assert_eq!(hits + totals.origin.requests, 400, "{tiers:?}");
        let distinct = 19; // The squares modulo 37.
        if has(1) || has(3) {
            assert_eq!(
                totals.origin.requests, distinct,
                "{tiers:?}: what L1 or L3 has is never asked for twice"
            );
        } else {
            assert!(totals.origin.requests > distinct, "{tiers:?}: L0 and L2 are too small for all");
        }
        if let Some(l2) = totals.tiers.get(&TierId::L2) {
            let device = l2.device.expect("L2 has a device");
            assert_eq!((device.appended, device.marks), (l2.stored.bytes, 0), "bodies alone are counted");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Any bytes, and good lines with some of their bytes changed, are requests or an error in every format.
    #[test]
    fn no_bytes_make_a_reader_panic(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        format in prop::sample::select(vec![Format::OracleGeneral, Format::Csv, Format::Combined, Format::Json]),
        is_noise in any::<bool>(),
    ) {
        let mut bytes = match format {
            _ if is_noise => noise,
            Format::OracleGeneral => [0; 72].to_vec(),
            Format::Csv => b"time,key,size,status\n1,/a,7,200\n2,\"/b\",8,304\n3,/c,9,206\n".to_vec(),
            Format::Combined => {
                b"h:80 c - - [27/Nov/2026:01:50:54 +0000] \"GET /a\\\" HTTP/1.1\" 200 7 \"-\"\n".repeat(2)
            }
            Format::Json => br#"{"ts":1.5,"request":{"uri":"/a","host":"b"},"status":200,"size":7}"#.to_vec(),
        };
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let reading = Reading { format: Some(format), malformed_percent_max: 100.0, ..reading() };
        // What comes of it is told by the tests above.
        let _ = read("noise", &bytes, &reading);
        let _ = read("noise.gz", &[&[0x1f, 0x8b][..], &bytes].concat(), &reading);
        let _ = read("noise.zst", &[&[0x28, 0xb5, 0x2f, 0xfd][..], &bytes].concat(), &reading);
    }
}

/// The largest sizes and times that are read do not overflow a sum.
#[test]
fn the_largest_numbers_add_up() {
    let table = format!("time,key,size\n0,a,{0}\n9e18,a,{0}\n9e18,b,{0}\n", 1_u64 << 50);
    let folder = TempDir::new().expect("the system has a directory for temporary files");
    let file = folder.path().join("t.csv");
    fs::write(&file, table).expect("a new folder can be written to");
    let unlimited = || ByteCount::UNLIMITED;
    let raw = RawConfig {
        l0: Some(RawMemoryTier { capacity: unlimited(), gate: unlimited(), ..RawMemoryTier::default() }),
        ..RawConfig::default()
    };
    let totals = replay(Path::new(&file), &reading(), Config::try_from(raw).expect("within bounds"));
    assert_eq!(totals.expect("a good table").totals.asked.bytes, 3 << 50);
}
