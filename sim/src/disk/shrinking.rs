//! A device gets smaller while its store is asked as ever, and its power fails.
//!
//! What a driver must know stands here as one number, the size that it would read in front of the segments:
//! that of before until the store has said that nothing lies beyond the new end.

use super::{
    crash::{Recovered, check_sums, read_all, recovered, run},
    device::{Crash, Device},
    history::History,
    plan::Plan,
};
use tiergate_engine::{
    Random, Seed,
    store::{Event, Geometry, Input, Op, RawGeometry},
};

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shrunk {
    /// Boundaries at which the power failed.
    pub boundaries: u64,
    /// Objects found after a crash.
    pub found: u64,
    /// Objects that were there before and after the device had become smaller.
    pub kept: u64,
    /// Objects that had no room.
    pub left: u64,
    /// Devices that became smaller.
    pub shrunk: u64,
    /// Recoveries that began anew.
    pub formatted: u64,
    /// Lives of a device.
    pub lives: u64,
}

/// The same with another size.
#[must_use]
pub fn with_segments(plan: Plan, segments: u32) -> Plan {
    Plan { geometry: RawGeometry { segments, ..plan.geometry }, ..plan }
}

/// Fills a device, and makes it smaller while a few more tasks run. The power fails after each step, in every
/// way: what is found is allowed, and the device can be made smaller from there.
///
/// # Panics
/// Something was found that may not be, or the device did not become smaller.
pub fn enumerate_shrinking(plan: Plan, segments: u32, tasks: u32, total: &mut Shrunk) {
    let seed = plan.seed;
    let mut history = History::new(plan);
    while history.step() {}
    history.device.crash(Crash::Kept);
    let before = recovered(plan, &mut history.device);
    history.restart(|key| before.objects.get(&key).copied(), tasks);
    while !history.seen.contains_key("recovered") {
        history.step();
    }
    let smaller = with_segments(plan, segments);
    history.shrink(segments);
    let mut ways = Crash::ALL.into_iter().cycle();
    while history.step() {
        total.boundaries += 1;
        let is_shrunk = history.seen.contains_key("shrunk");
        for how in Crash::ALL {
            let mut device = history.device.clone();
            device.crash(how);
            let held = recovered(plan, &mut device);
            expect_allowed(&history, &held, &format!("seed {seed}: {how:?}"));
            total.found += held.objects.len() as u64;
            if is_shrunk {
                assert_eq!(recovered(smaller, &mut device), held, "seed {seed}: {how:?}, once it is smaller");
            }
        }
        let mut device = history.device.clone();
        device.crash(ways.next().expect("it goes round"));
        let held = recovered(plan, &mut device);
        shrink_alone(plan, smaller, device, &held, total);
    }
    assert!(history.seen.contains_key("shrunk"), "seed {seed}: it is not smaller: {:?}", history.store);
    check_sums(&history);
    total.shrunk += 1;
}

/// Goes on from what a crash has left, and asks for nothing else. What is there then was there before.
fn shrink_alone(plan: Plan, smaller: Plan, mut device: Device, before: &Recovered, total: &mut Shrunk) {
    let seed = plan.seed;
    let geometry = Geometry::try_from(smaller.geometry).expect("the plan's geometry holds together");
    let mut store = plan.store();
    run(&mut store, &mut device, Input::Recover);
    let op = Op(1);
    let events = run(&mut store, &mut device, Input::Shrink { op, geometry });
    assert!(events.contains(&Event::Shrunk { op }), "seed {seed}: {events:?}");
    assert_eq!((store.segments_beyond(), store.capacity()), (0, geometry.capacity()));
    // It was durable when it was said, and nothing lies beyond the end.
    device.crash(Crash::Lost);
    let after = recovered(smaller, &mut device);
    assert_eq!(recovered(plan, &mut device), after, "seed {seed}: with its old size it holds something else");
    assert!(!after.is_formatted);
    for (key, version) in &after.objects {
        assert_eq!(before.objects.get(key), Some(version), "seed {seed}: {key} has come back");
    }
    total.kept += after.objects.len() as u64;
    total.left += (before.objects.len() - after.objects.len()) as u64;
}

fn expect_allowed(history: &History, held: &Recovered, what: &str) {
    assert!(!held.is_formatted, "{what}: one crash leaves room to go on");
    for (key, known) in history.known() {
        let state = held.objects.get(key).copied();
        assert!(known.allows(state), "{what} left {state:?} of {key}: {known:?}");
    }
}

/// Lives many lives on one device, which has another size in each; each is ended by a crash, whether or not
/// the device has become as small as it was to be. Where it has, it is cut off there, or not, as if it were a
/// disk.
///
/// # Panics
/// Something was found that may not be.
pub fn resize_again(plan: Plan, sizes: &[u32], lives: u64, total: &mut Shrunk) {
    let largest = sizes.iter().copied().max().expect("there are sizes");
    let mut chance = Seed(plan.seed).split("sizes");
    let mut size = largest;
    let plan = with_segments(plan, size);
    let mut history = History::on(plan, plan.device());
    let mut target = size;
    for _ in 0..lives {
        total.lives += 1;
        while !history.seen.contains_key("recovered") {
            history.step();
        }
        if target < size {
            history.shrink(target);
        }
        for _ in 0..below(&mut chance, 600) {
            if !history.step() {
                break;
            }
        }
        if history.seen.remove("shrunk").is_some() {
            total.shrunk += 1;
            size = target;
            if chance.chance(1, 2) {
                let end = u64::from(size) * plan.geometry.segment_bytes;
                history.device.truncate(usize::try_from(end).expect("a small device"));
            }
        }
        history.device.crash(Crash::ALL[below(&mut chance, 5)]);
        target = sizes[below(&mut chance, sizes.len() as u64)];
        // A larger size is taken at once.
        size = size.max(target);
        let now = with_segments(plan, size);
        let held = recovered(now, &mut history.device);
        total.found += held.objects.len() as u64;
        if held.is_formatted {
            total.formatted += 1;
            history.on_formatted();
        }
        history.plan = now;
        history.restart(|key| held.objects.get(&key).copied(), plan.tasks);
    }
    while history.step() {}
    let held = read_all(history.plan, &mut history.device.clone());
    assert!(held.objects.len() as u64 == held.indexed, "seed {}: {held:?}", plan.seed);
}

fn below(chance: &mut Random, end: u64) -> usize {
    usize::try_from(chance.below(end)).expect("a small number")
}
