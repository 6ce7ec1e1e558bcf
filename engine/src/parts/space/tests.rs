//! The space against a naive map, and the queues of each policy, dumped whole.

use super::Space;
use crate::{
    config::{Eviction, Objective},
    language::{key::CacheKey, units::ByteCount},
    parts::random::Seed,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, format, string::String, vec::Vec};

fn space_for(capacity: u64, eviction: Eviction, objective: Objective) -> Space<u64> {
    Space::new(ByteCount(capacity), eviction, objective, &mut Seed(1).split("space"))
}

fn space(capacity: u64, eviction: Eviction) -> Space<u64> {
    space_for(capacity, eviction, Objective::Requests)
}

/// Evicts and inserts; says who left.
fn admit(space: &mut Space<u64>, key: u64, size: u64) -> Vec<u64> {
    space.remove_replaced(CacheKey(key.into()));
    let mut left = Vec::new();
    while let Some(victim) = space.evict_for(CacheKey(key.into()), ByteCount(size)) {
        left.push(number_of(victim.key));
    }
    space.insert(CacheKey(key.into()), ByteCount(size), key);
    left
}

/// The number that a key was made from.
fn number_of(key: CacheKey) -> u64 {
    key.0.try_into().expect("the test made it from 64 bits")
}

fn use_of(space: &mut Space<u64>, key: u64) {
    let slot = space.find(CacheKey(key.into())).expect("the test put it in");
    space.on_used(slot);
}

/// Admits keys of size 10 and uses `!key`s, from a text like `1 2 !1 3`; says who left.
fn play(space: &mut Space<u64>, steps: &str) -> Vec<u64> {
    let number = |text: &str| text.parse().expect("the test has numbers here");
    steps
        .split_whitespace()
        .flat_map(|step| match step.strip_prefix('!') {
            Some(key) => {
                use_of(space, number(key));
                Vec::new()
            }
            None => admit(space, number(step), 10),
        })
        .collect()
}

/// All queues, oldest first.
fn dump(space: &Space<u64>) -> String {
    let queue = |(name, keys): &(&str, Vec<CacheKey>)| {
        let keys: Vec<_> = keys.iter().map(|key| format!(" {}", key.0)).collect();
        format!("{name}:{}", keys.concat())
    };
    space.dump().iter().map(queue).collect::<Vec<_>>().join("; ")
}

/// LRU: the one not used for longest leaves first, whatever its size.
#[test]
fn lru_evicts_the_least_recently_used() {
    let mut space = space(30, Eviction::Lru);
    assert_eq!(play(&mut space, "1 2 3 !1"), [0_u64; 0]);
    assert_eq!(dump(&space), "queue: 2 3 1");
    assert_eq!(admit(&mut space, 4, 15), [2, 3]);
    assert_eq!(dump(&space), "queue: 1 4");
    assert_eq!(space.used(), ByteCount(25));
}

/// SIEVE: a use marks and moves nothing; the hand takes marks off, and goes on where it evicted.
#[test]
fn sieve_evicts_where_the_hand_finds_no_mark() {
    let mut space = space(40, Eviction::Sieve);
    assert_eq!(play(&mut space, "1 2 3 4 !1 !2 !4"), [0_u64; 0]);
    assert_eq!(dump(&space), "queue: 1 2 3 4; marked: 1 2 4; hand:");
    assert_eq!(play(&mut space, "5"), [3]);
    assert_eq!(dump(&space), "queue: 1 2 4 5; marked: 4; hand: 4");
    assert_eq!(play(&mut space, "6"), [5], "4 is spared, and the newest is next");
    assert_eq!(dump(&space), "queue: 1 2 4 6; marked:; hand:", "it is at the end, and goes on at the oldest");
    assert_eq!(play(&mut space, "7"), [1]);
    space.remove(CacheKey(2));
    assert_eq!(dump(&space), "queue: 4 6 7; marked:; hand: 4", "the hand goes on from what is removed");
    assert_eq!(play(&mut space, "8 9"), [4]);
}

/// S3-FIFO: two uses lead from the small queue to the main one, fewer lead out; a ghost comes back into the
/// main one, and a use is worth one more round there.
#[test]
fn s3_fifo_sends_newcomers_out_and_ghosts_to_the_main_queue() {
    let mut space = space(200, Eviction::S3Fifo);
    assert_eq!(play(&mut space, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 !1 !1 !2"), [0_u64; 0]);
    assert_eq!(dump(&space), "small: 1 2; main: 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20");
    assert_eq!(play(&mut space, "21"), [2], "1 was used twice");
    assert_eq!(dump(&space), "small: 21; main: 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 1");
    assert_eq!(play(&mut space, "22"), [3], "the main queue has more than its part");
    assert_eq!(play(&mut space, "2"), [21]);
    assert_eq!(dump(&space), "small: 22; main: 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 1 2");
    assert_eq!(play(&mut space, "!4 23"), [5], "4 has one more round");
    assert_eq!(dump(&space), "small: 22 23; main: 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 1 2 4");
}

/// S3-FIFO admits nothing that would fill its small queue, and evicts nobody for it.
#[test]
fn s3_fifo_has_no_room_for_a_tenth() {
    let space = space(200, Eviction::S3Fifo);
    assert!(space.fits(ByteCount(19)));
    assert!(!space.fits(ByteCount(20)));
}

/// W-TinyLFU: what leaves the window goes unless it was seen more often than the oldest on probation; a use
/// protects.
#[test]
fn w_tiny_lfu_compares_newcomers_with_who_would_go_for_them() {
    let mut space = space(1_000, Eviction::WTinyLfu);
    for key in 1..=100 {
        assert_eq!(admit(&mut space, key, 10), [0_u64; 0]);
    }
    assert_eq!(
        play(&mut space, "101"),
        [100],
        "all but one fit behind the window; it was seen no more than 1"
    );
    let queues = |space: &Space<u64>| dump(space).replace(" 4 5 6 7 8 9 ", " .. ");
    assert!(queues(&space).starts_with("window: 101; probation: 1 2 3 .. 10 "), "{}", queues(&space));
    assert_eq!(play(&mut space, "!1 !101 102"), [2], "101 was seen twice, and 1 is protected");
    assert!(queues(&space).starts_with("window: 101 102; probation: 3 .. 10 "), "{}", queues(&space));
    assert_eq!(play(&mut space, "2"), [102], "101 has the room of 2 now");
    assert!(queues(&space).starts_with("window: 2; probation: 3 .. 10 "), "{}", queues(&space));
    assert!(queues(&space).ends_with(" 97 98 99 101; protected: 1"), "{}", queues(&space));
    assert_eq!(play(&mut space, "103"), [3], "2 is remembered");
}

/// GDSF: one large object leaves before several small ones that are used as often.
#[test]
fn gdsf_evicts_the_large_before_the_small() {
    for eviction in [Eviction::Gdsf, Eviction::GhostGdsf] {
        let mut space = space(100, eviction);
        admit(&mut space, 1, 80);
        admit(&mut space, 2, 10);
        admit(&mut space, 3, 10);
        assert_eq!(admit(&mut space, 4, 10), [1], "{eviction:?}");
        assert!(dump(&space).ends_with(": 2 3 4"), "{eviction:?}: {}", dump(&space));
    }
}

/// GDSF for bytes: size is no reason to go.
#[test]
fn gdsf_for_bytes_evicts_the_less_used() {
    for eviction in [Eviction::Gdsf, Eviction::GhostGdsf] {
        let mut space = space_for(100, eviction, Objective::Bytes);
        admit(&mut space, 1, 80);
        admit(&mut space, 2, 10);
        admit(&mut space, 3, 10);
        use_of(&mut space, 1);
        assert_eq!(admit(&mut space, 4, 10), [2], "{eviction:?}");
    }
}

/// GDSF: a use ranks at once, by size and count, above whoever left last.
#[test]
fn gdsf_ranks_by_uses_and_size() {
    let mut space = space(100, Eviction::Gdsf);
    for (key, size) in [(1, 40), (2, 20), (3, 10), (4, 30)] {
        admit(&mut space, key, size);
    }
    assert_eq!(dump(&space), "heap: 1 4 2 3");
    play(&mut space, "!1 !1 !4");
    assert_eq!(dump(&space), "heap: 2 4 1 3", "1/20, 2/30, 3/40 and 1/10");
    assert_eq!(admit(&mut space, 5, 20), [2]);
    assert_eq!(
        dump(&space),
        "heap: 4 1 3 5",
        "the floor is 1/20 now, so that 5 has as much as 3, and came later"
    );
    space.remove(CacheKey(1));
    assert_eq!(dump(&space), "heap: 4 3 5");
}

/// GDSF ages: what was used often long ago leaves once enough has come and gone.
#[test]
fn gdsf_lets_old_favourites_go() {
    for (eviction, objective) in [
        (Eviction::Gdsf, Objective::Requests),
        (Eviction::Gdsf, Objective::Bytes),
        (Eviction::GhostGdsf, Objective::Requests),
        (Eviction::GhostGdsf, Objective::Bytes),
    ] {
        let mut space = space_for(20, eviction, objective);
        admit(&mut space, 1, 10);
        for _ in 0..5 {
            use_of(&mut space, 1);
        }
        // Each comes twice, so that none of them is a newcomer for ever.
        let gone = (2..100).any(|key| play(&mut space, &format!("{key} !{key}")).contains(&1));
        assert!(gone, "{eviction:?} for {objective:?}: the favourite of old never left");
    }
}

/// Ghost-GDSF for requests: a use ranks nothing until its object would leave; who comes back has its count
/// again.
#[test]
fn ghost_gdsf_ranks_late_and_remembers() {
    let mut space = space(30, Eviction::GhostGdsf);
    assert_eq!(play(&mut space, "1 2 3 !1"), [0_u64; 0]);
    assert_eq!(dump(&space), "newcomers:; ranked: 1 2 3");
    assert_eq!(play(&mut space, "4"), [2], "1 was used, and is ranked anew");
    assert_eq!(dump(&space), "newcomers:; ranked: 3 4 1", "4 is new, and 1 was used twice");
    assert_eq!(play(&mut space, "2"), [3]);
    assert_eq!(play(&mut space, "5 6"), [4, 1], "2 came back with a count of two, and outlives 1");
    assert_eq!(dump(&space), "newcomers:; ranked: 5 2 6");
}

/// Ghost-GDSF: of what goes round and round, and is more than fits, a part stays from the fourth round on,
/// for the rest ranks last.
#[test]
fn ghost_gdsf_keeps_a_part_of_a_loop() {
    for objective in [Objective::Requests, Objective::Bytes] {
        let mut space = space_for(30, Eviction::GhostGdsf, objective);
        let hits_of_rounds: Vec<usize> = (0..8)
            .map(|_| {
                let is_hit = |key: &u64| {
                    let is_in = space.find(CacheKey((*key).into())).is_some();
                    play(&mut space, &if is_in { format!("!{key}") } else { format!("{key}") });
                    is_in
                };
                (1..=5).filter(is_hit).count()
            })
            .collect();
        assert_eq!(hits_of_rounds, [0, 0, 0, 2, 2, 2, 2, 2], "{objective:?}");
        assert_eq!(dump(&space), "newcomers:; ranked: 3 4 5", "{objective:?}");
    }
}

/// Ghost-GDSF: what is replaced in even steps, as it grows stale, is no loop if it is used in between.
#[test]
fn ghost_gdsf_takes_no_replacement_for_a_loop() {
    let mut space = space(100, Eviction::GhostGdsf);
    assert_eq!(play(&mut space, "1 !1 2 3 1 !1 4 5 1 !1 6 7 1"), [0_u64; 0]);
    assert_eq!(dump(&space), "newcomers:; ranked: 2 3 4 5 6 7 1");
}

/// Ghost-GDSF for bytes: newcomers leave first, oldest first, unless they were used; who comes back soon is
/// none.
#[test]
fn ghost_gdsf_for_bytes_has_a_queue_for_newcomers() {
    let mut space = space_for(100, Eviction::GhostGdsf, Objective::Bytes);
    assert_eq!(play(&mut space, "1 2 3 4 5 6 7 8 9 10 !1 !3"), [0_u64; 0]);
    assert_eq!(dump(&space), "newcomers: 1 2 3 4 5 6 7 8 9 10; ranked:");
    assert_eq!(play(&mut space, "11 12"), [2, 4]);
    assert_eq!(dump(&space), "newcomers: 5 6 7 8 9 10 11 12; ranked: 1 3");
    assert_eq!(play(&mut space, "2"), [5]);
    assert_eq!(dump(&space), "newcomers: 6 7 8 9 10 11 12; ranked: 1 3 2");
}

/// What is replaced was asked for again: its count goes on, and it is no newcomer.
#[test]
fn a_replacement_is_remembered() {
    let mut space = space_for(100, Eviction::GhostGdsf, Objective::Bytes);
    assert_eq!(play(&mut space, "1 2 1"), [0_u64; 0]);
    assert_eq!(dump(&space), "newcomers: 2; ranked: 1");
    let mut space = self::space(200, Eviction::S3Fifo);
    assert_eq!(play(&mut space, "1 2 1"), [0_u64; 0]);
    assert_eq!(dump(&space), "small: 2; main: 1");
    space.remove(CacheKey(1));
    assert_eq!(play(&mut space, "1"), [0_u64; 0]);
    assert_eq!(dump(&space), "small: 2 1; main:", "what is purged is not remembered");
}

fn policies() -> impl Strategy<Value = (Eviction, Objective)> {
    (
        prop::sample::select(&Eviction::ALL[..]),
        prop::sample::select(&[Objective::Requests, Objective::Bytes][..]),
    )
}

proptest! {
    /// After any history the sum equals the sizes present, stays within capacity, and lookups agree with a
    /// map. The queues hold each object once. What could not fit is not asked to, and so evicts nobody.
    #[test]
    fn accounting_is_exact(
        steps in proptest::collection::vec((0_u64..40, 0_u64..60, 0_u8..4), 1..300),
        (eviction, objective) in policies(),
    ) {
        let mut space = space_for(100, eviction, objective);
        let mut naive: BTreeMap<u64, u64> = BTreeMap::new();
        for (key, size, step) in steps {
            match step {
                0 | 1 => if space.fits(ByteCount(size)) {
                    naive.remove(&key);
                    for victim in admit(&mut space, key, size) {
                        prop_assert!(naive.remove(&victim).is_some(), "{victim} left but was not in");
                    }
                    naive.insert(key, size);
                },
                2 => prop_assert_eq!(
                    space.remove(CacheKey(key.into())).map(|left| left.size.0),
                    naive.remove(&key)
                ),
                _ => if naive.contains_key(&key) { use_of(&mut space, key) },
            }
            prop_assert_eq!(space.used().0, naive.values().sum::<u64>());
            prop_assert_eq!(space.recount(), space.used());
            prop_assert_eq!(space.len(), naive.len() as u64);
            prop_assert!(space.used() <= space.capacity());
            for key in 0..40 {
                prop_assert_eq!(space.find(CacheKey(key.into())).is_some(), naive.contains_key(&key));
            }
            // Marks and the hand are no queues.
            let mut queued: Vec<_> = (space.dump().into_iter())
                .filter(|(name, _)| !["marked", "hand"].contains(name))
                .flat_map(|(_, keys)| keys)
                .collect();
            queued.sort();
            prop_assert_eq!(queued, naive.keys().map(|key| CacheKey((*key).into())).collect::<Vec<_>>());
        }
        // Everybody leaves if room for the whole capacity is asked for, once each.
        let mut left = Vec::new();
        while let Some(victim) = space.evict_for(CacheKey(99), ByteCount(100)) {
            left.push(number_of(victim.key));
        }
        left.sort_unstable();
        let nonempty: Vec<_> = naive.keys().copied().collect();
        prop_assert!(left.iter().all(|key| naive.contains_key(key)));
        prop_assert_eq!(space.used(), ByteCount::ZERO);
        prop_assert!(left.len() <= nonempty.len());
    }
}
