use super::*;
use crate::{parts::random::Random, store::RawGeometry};
use std::{collections::BTreeMap, vec};

fn geometry(segments: u32) -> Geometry {
    let raw = RawGeometry { segments, segment_bytes: 64 * 512, sector_bytes: 512, block_bytes: 4 * 512 };
    raw.try_into().expect("the bounds hold")
}

fn key(number: u64) -> StoredKey {
    StoredKey::plain(CacheKey(number.into()))
}

/// Small objects of one sector, one after the other, from `numbers`.
fn fill(index: &mut LogIndex<u64>, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        index.insert(key(number), 100, ByteCount(100), number).expect("it is small");
    }
}

fn left(index: &mut LogIndex<u64>) -> Vec<u64> {
    index.take_left().map(|(_, value)| value).collect()
}

/// Newcomers that were not used leave in the order in which they came, and only where room is needed.
#[test]
fn who_was_not_used_leaves_first_in_first_out() {
    let mut index = LogIndex::new(geometry(16), Seed(1));
    fill(&mut index, 0..600);
    assert_eq!(left(&mut index), [0; 0]);
    fill(&mut index, 600..2_000);
    let gone = left(&mut index);
    assert_eq!(gone, (0..gone.len() as u64).collect::<Vec<_>>());
    assert_eq!(index.len(), 2_000 - gone.len() as u64);
    assert!((11 * 50..16 * 64).contains(&index.len()), "{} objects are held", index.len());
    assert_eq!(index.written().moved, 0);
}

/// A newcomer that was used outlives thousands that were not; looking without using keeps nobody.
#[test]
fn who_was_used_moves_to_main() {
    let mut index = LogIndex::new(geometry(16), Seed(1));
    fill(&mut index, 0..100);
    assert_eq!(index.use_of(key(7)).copied(), Some(7));
    assert_eq!(index.find(key(8)), Some(&8));
    fill(&mut index, 100..5_000);
    assert_eq!((index.find(key(7)), index.find(key(8))), (Some(&7), None));
    assert_eq!(index.written().moved, 512);
}

/// Who left and comes back is in main at once, so it outlives newcomers that came after it.
#[test]
fn who_comes_back_outlives_newcomers() {
    let mut index = LogIndex::new(geometry(16), Seed(1));
    fill(&mut index, 0..1_200);
    assert_eq!(index.find(key(0)), None);
    fill(&mut index, [0, 10_000].into_iter());
    fill(&mut index, 2_000..5_000);
    assert_eq!((index.find(key(0)), index.find(key(10_000))), (Some(&0), None));
}

/// A restart forgets ghosts and uses, and nothing that is held.
#[test]
fn a_restart_forgets_ghosts_and_uses() {
    let mut index = LogIndex::new(geometry(16), Seed(1));
    fill(&mut index, 0..1_200);
    index.use_of(key(1_100));
    let held = index.len();
    index.restart();
    assert_eq!(index.len(), held);
    fill(&mut index, [0].into_iter().chain(2_000..5_000));
    assert_eq!((index.find(key(0)), index.find(key(1_100))), (None, None));
}

/// An object of several blocks leaves, moves and is removed as a whole. A quarter of the device is the
/// largest.
#[test]
fn large_objects_are_whole() {
    let mut index = LogIndex::new(geometry(32), Seed(1));
    let device = 32 * 64 * 512;
    assert_eq!(index.insert(key(1), 100, ByteCount(device / 4 + 1), 1), Err(TooLarge));
    assert_eq!(index.insert(key(1), 64 * 512, ByteCount(1), 1), Err(TooLarge));
    assert_eq!((index.len(), index.written().appended), (0, 0));
    let body = ByteCount(100_000);
    for number in 0..3 {
        index.insert(key(number), 100, body, number).expect("it fits");
    }
    assert_eq!(index.used(), ByteCount(3 * 209 * 512));
    index.use_of(key(1));
    fill(&mut index, 10..2_000);
    // Each is larger than what one reclaim moves, so the one that was used is remembered, and comes back to
    // main.
    assert_eq!([0, 1, 2].map(|number| index.find(key(number))), [None; 3]);
    index.insert(key(1), 100, body, 1).expect("it fits");
    fill(&mut index, 3_000..6_000);
    assert_eq!(index.find(key(1)), Some(&1));
    assert_eq!(index.remove(key(1)), Some(1));
    assert_eq!(index.used(), ByteCount(index.len() * 512));
}

/// A purge takes all of a target and nothing else, and writes a tombstone, as a deletion does.
#[test]
fn a_purge_takes_all_of_a_target() {
    let mut index = LogIndex::new(geometry(16), Seed(1));
    let variant = StoredKey { key: CacheKey(77), ..key(1) };
    for key in [key(1), variant, key(2)] {
        index.insert(key, 100, ByteCount(100), 0).expect("it fits");
    }
    let before = index.written().appended;
    let mut gone: Vec<_> = index.remove_target(CacheKey(1)).into_iter().map(|(key, _)| key).collect();
    gone.sort();
    assert_eq!(gone, vec![key(1), variant]);
    assert_eq!((index.find(key(2)), index.len()), (Some(&0), 1));
    assert_eq!(index.remove(key(3)), None);
    assert_eq!(index.written().appended - before, 2 * 2 * 512);
}

/// Whatever is inserted, used and removed, in either layout: it holds what a map holds that is told who left,
/// its sums are the map's, and what it holds fits the device.
#[test]
fn it_holds_what_a_map_would() {
    for seed in 0..6 {
        let device = LogIndex::new(geometry(6 + 8 * u32::try_from(seed).expect("it is small")), Seed(seed));
        for index in [device, LogIndex::of_bodies(ByteCount(200_000), Seed(seed))] {
            follow(&mut Seed(seed).split("log index"), index);
        }
    }
}

fn follow(random: &mut Random, mut index: LogIndex<u64>) {
    let capacity = index.layout.bytes(1) * u64::from(index.layout.segments() * index.layout.sectors());
    let mut map: BTreeMap<StoredKey, u64> = BTreeMap::new();
    for step in 0..6_000 {
        let key = key(random.below(40) * random.below(40));
        match random.below(20) {
            0 => assert_eq!(index.remove(key), map.remove(&key)),
            1 => {
                let gone = index.remove_target(key.target).len();
                assert_eq!(gone, usize::from(map.remove(&key).is_some()));
            }
            2..10 => assert_eq!(index.use_of(key).copied(), map.get(&key).copied()),
            _ => {
                let body = ByteCount(random.below(60) * random.below(60) * random.below(4));
                if index.insert(key, 100, body, step).is_ok() {
                    map.insert(key, step);
                }
            }
        }
        for (key, value) in index.take_left() {
            // What is replaced may leave while its successor is written.
            if map.get(&key) == Some(&value) {
                map.remove(&key);
            } else {
                assert_eq!(map.get(&key), Some(&step), "{key:?} left and was not there");
            }
        }
        assert_eq!(index.find(key), map.get(&key));
        assert!(index.used().0 <= capacity, "step {step}: {} bytes", index.used());
    }
    let mut held: Vec<_> = index.iter().map(|(key, value)| (key, *value)).collect();
    held.sort();
    assert_eq!(held, map.into_iter().collect::<Vec<_>>());
    assert_eq!(index.len(), held.len() as u64);
    let sum: u64 =
        index.slots.iter().filter_map(|slot| slot.object.as_ref()).map(|it| it.blocks.sectors()).sum();
    assert_eq!(index.used().0, index.layout.bytes(sum));
}
