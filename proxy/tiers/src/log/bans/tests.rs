use super::*;
use tiergate_engine::{PurgeMode, Selector, Tag, WallTime};

fn ban(number: u64) -> Ban {
    let tag = Tag::new(&format!("t{number}")).expect("letters and a number");
    Ban { selector: Selector::Tag(tag), mode: PurgeMode::Hard, at: WallTime::from_unix_millis(number) }
}

fn list(numbers: std::ops::Range<u64>) -> Bans {
    let mut bans = Bans::default();
    for number in numbers {
        bans.push(ban(number));
    }
    bans
}

fn whole(sequence: u64, numbers: std::ops::Range<u64>) -> Area {
    decode(&encode(sequence, &list(numbers)))
}

fn found(one: Area, two: Area) -> Vec<Ban> {
    match judge(one, two) {
        FoundBans::Whole(areas) => areas.in_force(),
        FoundBans::Lost => panic!("they are not lost"),
    }
}

/// Crash by crash: of two whole areas the newer counts; beside a torn one, the other; before the first, none.
#[test]
fn a_crash_leaves_what_was_acknowledged() {
    let (older, newer) = ([ban(1)], [ban(1), ban(2)]);
    assert_eq!(found(whole(5, 1..3), whole(4, 1..2)), newer);
    assert_eq!(found(whole(4, 1..2), whole(5, 1..3)), newer);
    assert_eq!(found(Area::Torn, whole(4, 1..2)), older);
    assert_eq!(found(whole(4, 1..2), Area::Torn), older);
    assert_eq!(found(whole(4, 1..2), Area::Blank), older);
    for (one, two) in [(Area::Blank, Area::Blank), (Area::Torn, Area::Blank)] {
        assert_eq!(found(one, two), []);
    }
}

/// Damage to both areas is not taken for an empty list.
#[test]
fn what_is_lost_is_known_to_be_lost() {
    assert!(matches!(judge(Area::Torn, Area::Torn), FoundBans::Lost));
}

/// The area that is not whole, or older, is written first: a crash in the middle leaves the other.
#[test]
fn the_worse_area_is_written_first() {
    let first = |one, two| match judge(one, two) {
        FoundBans::Whole(areas) => areas.first,
        FoundBans::Lost => panic!("they are not lost"),
    };
    assert_eq!(first(whole(5, 1..3), Area::Torn), 1);
    assert_eq!(first(whole(5, 1..3), whole(4, 1..2)), 1);
    assert_eq!(first(Area::Torn, whole(5, 1..3)), 0);
    assert_eq!(first(whole(4, 1..2), whole(5, 1..3)), 0);
}

/// A list cut short anywhere, or with any bit of it changed, is not whole.
#[test]
fn a_damaged_area_is_not_whole() {
    let bytes = encode(9, &list(0..3));
    let used = length(&bytes).expect("it is whole");
    assert!(matches!(decode(&bytes), Area::Whole { sequence: 9, .. }));
    for cut in 0..used {
        assert!(matches!(decode(&bytes[..cut]), Area::Torn), "{cut} bytes");
        let mut torn = bytes[..cut].to_vec();
        torn.resize(bytes.len(), 0);
        let is_same = torn == bytes;
        assert!(is_same || matches!(decode(&torn), Area::Torn), "{cut} bytes, then zeros");
    }
    for bit in 0..8 * used {
        let mut rotten = bytes.to_vec();
        rotten[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(decode(&rotten), Area::Torn), "bit {bit}");
    }
}

/// As many bans as may be in force, each as long as it can be, fit into an area and come back.
#[test]
fn the_longest_list_fits() {
    let mut bans = Bans::default();
    for number in 0..BANS_MAX {
        let path = format!("/{number:04}{}", "x".repeat(PREFIX_BYTES_MAX - 10));
        let prefix = tiergate_engine::Prefix::new("a.b", &path).expect("it is not too long");
        bans.push(Ban {
            selector: Selector::Prefix(prefix),
            mode: PurgeMode::Soft,
            at: WallTime::from_unix_millis(number as u64),
        });
    }
    let bytes = encode(1, &bans);
    assert!(bytes.len() as u64 <= BAN_AREA_BYTES, "{} bytes", bytes.len());
    assert!(bytes.len() > 2 << 20, "{} bytes", bytes.len());
    let Area::Whole { bans: read, .. } = decode(&bytes) else { panic!("it is whole") };
    assert_eq!(read, bans.iter().cloned().collect::<Vec<_>>());
}

tiergate_fuzz::target!(
    /// A list that decodes says nothing that its bytes do not.
    log_bans,
    [encode(3, &list(0..0)).to_vec(), encode(9, &list(0..3)).to_vec()],
    |bytes: &[u8]| {
        if let Area::Whole { sequence, bans } = decode(bytes) {
            let mut taken = Bans::default();
            for ban in &bans {
                taken.push(ban.clone());
            }
            let again = decode(&encode(sequence, &taken));
            assert!(matches!(again, Area::Whole { sequence: same, .. } if same == sequence));
        }
    }
);
