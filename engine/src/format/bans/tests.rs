use super::*;
use crate::parts::bans::Bans;
use proptest::prelude::*;
use std::{string::String, vec};

fn ban(selector: Selector, mode: PurgeMode, at: u64) -> Ban {
    Ban { selector, mode, at: WallTime::from_unix_millis(at) }
}

fn tag(text: &str) -> Selector {
    Selector::Tag(Tag::new(text).expect("a tag"))
}

fn prefix(authority: &str, path: &str) -> Selector {
    Selector::Prefix(Prefix::new(authority, path).expect("a prefix"))
}

/// One of each kind, oldest first.
fn all_kinds() -> Vec<Ban> {
    vec![
        ban(Selector::Key(CacheKey(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100)), PurgeMode::Soft, 1),
        ban(tag("tgbn"), PurgeMode::Hard, 0x0102_0304_0506_0708),
        ban(prefix("ab", "/c"), PurgeMode::Soft, 9),
        ban(Selector::All, PurgeMode::Hard, 10),
    ]
}

fn log(bans: &[Ban]) -> Vec<u8> {
    bans.iter().flat_map(encode_ban).collect()
}

/// `content` with its size and a checksum that fits.
fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    let size = u32::try_from(content.len() + CHECKSUM).expect("a short one");
    content[6..PREAMBLE].copy_from_slice(&size.to_le_bytes());
    let checksum = checksum(&content);
    content.extend_from_slice(&checksum);
    content
}

/// The layout, byte for byte. If this goes red, stored bans are lost with the change: raise `VERSION`.
#[test]
fn the_layout_is_the_documented_one() {
    let [key, tag, prefix, all] = [
        [&[1, 0, 0, 0, 0, 0, 0, 0, 1, 0][..], &(0..16).collect::<Vec<u8>>()].concat(),
        b"\x08\x07\x06\x05\x04\x03\x02\x01\x00\x01tgbn".to_vec(),
        b"\x09\0\0\0\0\0\0\0\x01\x02\x02\0ab/c".to_vec(),
        b"\x0a\0\0\0\0\0\0\0\x00\x03".to_vec(),
    ];
    for (ban, expected) in all_kinds().iter().zip([key, tag, prefix, all]) {
        let bytes = encode_ban(ban);
        let (content, written) = bytes.split_at(bytes.len() - CHECKSUM);
        let size = u8::try_from(bytes.len()).expect("a short one");
        assert_eq!(content, [&b"TGBN\x01\0"[..], &[size, 0, 0, 0], &expected].concat(), "{ban:?}");
        assert_eq!(written, &blake3::hash(content).as_bytes()[..CHECKSUM]);
    }
}

/// A log that is cut anywhere holds the bans before the cut, and says whether it ends cleanly.
#[test]
fn every_truncation_leaves_what_is_whole() {
    let bans = all_kinds();
    let bytes = log(&bans);
    let ends: Vec<usize> = (0..=bans.len()).map(|count| log(&bans[..count]).len()).collect();
    for cut in 0..=bytes.len() {
        let count = ends.iter().filter(|end| **end <= cut).count() - 1;
        let ending = if ends.contains(&cut) { LogEnding::Clean } else { LogEnding::Torn };
        let expected = BanLog { bans: bans[..count].to_vec(), ending };
        assert_eq!(decode_bans(&bytes[..cut]), Ok(expected), "cut at {cut}");
    }
}

/// A single ban with any one bit turned over, or cut anywhere, is refused.
#[test]
fn every_flipped_bit_and_every_cut_of_a_ban_is_refused() {
    for ban in all_kinds() {
        let bytes = encode_ban(&ban);
        assert_eq!(decode_ban(&bytes), Ok((ban, bytes.len())));
        for bit in 0..8 * bytes.len() {
            let mut rotten = bytes.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            let error = decode_ban(&rotten).expect_err("a bit is wrong");
            match (bit / 8, error) {
                (0..4, BanError::Magic)
                | (6..PREAMBLE, BanError::Size | BanError::TooShort | BanError::Checksum)
                | (4..6 | PREAMBLE.., BanError::Checksum) => {}
                (byte, error) => panic!("bit {bit} in byte {byte}: {error:?}"),
            }
        }
        for cut in 0..bytes.len() {
            assert_eq!(decode_ban(&bytes[..cut]), Err(BanError::TooShort), "cut at {cut}");
        }
    }
}

/// Whatever bit of a log turns over: what it purged stays purged, but for the last ban, which cannot be told
/// from a torn one.
#[test]
fn every_flipped_bit_of_a_log_loses_at_most_the_last_ban() {
    let bans = [all_kinds(), all_kinds()].concat();
    let bytes = log(&bans);
    for bit in 0..8 * bytes.len() {
        let mut rotten = bytes.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        let found = decode_bans(&rotten).expect("no other version passes its checksum");
        assert_eq!(found.ending, LogEnding::Torn, "bit {bit}");
        for kept in &bans[..bans.len() - 1] {
            let is_kept = found.bans.iter().any(|ban| {
                let is_all = ban.selector == Selector::All && ban.mode == PurgeMode::Hard;
                (ban.selector == kept.selector && ban.mode == kept.mode || is_all) && kept.at <= ban.at
            });
            assert!(is_kept, "bit {bit} lost {kept:?}");
        }
    }
}

/// Values that no ban has are refused by name, although the checksum fits, and so is a whole ban of another
/// version; a log with one is not read at all.
#[test]
fn impossible_values_are_refused() {
    let with = |ban: usize, at: usize, bytes: &[u8]| {
        let mut content = encode_ban(&all_kinds()[ban]);
        content.truncate(content.len() - CHECKSUM);
        content[at..at + bytes.len()].copy_from_slice(bytes);
        let bytes = sealed(content);
        let error = decode_ban(&bytes).expect_err("the value is impossible");
        let around = [log(&all_kinds()), bytes, log(&all_kinds())].concat();
        assert_eq!(decode_bans(&around), Err(error));
        error
    };
    let wrong = |field| BanError::Field { field };
    assert_eq!(with(0, 18, &[2]), wrong(BanField::Mode));
    assert_eq!(with(0, 19, &[4]), wrong(BanField::Kind));
    assert_eq!(with(0, 19, &[3]), wrong(BanField::Selector));
    assert_eq!(with(1, 19, &[0]), wrong(BanField::Selector));
    assert_eq!(with(1, 20, b"T"), wrong(BanField::Selector));
    assert_eq!(with(1, 20, b"\xff"), wrong(BanField::Selector));
    assert_eq!(with(2, 20, &[9]), wrong(BanField::Selector));
    assert_eq!(with(2, 22, b"A"), wrong(BanField::Selector));
    assert_eq!(with(0, 4, &[2]), BanError::Version { found: 2 });
    assert_eq!(decode_ban(b"not a ban"), Err(BanError::Magic));
    assert_eq!(decode_ban(b"TGBN\x01\0\x11\0\0\0"), Err(BanError::Size));
}

fn any_ban() -> impl Strategy<Value = Ban> {
    let selector = prop_oneof![
        any::<u128>().prop_map(|key| Selector::Key(CacheKey(key))),
        "[!-+.-~--]{1,40}".prop_map(|text: String| tag(&text)),
        ("[a-z0-9.:]{1,20}", "/[!-~]{0,60}").prop_map(|(authority, path)| prefix(&authority, &path)),
        Just(Selector::All),
    ];
    let mode = prop_oneof![Just(PurgeMode::Hard), Just(PurgeMode::Soft)];
    (selector, mode, any::<u64>()).prop_map(|(selector, mode, at)| ban(selector, mode, at))
}

proptest! {
    /// What is encoded comes back equal, alone and in a log.
    #[test]
    fn every_ban_comes_back(bans in prop::collection::vec(any_ban(), 0..20)) {
        let expected = BanLog { bans: bans.clone(), ending: LogEnding::Clean };
        prop_assert_eq!(decode_bans(&log(&bans)), Ok(expected));
    }

    /// Whatever is decoded, there is an answer; and what passes is exactly what encoding writes.
    #[test]
    fn sealed_garbage_never_panics(
        garbage in prop::collection::vec(any::<u8>(), 0..100),
        kind in 0..5_u8,
        mode in 0..3_u8,
    ) {
        let _ = decode_bans(&garbage);
        let front = [&b"TGBN\x01\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08"[..], &[mode, kind]].concat();
        let bytes = sealed([front, garbage].concat());
        if let Ok((ban, size)) = decode_ban(&bytes) {
            prop_assert_eq!(size, bytes.len());
            prop_assert_eq!(encode_ban(&ban), bytes);
        }
    }

    /// A log of any length, taken in by the list of those in force, is bounded.
    #[test]
    fn what_is_taken_in_is_bounded(bans in prop::collection::vec(any_ban(), 0..600)) {
        let mut taken = Bans::default();
        for ban in decode_bans(&log(&bans)).expect("it is of this version").bans {
            taken.push(ban);
        }
        prop_assert!(taken.iter().count() <= crate::parts::bans::BANS_MAX + 2);
    }
}
