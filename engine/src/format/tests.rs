use super::*;
use proptest::prelude::*;
use std::{string::String, vec};

fn record() -> Record {
    Record {
        key: CacheKey(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
        target: CacheKey(0x1f1e_1d1c_1b1a_1918_1716_1514_1312_1110),
        name: RecordName(0x2f2e_2d2c_2b2a_2928_2726_2524_2322_2120),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"x\""), ("vary", "")]) }),
        length: ByteCount(1_000),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(1_700_000_000_123),
            age_then: Duration::new(5, 7),
            lifetime: Duration::from_secs(60),
        },
    }
}

/// Everything of `bytes` but the checksum, with one that fits.
fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(&content);
    content.extend_from_slice(&checksum);
    content
}

fn content() -> Vec<u8> {
    let mut bytes = encode(&record());
    bytes.truncate(bytes.len() - CHECKSUM);
    bytes
}

/// The layout, byte for byte. If this goes red, stored records are lost with the change: raise `VERSION`.
#[test]
fn the_layout_is_the_documented_one() {
    let mut golden = b"TGRC\x02\x00".to_vec();
    golden.extend(0x00..=0x2f);
    golden.extend([0xe8, 0x03, 0, 0, 0, 0, 0, 0]);
    golden.extend([0x7b, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0, 0]);
    golden.extend([5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
    golden.extend([60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend([200, 0, 2, 0, 0, 0]);
    golden.extend(b"\x04\0\0\0etag\x03\0\0\0\"x\"");
    golden.extend(b"\x04\0\0\0vary\0\0\0\0");
    assert_eq!(content(), golden);
    assert_eq!(
        encode(&record())[golden.len()..],
        GOLDEN_CHECKSUM,
        "the checksum is no longer BLAKE3's first bytes"
    );
}

const GOLDEN_CHECKSUM: [u8; 8] = [47, 62, 122, 118, 198, 30, 209, 47];

/// Every beginning of a record that is not the whole is refused.
#[test]
fn every_truncation_is_refused() {
    let bytes = encode(&record());
    for cut in 0..bytes.len() {
        let expected = match cut {
            0..SHORTEST => RecordError::TooShort { bytes: cut },
            _ => RecordError::Checksum,
        };
        assert_eq!(decode(&bytes[..cut]), Err(expected), "cut at {cut}");
    }
}

/// A record with any one bit turned over is refused.
#[test]
fn every_flipped_bit_is_refused() {
    let bytes = encode(&record());
    for bit in 0..8 * bytes.len() {
        let mut rotten = bytes.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        let error = decode(&rotten).expect_err("a bit is wrong");
        match (bit / 8, error) {
            (0..4, RecordError::Magic)
            | (4..6, RecordError::Version { .. })
            | (6.., RecordError::Checksum) => {}
            (byte, error) => panic!("bit {bit} in byte {byte}: {error:?}"),
        }
    }
}

/// Values that no record has are refused by name, although the checksum fits.
#[test]
fn impossible_values_are_refused() {
    let with = |at: usize, bytes: &[u8]| {
        let mut content = content();
        content[at..at + bytes.len()].copy_from_slice(bytes);
        decode(&sealed(content))
    };
    let nanos = NANOS.to_le_bytes();
    let wrong = |field| Err(RecordError::Field { field });
    assert_eq!(with(78, &nanos), wrong(RecordField::AgeThen));
    assert_eq!(with(90, &nanos), wrong(RecordField::Lifetime));
    assert_eq!(with(96, &[3]), wrong(RecordField::LineLength));
    assert_eq!(with(96, &[0xff; 4]), wrong(RecordField::LineLength));
    assert_eq!(with(100, &[0xff; 4]), wrong(RecordField::LineLength));
    assert_eq!(with(104, b"E"), wrong(RecordField::LineName));
    assert_eq!(with(104, &[0xff]), wrong(RecordField::LineName));
    assert_eq!(with(96, &[1]), Err(RecordError::TooLong { surplus: 12 }));
    assert_eq!(with(4, &[1]), Err(RecordError::Version { found: 1 }));
    assert_eq!(decode(b"not a record"), Err(RecordError::Magic));
}

prop_compose! {
    fn any_record()(
        key: u128,
        target: u128,
        name: u128,
        status: u16,
        lines in prop::collection::vec(("[a-z0-9!#$%&'*+.^_`|~-]{1,20}", prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        length: u64,
        as_of: u64,
        age_then: Duration,
        lifetime: Duration,
    ) -> Record {
        let lines: vec::Vec<(String, vec::Vec<u8>)> = lines;
        Record {
            key: CacheKey(key),
            target: CacheKey(target),
            name: RecordName(name),
            head: Arc::new(Head { status, fields: lines.into_iter().collect() }),
            length: ByteCount(length),
            freshness: StoredFreshness { as_of: WallTime::from_unix_millis(as_of), age_then, lifetime },
        }
    }
}

proptest! {
    /// What is encoded comes back equal.
    #[test]
    fn every_record_comes_back(record in any_record()) {
        prop_assert_eq!(encode(&record).len(), encoded_length(&record));
        prop_assert_eq!(decode(&encode(&record)), Ok(record));
    }

    /// Whatever is decoded, there is an answer; and what passes is exactly what encoding writes.
    #[test]
    fn sealed_garbage_never_panics(
        mut garbage in prop::collection::vec(any::<u8>(), 0..200),
        at in 0..100_usize,
        byte: u8,
    ) {
        // With the magic, the version and a good checksum in front of the rest, every later check is reached.
        garbage.splice(0..0, *b"TGRC\x02\0");
        let _ = decode(&garbage);
        let sealed_garbage = sealed(garbage);
        if let Ok(record) = decode(&sealed_garbage) {
            prop_assert_eq!(encode(&record), sealed_garbage);
        }
        let mut nearly = content();
        let at = 6 + at % (nearly.len() - 6);
        nearly[at] = byte;
        let nearly = sealed(nearly);
        if let Ok(record) = decode(&nearly) {
            prop_assert_eq!(encode(&record), nearly);
        }
    }
}
