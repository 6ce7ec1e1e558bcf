//! What lies in Redis, where anybody may have written.

use crate::blocks::Layout;
use crate::shared::{keys::Generation, stored_head::StoredHead};
use std::{sync::Arc, time::Duration};
use tiergate_engine::{ByteCount, CacheKey, Fields, Head, Record, RecordName, StoredFreshness, WallTime};

fn head() -> Vec<u8> {
    let record = Record {
        key: CacheKey(1),
        target: CacheKey(1),
        name: RecordName(3),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"x\"")]) }),
        length: ByteCount(1_000),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(1_700_000_000_123),
            age_then: Duration::from_secs(5),
            lifetime: Duration::from_secs(60),
        },
    };
    let layout = Layout { block_bytes: 512, length: 1_000 };
    StoredHead::encode(&record, Generation(RecordName(3)), layout)
}

tiergate_fuzz::target!(
    /// Bytes that are a head are the bytes that are written for it, behind a checksum that fits too; a read
    /// of its parts is bounded.
    redis_head,
    [head()],
    |bytes: &[u8]| {
        let content = &bytes[..bytes.len().saturating_sub(4)];
        let sealed = [content, &crc32fast::hash(content).to_le_bytes()].concat();
        for bytes in [bytes, &sealed] {
            if let Ok(StoredHead { record, generation, layout }) = StoredHead::decode(bytes) {
                assert_eq!(layout.length, record.length.0);
                assert!((1..=4 << 20).contains(&layout.block_bytes));
                assert_eq!(StoredHead::encode(&record, generation, layout), bytes);
            }
        }
    }
);

tiergate_fuzz::target!(
    /// Bytes that are a generation are the text that is written for it.
    redis_generation,
    [Generation(RecordName(0x0123_4567_89ab_cdef)).encode()],
    |bytes: &[u8]| {
        if let Some(generation) = Generation::decode(bytes) {
            assert_eq!(generation.encode().as_bytes(), bytes);
        }
    }
);
