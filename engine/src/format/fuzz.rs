//! Records and entries of the index from a disk, a store or a peer that may hold anything.

use super::*;
use crate::{
    durable::{self, UPLOADS_MAX},
    language::selector::{Prefix, PurgeMode, Selector, Tag},
    parts::bans::Ban,
};

/// The bytes, and the bytes as the content of a sealed whole: what is wrong behind a checksum is seen too.
fn each_way(bytes: &[u8], check: impl Fn(&[u8])) {
    check(bytes);
    let content = &bytes[..bytes.len().saturating_sub(CHECKSUM)];
    check(&[content, &checksum(content)].concat());
}

fn record() -> Record {
    Record {
        key: CacheKey(1),
        target: CacheKey(2),
        name: RecordName(3),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"x\""), ("vary", "")]) }),
        length: ByteCount(1_000),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(1_700_000_000_123),
            age_then: Duration::new(5, 7),
            lifetime: Duration::from_secs(60),
        },
    }
}

tiergate_fuzz::target!(
    /// Bytes that are a record are the bytes that are written for it.
    record_bytes,
    [encode(&record())],
    |bytes: &[u8]| each_way(bytes, |bytes| {
        if let Ok(record) = decode(bytes) {
            assert_eq!(encode(&record), bytes);
        }
    })
);

fn entries() -> [Vec<u8>; 3] {
    let lease = durable::Lease { name: RecordName(9), until: WallTime::from_unix_millis(8) };
    let manifest = durable::Manifest {
        record: Arc::new(record()),
        version: durable::Version(4),
        stored_at: WallTime::from_unix_millis(5),
        digest: durable::BodyDigest(6),
        in_row: None,
    };
    let bare = durable::Entry {
        key: CacheKey(1),
        version: durable::Version(4),
        generation: durable::Generation(2),
        leases: Vec::from([lease]),
        manifest: None,
    };
    let kept = durable::Manifest { in_row: Some("a body".into()), ..manifest.clone() };
    let naming = |manifest| durable::Entry { manifest: Some(manifest), ..bare.clone() };
    [bare.clone(), naming(manifest), naming(kept)].map(|entry| durable::encode(&entry))
}

tiergate_fuzz::target!(
    /// Bytes that are an entry are the bytes that are written for it; it is of one key, with no more leases
    /// than can be.
    entry_bytes,
    entries(),
    |bytes: &[u8]| each_way(bytes, |bytes| {
        if let Ok(entry) = durable::decode(bytes) {
            assert_eq!(durable::encode(&entry), bytes);
            assert!(entry.leases.len() <= UPLOADS_MAX);
            assert!(entry.manifest.is_none_or(|manifest| manifest.record.key == entry.key));
        }
    })
);

fn bans() -> Vec<u8> {
    let tag = Selector::Tag(Tag::new("a").expect("a tag"));
    let prefix = Selector::Prefix(Prefix::new("host", "/a").expect("a prefix"));
    [Selector::Key(CacheKey(1)), tag, prefix, Selector::All]
        .into_iter()
        .zip([PurgeMode::Hard, PurgeMode::Soft, PurgeMode::Soft, PurgeMode::Hard])
        .flat_map(|(selector, mode)| encode_ban(&Ban { selector, mode, at: WallTime::from_unix_millis(5) }))
        .collect()
}

tiergate_fuzz::target!(
    /// A log that ends clean is the bytes that are written for its bans. Of any other, each ban stands in it
    /// as it is written, but for the one that covers what was lost.
    ban_bytes,
    [bans()],
    |bytes: &[u8]| {
        let first = bytes.get(6..10).and_then(|size| size.first_chunk()).map_or(0, |size| u32::from_le_bytes(*size));
        let first = bytes.len().min(first as usize);
        let content = &bytes[..first.saturating_sub(CHECKSUM)];
        let sealed = [content, &checksum(content), &bytes[first..]].concat();
        for bytes in [bytes, &sealed] {
            let Ok(log) = decode_bans(bytes) else { continue };
            let written: Vec<Vec<u8>> = log.bans.iter().map(encode_ban).collect();
            if log.ending == LogEnding::Clean {
                assert_eq!(written.concat(), bytes);
            }
            let missing = written.iter().filter(|ban| !bytes.windows(ban.len()).any(|part| part == **ban)).count();
            assert!(missing <= 1, "{missing} bans were made up");
        }
    }
);
