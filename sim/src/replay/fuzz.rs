//! Traces as they may lie on a disk, plain or compressed.

use super::trace::Trace;
use std::{fs, path::Path};

fn record(time: u32, object: u64, size: u32, next: i64) -> Vec<u8> {
    [time.to_le_bytes().as_slice(), &object.to_le_bytes(), &size.to_le_bytes(), &next.to_le_bytes()].concat()
}

fn traces() -> [Vec<u8>; 2] {
    let plain = [record(1, 7, 100, 1), record(1, 7, 100, -1), record(9, 8, 0, -1)].concat();
    let packed = zstd::bulk::compress(&plain, 0).expect("memory takes everything");
    [plain, packed]
}

tiergate_fuzz::target!(
    /// What is read is in order of time, and no more than the file holds; what is wrong is said of the file.
    trace,
    traces(),
    |bytes: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("t");
        fs::write(&path, bytes).expect("room for a few bytes");
        let hidden = indicatif::ProgressBar::hidden();
        let Ok(trace) = Trace::open(Path::new(&path), &hidden) else { return };
        let mut before = 0;
        for request in trace.take(10_000) {
            match request {
                Ok(request) => {
                    assert!(before <= request.time_s);
                    before = request.time_s;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    break;
                }
            }
        }
    }
);
