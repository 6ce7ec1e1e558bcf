//! Blocks from a device that may hold anything: what decodes adds up, also behind checksums that hold.

use super::{
    block::{Checksums, Kind, Label, Place, Position},
    codec_tests::{STORE, geometry, label, payload},
    content::{Content, Entry, Grave, Mark, What},
    plant::Planted,
    walk::walk,
};
use crate::key::StoredKey;
use alloc::vec::Vec;
use bytes::Bytes;
use std::vec;

fn payloads() -> Vec<Vec<u8>> {
    let mark = Mark { store: STORE, floor: 7, segments: 4, sectors: 32, sector_bytes: 512, summary: 30 };
    let grave = Grave::Record { through: Position { sequence: 8, sector: 3 } };
    let Label { key, name, .. } = label(Kind::Tombstone);
    let mut entries = Vec::new();
    for what in [What::Body, What::Tombstone(grave), What::Record { object: 3, first: 8 }] {
        Entry { what, sector: 5, sectors: 1, key, name }.encode_into(&mut entries);
    }
    vec![payload().to_vec(), grave.encode().to_vec(), mark.encode().to_vec(), entries]
}

tiergate_fuzz::target!(
    /// A payload that decodes says nothing that its bytes do not: written again, it reads the same, and a record's pieces
    /// and end are as long as its body.
    store_payloads,
    payloads(),
    |bytes: &[u8]| {
        if let Some(content) = Content::decode(&Bytes::copy_from_slice(bytes)) {
            let pieces: u64 = content.extents.iter().map(|extent| u64::from(extent.bytes)).sum();
            assert_eq!(pieces + content.tail.len() as u64, content.record.length.0);
            assert!(content.extents.len() * 16 + content.tail.len() < bytes.len());
        }
        if let Some(grave) = Grave::decode(bytes) {
            assert_eq!(Grave::decode(&grave.encode()), Some(grave));
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
    /// A segment in which anything stands where blocks are looked for: what is found lies in the segment, block after block,
    /// and a block whose checksums hold counts only if its payload adds up.
    store_segments,
    payloads(),
    |bytes: &[u8]| {
        let checksums = Checksums::of_store(STORE, Planted::NONE);
        let place = Place { segment: 2, sector: 2 };
        let bytes = &bytes[..bytes.len().min(8_000)];
        for kind in [Kind::Body, Kind::Record, Kind::Tombstone, Kind::Summary] {
            let mut segment = vec![0; geometry().length(2)];
            checksums.seal_into(&mut segment, &geometry(), &Label { kind, place, ..label(kind) }, &[Bytes::copy_from_slice(bytes)]);
            // And once more as it came, where no block was sealed.
            segment.extend_from_slice(bytes);
            let found = walk(&segment.into(), &geometry(), &checksums, 2, 9);
            let StoredKey { key, target } = label(kind).key;
            let mut end = 2;
            for walked in &found {
                assert!(walked.entry.sector >= end && walked.entry.sectors > 0, "{walked:?}");
                end = walked.entry.sector + walked.entry.sectors;
                assert_eq!((walked.entry.key.key, walked.entry.key.target), (key, target));
            }
            assert!(end <= geometry().sectors && found.len() <= 1, "{found:?}");
            if kind == Kind::Body {
                assert_eq!(found.len(), 1, "a piece of a body may be anything");
            }
        }
    }
);
