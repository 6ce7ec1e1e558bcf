//! L2's store on the simulated device: crashes at every boundary, rot in every bit, and a device that
//! misbehaves.

use std::collections::{BTreeMap, BTreeSet};
use tiergate_engine::{
    StoredKey,
    store::{Event, Failure, Input, Op, RawGeometry, Reader, Store, Writer},
};
use tiergate_sim::disk::{
    crash::{Enumerated, Lives, check_sums, enumerate, live_again, read_all, recovered, run},
    device::{Device, DeviceFault},
    history::History,
    misbehaving::misbehave,
    objects::{Version, key},
    plan::Plan,
    shrinking::{Shrunk, enumerate_shrinking, resize_again},
};

/// Histories whose every boundary is a crash.
const HISTORIES: u64 = 20;

/// Wherever the power fails, each key is absent, old or new; what was acknowledged as durable is there, what
/// was acknowledged as deleted is not; and the sums are those of what is on the device (D4, D5).
#[test]
fn a_crash_at_any_boundary_leaves_absent_old_or_new() {
    let mut total = Enumerated::default();
    for seed in 0..HISTORIES {
        enumerate(Plan::small(seed), &mut total);
    }
    println!("{total:?}");
    for what in [
        "committed",
        "deleted",
        "freshened",
        "reclaimed",
        "dropped",
        "moved",
        "abandoned",
        "read whole",
        "read slowly",
        "synced",
        "newcomers reclaimed",
        "main reclaimed",
        "tombstones carried",
        "tombstones of dropped objects",
        "readers pointed elsewhere",
        "writers pointed elsewhere",
    ] {
        assert!(total.seen.get(what).is_some_and(|count| *count >= HISTORIES), "{what}: {total:?}");
    }
    assert!(total.boundaries > 100 * HISTORIES && total.lost > 0 && total.found > total.crashes, "{total:?}");
}

/// Without a crash, the store holds what a map would, but for what it says that it dropped; and its sums are
/// those of what is on the device.
#[test]
fn a_store_holds_what_a_map_would() {
    let mut whole = 0;
    for seed in 1_000..1_200 {
        let mut history = History::new(Plan { tasks: 300, ..Plan::small(seed) });
        while history.step() {}
        check_sums(&history);
        whole += history.seen["read whole"];
    }
    assert!(whole > 2_000, "{whole} bodies were read whole");
}

/// A store that crashes again and again goes on with what the last life left, and never reuses what was lost.
#[test]
fn many_lives_on_one_device() {
    let mut total = Lives::default();
    for seed in 2_000..2_040 {
        live_again(Plan { tasks: 30, ..Plan::small(seed) }, &mut total);
    }
    println!("{total:?}");
    assert!(total.formatted * 20 < total.lives, "{total:?}");
}

/// Whoever has a body open reads it to its end, whatever becomes of the object, and whoever writes one is not
/// stopped. Hardly any piece has no room on a device as it is usual.
#[test]
fn nobody_is_broken_off_by_a_reclaim() {
    let (mut read, mut in_memory) = (0, 0);
    for seed in 4_000..4_012 {
        let mut history = History::new(Plan::roomy(seed));
        while history.step() {}
        check_sums(&history);
        let counts = history.store.counts();
        assert_eq!(counts.writers_broken, 0, "seed {seed}");
        in_memory += counts.pieces_in_memory;
        read += counts.readers_repointed;
    }
    println!("{read} pieces of readers were moved, {in_memory} kept in memory");
    assert!(read > 1_000 && in_memory * 20 < read, "{read} pieces were moved, {in_memory} kept in memory");
}

/// Of two records of a key whose writers were open at once, the younger response stays, whichever is
/// committed last. One that began after the younger was committed replaces it.
#[test]
fn a_younger_record_is_not_replaced_by_one_that_was_begun_before() {
    let plan = Plan::small(0);
    let (mut store, mut device) = (plan.store(), plan.device());
    run(&mut store, &mut device, Input::Recover);
    let at = key(1, 0);
    let version = |number| Version { number, length: 0, freshened: 0 };
    let begin = |number| Input::Begin { writer: Writer(number), key: at, name: version(number).name() };
    let commit =
        |number| Input::Commit { op: Op(number), writer: Writer(number), record: version(number).record(at) };
    let found = |store: &mut Store, device: &mut Device, reader: u64| {
        let asked = Input::Lookup { op: Op(100), reader: Reader(reader), key: at };
        run(store, device, asked).into_iter().find_map(|event| match event {
            Event::Found { record, .. } => Some(record.name),
            _ => None,
        })
    };
    for input in [begin(5), begin(9), commit(9)] {
        run(&mut store, &mut device, input);
    }
    let late = run(&mut store, &mut device, commit(5));
    assert_eq!(late, [Event::Failed { op: Op(5), why: Failure::Superseded }]);
    assert_eq!(found(&mut store, &mut device, 1), Some(version(9).name()));
    run(&mut store, &mut device, begin(7));
    assert_eq!(run(&mut store, &mut device, commit(7)), [Event::Committed { op: Op(7) }]);
    assert_eq!(found(&mut store, &mut device, 2), Some(version(7).name()));
}

/// A device that has grown keeps all that it held, and uses the rest. One that has shrunk begins anew: what
/// lay beyond may have deleted what lies here.
#[test]
fn a_device_may_grow() {
    let plan = Plan::small(1);
    let mut history = History::new(plan);
    while history.step() {}
    let before = read_all(plan, &mut history.device.clone());
    assert!(before.objects.len() >= 2, "{before:?}");
    let segments = plan.geometry.segments + 3;
    let grown = Plan { geometry: RawGeometry { segments, ..plan.geometry }, ..plan };
    let mut device = history.device.clone();
    device.grow(3);
    assert_eq!(recovered(grown, &mut device), before);
    // Some segment's header says how large the device is.
    let mut store = grown.store();
    run(&mut store, &mut device, Input::Recover);
    run(&mut store, &mut device, Input::Delete { op: Op(1), key: key(0, 0), name: None });
    let held = read_all(grown, &mut device);
    assert!(!held.is_formatted && held.objects.len() + 3 >= before.objects.len(), "{held:?}");
    let shrunk = read_all(plan, &mut device);
    assert!(shrunk.is_formatted && shrunk.objects.is_empty(), "{shrunk:?}");
}

/// A device gets smaller while its store is asked as ever. Wherever the power fails, each key is absent, old
/// or new, and what was deleted stays away, with the old size until the store has said that it is smaller,
/// and with either from then on.
#[test]
fn a_crash_while_a_device_gets_smaller_leaves_absent_old_or_new() {
    let mut total = Shrunk::default();
    for (seed, segments, smaller) in [(10, 12, 6), (11, 12, 9), (12, 8, 7), (13, 16, 6), (14, 20, 12)] {
        let small = Plan::small(seed);
        let plan = Plan { geometry: RawGeometry { segments, ..small.geometry }, targets: 24, ..small };
        for tasks in [30, 200] {
            enumerate_shrinking(Plan { tasks, ..plan }, smaller, 25, &mut total);
        }
    }
    println!("{total:?}");
    assert!(total.shrunk == 10 && total.boundaries > 1_000 && total.kept > total.left, "{total:?}");
}

/// A device that has another size after each crash, and is often cut off before it has become as small as it
/// was to be, goes on with what the last life left.
#[test]
fn many_sizes_on_one_device() {
    let mut total = Shrunk::default();
    for seed in 5_000..5_040 {
        let plan = Plan { tasks: 60, targets: 20, ..Plan::small(seed) };
        resize_again(plan, &[6, 7, 9, 12, 16], 12, &mut total);
    }
    println!("{total:?}");
    assert!(total.shrunk > 60 && total.found > 20 * total.shrunk, "{total:?}");
    assert!(total.formatted * 20 < total.lives, "{total:?}");
}

/// A small store with a sealed segment and an open one, three objects or more, something that was deleted,
/// and every version that its keys ever had.
fn small_store() -> (Plan, Device, BTreeMap<StoredKey, BTreeSet<Version>>, BTreeSet<StoredKey>) {
    let geometry = RawGeometry { segments: 6, segment_bytes: 8_192, sector_bytes: 512, block_bytes: 512 };
    for seed in 0.. {
        let plan =
            Plan { seed, geometry, targets: 3, tasks: 18, large_one_in: 2, length_max: 1_200, plant: None };
        let mut history = History::new(plan);
        let mut versions: BTreeMap<StoredKey, BTreeSet<Version>> = BTreeMap::new();
        while history.step() {
            for (key, known) in history.known() {
                versions.entry(*key).or_default().extend(known.versions());
            }
        }
        let known = history.known().iter();
        let deleted: BTreeSet<_> =
            known.filter(|(_, known)| !known.allows_any()).map(|(key, _)| *key).collect();
        let device = history.device;
        let footers = device.image().chunks(8_192).filter(|segment| segment[15 * 512..][..4] == *b"TGBK");
        let whole = read_all(plan, &mut device.clone()).objects;
        if footers.count() > 0 && whole.len() >= 3 && !deleted.is_empty() {
            return (plan, device, versions, deleted);
        }
    }
    unreachable!("one seed in a few is like that")
}

/// Every sector that holds something.
fn written(plan: &Plan, device: &Device) -> Vec<usize> {
    let sector_bytes = plan.shape().sector_bytes;
    let sectors = device.image().chunks(sector_bytes).enumerate();
    sectors.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).map(|(sector, _)| sector).collect()
}

/// Any bit of a store may turn over: what is found is a version that the key has had, to the byte, or
/// nothing; and what was deleted stays away.
#[test]
fn every_flipped_bit_is_seen_or_harmless() {
    let (plan, device, versions, deleted) = small_store();
    let whole = read_all(plan, &mut device.clone()).objects;
    let bits = 8 * plan.shape().sector_bytes;
    let (mut seen, mut harmless) = (0_u64, 0_u64);
    let mut device = device;
    for sector in written(&plan, &device) {
        for bit in sector * bits..(sector + 1) * bits {
            device.flip(bit);
            let held = read_all(plan, &mut device).objects;
            device.flip(bit);
            if held == whole {
                harmless += 1;
                continue;
            }
            seen += 1;
            for (key, version) in held {
                assert!(versions[&key].contains(&version), "bit {bit}: {version:?} of {key}");
                assert!(!deleted.contains(&key), "bit {bit} brought {key} back");
            }
        }
    }
    assert!(seen > 8 * 1_000 && harmless > 8 * 1_000, "{seen} flips were seen, {harmless} harmless");
}

/// A device that ends anywhere holds versions that its keys have had, to the byte, or nothing.
#[test]
fn every_truncation_is_seen_or_harmless() {
    let (plan, device, versions, _) = small_store();
    for length in (0..device.image().len()).step_by(3) {
        let mut device = device.clone();
        device.truncate(length);
        for (key, version) in read_all(plan, &mut device).objects {
            assert!(versions[&key].contains(&version), "cut at {length}: {version:?} of {key}");
        }
    }
}

/// Each fault, planned and really hit: a body is its version's or breaks off, and what was deleted is not
/// found. If the device is honest, a crash leaves no more than it may.
#[test]
fn a_device_that_misbehaves_serves_nothing_wrong() {
    for fault in DeviceFault::ALL {
        let (mut fired, mut read, mut failed) = (0, 0, 0);
        for seed in 3_000..3_040 {
            let (history, _) = misbehave(Plan::small(seed), fault);
            fired += history.device.fired().get(&fault).copied().unwrap_or(0);
            read += history.seen.get("read whole").copied().unwrap_or(0);
            let failures = ["fill failed", "read failed", "deletion failed", "dropped"];
            failed += failures.iter().filter_map(|failure| history.seen.get(failure)).sum::<u64>();
        }
        println!("{fault:?}: hit {fired} times, {read} bodies read whole, {failed} failures told");
        assert!(fired >= 10 && read >= 40 && failed > 0, "{fault:?} hit {fired} times, {read} read");
    }
}
