//! Traces and access logs as they may lie on a disk, plain or compressed.

use super::trace::{Format, Reading, Trace};
use std::fs;

const CSV: &str = "timestamp,url,bytes\n1700000000,/a,100\n1700000001.5,\"/b,c\",-\n";
const COMBINED: &str =
    "a.test:80 ::1 - - [27/Nov/2026:01:50:54 +0000] \"GET /a HTTP/1.1\" 200 1024 \"-\" \"x\"\n";
const JSON: &str = "{\"time\":\"2026-11-27T01:50:54Z\",\"uri\":\"/a\",\"status\":200,\"size\":7}\n";

fn record(time: u32, object: u64, size: u32, next: i64) -> Vec<u8> {
    [time.to_le_bytes().as_slice(), &object.to_le_bytes(), &size.to_le_bytes(), &next.to_le_bytes()].concat()
}

fn traces() -> Vec<Vec<u8>> {
    let oracle = [record(1, 7, 100, 1), record(1, 7, 100, -1), record(9, 8, 0, -1)].concat();
    let packed = zstd::bulk::compress(&oracle, 0).expect("memory takes everything");
    let texts = [CSV, COMBINED, JSON].map(|text| text.as_bytes().to_vec());
    [vec![oracle, packed], texts.to_vec()].concat()
}

tiergate_fuzz::target!(
    /// Whatever the format is said to be: what is wrong is said, and a plain file has no more requests than
    /// lines, or records.
    trace,
    traces(),
    |bytes: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("t");
        fs::write(&path, bytes).expect("room for a few bytes");
        let hidden = indicatif::ProgressBar::hidden();
        let is_packed = bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
        let formats = [Format::OracleGeneral, Format::Csv, Format::Combined, Format::Json];
        for format in formats.map(Some).into_iter().chain([None]) {
            let reading = Reading { format, malformed_percent_max: 100.0, ..Reading::default() };
            let Ok(trace) = Trace::open(&path, &reading, &hidden) else { continue };
            let most = match trace.format() {
                Format::OracleGeneral => bytes.len() / 24,
                Format::Csv | Format::Combined | Format::Json => lines,
            };
            let mut requests = 0;
            for request in trace.take(10_000) {
                match request {
                    Ok(_) => requests += 1,
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        break;
                    }
                }
            }
            assert!(is_packed || requests <= most, "{requests} requests of at most {most}");
        }
    }
);
