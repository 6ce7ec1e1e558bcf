//! Files in the cache's folder, where a crash, a bad disk or somebody else may have written.

use super::file::{ending, read};
use std::{io::Write, sync::Arc, time::Duration};
use tiergate_engine::{
    ByteCount, CacheKey, Fields, Head, Record, RecordName, StoredFreshness, WallTime, format,
};

fn whole() -> Vec<u8> {
    let body = b"a body";
    let record = Record {
        key: CacheKey(1),
        target: CacheKey(1),
        name: RecordName(3),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"x\"")]) }),
        length: ByteCount(body.len() as u64),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(1_700_000_000_123),
            age_then: Duration::from_secs(5),
            lifetime: Duration::from_secs(60),
        },
    };
    [body.as_slice(), &crc32fast::hash(body).to_le_bytes(), &ending(&record, 7)].concat()
}

tiergate_fuzz::target!(
    /// A file that is a record holds what is written for it before its footer, also behind a footer that fits, and its
    /// body is read without a panic.
    record_file,
    [whole()],
    |bytes: &[u8]| {
        let (content, _) = bytes.split_at(bytes.len().saturating_sub(4));
        let footer = &content[content.len().saturating_sub(28)..];
        let sealed = [content, &crc32fast::hash(footer).to_le_bytes()].concat();
        for bytes in [bytes, &sealed] {
            let mut file = tempfile::tempfile().expect("a folder for temporary files");
            file.write_all(bytes).expect("room for a few bytes");
            if let Ok(contents) = read(file) {
                assert!(bytes[..bytes.len() - 32].ends_with(&format::encode(&contents.record)));
                if let Ok(body) = contents.file.read(0, u64::MAX) {
                    assert!(bytes.starts_with(&body));
                }
            }
        }
    }
);
