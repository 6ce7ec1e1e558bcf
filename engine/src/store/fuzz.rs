//! Blocks from a device that may hold anything: what decodes adds up, also behind checksums that hold.

use super::{
    block::{Checksums, Kind, Label, Place},
    blocks::Payload,
    codec_tests::{STORE, entries, geometry, label, mark, payload, sealed, tombstones},
    content::{Content, Entry, Mark, Tombstone, What},
    plant::Planted,
    walk::{Walked, walk},
};
use crate::language::key::StoredKey;
use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;
use std::vec;

fn payloads() -> Vec<Vec<u8>> {
    let encoded = |payload: Payload| {
        let mut bytes = Vec::new();
        payload.encode_into(&mut bytes);
        bytes
    };
    let others =
        [Payload::Tombstones(tombstones().to_vec()), Payload::Mark(mark()), Payload::Summary(entries())];
    [payload().to_vec()].into_iter().chain(others.map(encoded)).collect()
}

tiergate_fuzz::target!(
    /// A payload that decodes says nothing that its bytes do not: written again, it reads the same, and a
    /// record's pieces and end are as long as its body.
    store_payloads,
    payloads(),
    |bytes: &[u8]| {
        if let Some((content, tail)) = Content::decode(&Bytes::copy_from_slice(bytes)) {
            let pieces: u64 = content.extents.iter().map(|extent| u64::from(extent.bytes)).sum();
            assert_eq!(pieces + tail.len() as u64, content.record.length.0);
            assert!(content.extents.len() * 16 + tail.len() < bytes.len());
            let mut again = Vec::new();
            Payload::Record(Box::new(content.clone()), vec![tail.clone()]).encode_into(&mut again);
            assert_eq!(Content::decode(&again.into()), Some((content, tail)));
        }
        if let Some(tombstones) = Tombstone::decode_all(bytes) {
            let mut again = Vec::new();
            tombstones.iter().for_each(|tombstone| tombstone.encode_into(&mut again));
            assert_eq!(Tombstone::decode_all(&again), Some(tombstones));
        }
        if let Some(mark) = Mark::decode(bytes) {
            assert_eq!(mark.encode()[..], *bytes);
        }
        if let Some(entries) = Entry::decode_all(bytes) {
            let mut again = Vec::new();
            entries.iter().for_each(|entry| entry.encode_into(&mut again));
            assert_eq!(Entry::decode_all(&again), Some(entries));
        }
    }
);

tiergate_fuzz::target!(
    /// A segment in which anything stands where blocks are looked for: what is found lies in the segment,
    /// block after block, and a block whose checksums hold counts only if its payload adds up.
    store_segments,
    payloads(),
    |bytes: &[u8]| {
        let checksums = Checksums::of_store(STORE, Planted::NONE);
        let place = Place { segment: 2, sector: 2 };
        let bytes = &bytes[..bytes.len().min(8_000)];
        for kind in [Kind::Body, Kind::Record, Kind::Tombstone, Kind::Summary] {
            let mut segment = vec![0; geometry().length(2)];
            segment.extend_from_slice(&sealed(&Label { kind, place, ..label(kind) }, bytes));
            // And once more as it came, where no block was sealed.
            segment.extend_from_slice(bytes);
            let found = walk(&segment.into(), &geometry(), &checksums, 2, 9);
            let StoredKey { key, target } = label(kind).key;
            let mut end = 2;
            for Walked { entry, .. } in &found {
                assert!(entry.sector == 2 && entry.sectors > 0, "{entry:?}");
                end = entry.sector + entry.sectors;
                match entry.what {
                    What::Body { key: found, .. } | What::Record { key: found, .. } => {
                        assert_eq!((found.key, found.target), (key, target));
                    }
                    What::Tombstone(_) => assert_eq!(kind, Kind::Tombstone),
                }
            }
            assert!(end <= geometry().sectors, "{found:?}");
            assert!(found.len() <= 1 || kind == Kind::Tombstone, "{found:?}");
            if kind == Kind::Body {
                assert_eq!(found.len(), 1, "a piece of a body may be anything");
            }
        }
    }
);
