use super::*;
use crate::language::{
    head::{Fields, Head},
    record::StoredFreshness,
    units::ByteCount,
};
use core::time::Duration;
use proptest::prelude::*;

const fn at(millis: u64) -> WallTime {
    WallTime::from_unix_millis(millis)
}

fn record() -> Record {
    Record {
        key: CacheKey(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
        target: CacheKey(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
        name: RecordName(5),
        head: Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"x\"")]) }),
        length: ByteCount(1_000),
        freshness: StoredFreshness {
            as_of: at(1_700_000_000_123),
            age_then: Duration::new(5, 7),
            lifetime: Duration::from_secs(60),
        },
    }
}

fn entry() -> Entry {
    Entry {
        key: record().key,
        version: Version(0x1716_1514_1312_1110),
        generation: Generation(3),
        leases: [Lease { name: RecordName(6), until: at(9) }].into(),
        manifest: Some(Manifest {
            record: Arc::new(record()),
            version: Version(8),
            stored_at: at(7),
            digest: BodyDigest(0x2f2e_2d2c_2b2a_2928_2726_2524_2322_2120),
            in_row: None,
        }),
    }
}

fn content(entry: &Entry) -> Vec<u8> {
    let mut bytes = encode(entry);
    bytes.truncate(bytes.len() - CHECKSUM);
    bytes
}

fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(&content);
    content.extend_from_slice(&checksum);
    content
}

/// The layout, byte for byte. If this goes red, stored entries are lost with the change: raise `LAYOUT`.
#[test]
fn the_layout_is_the_documented_one() {
    let mut golden = b"TGIE\x02\x00".to_vec();
    golden.extend(0x00..=0x17);
    golden.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    let start = golden.clone();
    golden.push(1);
    golden.extend([6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    golden.push(1);
    golden.extend([8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend(0x20..=0x2f);
    golden.extend(format::encode(&record()));
    assert_eq!(content(&entry()), golden);
    assert_eq!(encode(&entry())[golden.len()..], checksum(&golden));

    let mut kept = entry();
    kept.manifest.as_mut().expect("it has one").in_row = Some(Bytes::from_static(b"body"));
    let mark = start.len() + 1 + 24;
    let body = golden.len() - format::encode(&record()).len();
    let mut expected = golden.clone();
    expected[mark] = 2;
    expected.splice(body..body, *b"\x04\0\0\0body");
    assert_eq!(content(&kept), expected);
    assert_eq!(decode(&encode(&kept)), Ok(kept));

    let vacant = Entry { leases: Vec::new(), manifest: None, ..entry() };
    assert_eq!(content(&vacant), [start.as_slice(), &[0, 0]].concat());
    assert_eq!(encode(&vacant).len(), SHORTEST);
}

/// Every beginning of an entry that is not the whole is refused.
#[test]
fn every_truncation_is_refused() {
    let bytes = encode(&entry());
    for cut in 0..bytes.len() {
        let expected = match cut {
            0..SHORTEST => EntryError::TooShort { bytes: cut },
            _ => EntryError::Checksum,
        };
        assert_eq!(decode(&bytes[..cut]), Err(expected), "cut at {cut}");
    }
}

/// An entry with any one bit turned over is refused.
#[test]
fn every_flipped_bit_is_refused() {
    let bytes = encode(&entry());
    for bit in 0..8 * bytes.len() {
        let mut rotten = bytes.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        match (bit / 8, decode(&rotten).expect_err("a bit is wrong")) {
            (0..4, EntryError::Magic) | (4..6, EntryError::Layout { .. }) | (6.., EntryError::Checksum) => {}
            (byte, error) => panic!("bit {bit} in byte {byte}: {error:?}"),
        }
    }
}

/// Values that no entry has are refused by name, although the checksum fits.
#[test]
fn impossible_values_are_refused() {
    let with = |position: usize, bytes: &[u8]| {
        let mut content = content(&entry());
        content[position..position + bytes.len()].copy_from_slice(bytes);
        decode(&sealed(content))
    };
    let total = encode(&entry()).len();
    let magic = 39 + 24 + 1 + 32;
    assert_eq!(with(4, &[1]), Err(EntryError::Layout { found: 1 }));
    assert_eq!(with(6, &[1]), Err(EntryError::Key));
    assert_eq!(with(38, &[9]), Err(EntryError::Leases { found: 9 }));
    assert_eq!(with(38, &[0]), Err(EntryError::Mark { found: 6 }));
    assert_eq!(with(63, &[3]), Err(EntryError::Mark { found: 3 }));
    // The record's first bytes for the length of a body.
    assert_eq!(with(63, &[2]), Err(EntryError::TooShort { bytes: total }));
    assert_eq!(with(63, &[0]), Err(EntryError::TooLong { surplus: total - 64 - CHECKSUM }));
    assert_eq!(with(magic, b"?"), Err(EntryError::Record(RecordError::Magic)));
    let vacant = Entry { leases: Vec::new(), manifest: None, ..entry() };
    let mut promised = content(&vacant);
    promised[38] = 1;
    assert_eq!(decode(&sealed(promised)), Err(EntryError::TooShort { bytes: SHORTEST }));
    assert_eq!(decode(b"no entry"), Err(EntryError::Magic));
}

proptest! {
    /// What is encoded comes back equal.
    #[test]
    fn every_entry_comes_back(
        version: u64,
        generation: u64,
        leases in prop::collection::vec((any::<u128>(), any::<u64>()), 0..=UPLOADS_MAX),
        is_stored: bool,
        in_row in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
    ) {
        let leases = leases.into_iter().map(|(name, until)| Lease { name: RecordName(name), until: at(until) });
        let entry = Entry {
            version: Version(version),
            generation: Generation(generation),
            leases: leases.collect(),
            manifest: entry()
                .manifest
                .filter(|_| is_stored)
                .map(|manifest| Manifest { in_row: in_row.map(Bytes::from), ..manifest }),
            ..entry()
        };
        prop_assert_eq!(decode(&encode(&entry)), Ok(entry));
    }

    /// Whatever is decoded, there is an answer; and what passes is exactly what encoding writes.
    #[test]
    fn sealed_garbage_never_panics(position in 6..400_usize, byte: u8, cut in 0..400_usize) {
        let mut nearly = content(&entry());
        let position = position % nearly.len();
        nearly[position] = byte;
        for garbage in [nearly.clone(), nearly[..cut.min(nearly.len())].to_vec()] {
            let garbage = sealed(garbage);
            if let Ok(entry) = decode(&garbage) {
                prop_assert_eq!(encode(&entry), garbage);
            }
        }
    }
}

fn stored(entry: Entry, expires: u64) -> Stored {
    Stored { entry: Arc::new(entry), expires: at(expires) }
}

const fn lease(name: u128, until: u64) -> Lease {
    Lease { name: RecordName(name), until: at(until) }
}

/// Versions rise with every change, and a key that was forgotten goes on from the index's clock.
#[test]
fn versions_only_rise() {
    for (before, now, expected) in [(None, 50, 50), (Some(7), 50, 50), (Some(50), 50, 51), (Some(90), 50, 91)]
    {
        assert_eq!(Version::next(before.map(Version), at(now)), Version(expected), "{before:?} at {now}");
    }
}

/// A lease keeps what is stored and its time; beyond its time what was stored is gone, and the lease does not
/// bring it back.
#[test]
fn a_lease_never_prolongs_a_manifest() {
    let before = stored(Entry { leases: Vec::new(), ..entry() }, 100);
    for (now, is_stored, expires) in [(90, true, 100), (99, true, 100), (100, false, 200), (150, false, 200)]
    {
        let after =
            Stored::leased(Some(&before), before.entry.key, lease(6, 200), at(now)).expect("there is room");
        assert_eq!((after.entry.manifest.is_some(), after.expires), (is_stored, at(expires)), "at {now}");
        assert_eq!(after.entry.leases, [lease(6, 200)]);
        assert_eq!(after.entry.generation, Generation(3));
    }
}

/// Leases that ran out make room; one more than the bound is refused, and a renewal takes its own place.
#[test]
fn leases_are_bounded() {
    let key = entry().key;
    let mut full = None;
    for name in 0..UPLOADS_MAX as u128 {
        full = Some(Stored::leased(full.as_ref(), key, lease(name, 10), at(1)).expect("there is room"));
    }
    assert_eq!(Stored::leased(full.as_ref(), key, lease(99, 10), at(9)), None);
    let renewed = Stored::leased(full.as_ref(), key, lease(0, 20), at(9)).expect("its own place");
    assert_eq!(renewed.entry.leases.len(), UPLOADS_MAX);
    assert_eq!(renewed.entry.lease(RecordName(0)), Some(&lease(0, 20)));
    let later = Stored::leased(full.as_ref(), key, lease(99, 20), at(10)).expect("the others ran out");
    assert_eq!(later.entry.leases, [lease(99, 20)]);
}

/// Publishing takes the place of the lease and of what was stored; other uploads keep theirs.
#[test]
fn a_manifest_takes_the_place_of_its_lease() {
    let before = stored(Entry { leases: [lease(6, 90), lease(7, 90)].into(), ..entry() }, 100);
    let new = Arc::new(Record { name: RecordName(6), ..record() });
    let completed = Completed { record: Arc::clone(&new), digest: BodyDigest(1), in_row: None };
    let after = Stored::published(Some(&before), completed, at(10), at(300));
    let version = Version(before.entry.version.0 + 1);
    let manifest = Manifest { record: new, version, stored_at: at(10), digest: BodyDigest(1), in_row: None };
    let expected = Entry { version, leases: [lease(7, 90)].into(), manifest: Some(manifest), ..entry() };
    assert_eq!(after, stored(expected, 300));
}

/// No blob is published without a lease: this is what purges and the collector rely on.
#[test]
#[should_panic = "a blob is leased before it is published"]
fn nothing_is_published_without_its_lease() {
    let completed = Completed { record: Arc::new(record()), digest: BodyDigest(1), in_row: None };
    Stored::published(Some(&stored(entry(), 100)), completed, at(8), at(300));
}

/// A body in the row takes the place of what was stored, and of no lease.
#[test]
fn a_body_in_the_row_needs_no_lease() {
    let before = stored(Entry { leases: [lease(7, 90)].into(), ..entry() }, 100);
    let (new, in_row) =
        (Arc::new(Record { name: RecordName(6), ..record() }), Some(Bytes::from_static(b"body")));
    let completed = Completed { record: Arc::clone(&new), digest: BodyDigest(1), in_row: in_row.clone() };
    let after = Stored::published(Some(&before), completed.clone(), at(10), at(300));
    let version = Version(before.entry.version.0 + 1);
    let manifest = Manifest { record: new, version, stored_at: at(10), digest: BodyDigest(1), in_row };
    assert_eq!((manifest.blob(), after.entry.names(RecordName(6))), (None, false));
    let expected = Entry { version, leases: [lease(7, 90)].into(), manifest: Some(manifest), ..entry() };
    assert_eq!(after, stored(expected, 300));
    let first = Stored::published(None, completed, at(10), at(300));
    assert_eq!((first.entry.version, first.entry.generation), (Version(10), Generation(0)));
}

/// A purge takes what is stored and every lease, and raises the generation; a repair and a sweep leave the
/// generation.
#[test]
fn only_a_purge_raises_the_generation() {
    let before = stored(entry(), 100);
    let version = Version(before.entry.version.0 + 1);
    let vacant = Entry { version, leases: Vec::new(), manifest: None, ..entry() };

    let purged = Stored::purged(Some(&before), before.entry.key, at(1), at(50));
    assert_eq!(purged, stored(Entry { generation: Generation(4), ..vacant.clone() }, 50));
    let never_stored = Stored::purged(None, before.entry.key, at(1), at(50));
    let remembered = Entry { version: Version(1), generation: Generation(1), ..vacant.clone() };
    assert_eq!(never_stored, stored(remembered, 50));

    let emptied = before.emptied(at(1));
    assert_eq!(emptied, stored(Entry { leases: entry().leases, ..vacant.clone() }, 100));
    assert_eq!(before.swept(at(9)), stored(Entry { manifest: entry().manifest, ..vacant.clone() }, 100));
    assert_eq!(before.swept(at(100)), stored(vacant, 100));
}
