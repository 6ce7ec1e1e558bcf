//! A history on a device that misbehaves in one way, and then loses its power.

use super::{
    crash::{Recovered, read_all},
    device::{Crash, DeviceFault},
    history::History,
    plan::Plan,
};

/// Faults of a device that tells of them: what a crash leaves is what it may leave without them.
const HONEST: [DeviceFault; 7] = [
    DeviceFault::ReadFails,
    DeviceFault::ShortRead,
    DeviceFault::WriteFails,
    DeviceFault::Full,
    DeviceFault::TornWrite,
    DeviceFault::SyncFails,
    DeviceFault::Slow,
];

/// Lives it to its end. What is left of it can be looked at.
///
/// # Panics
/// A body is served that is not its version's, what was deleted is found, or an honest device is left with
/// what may not be.
pub fn misbehave(plan: Plan, fault: DeviceFault) -> (History, Recovered) {
    let mut history = History::new(plan);
    while !history.seen.contains_key("recovered") {
        history.step();
    }
    let one_in = if matches!(fault, DeviceFault::Full | DeviceFault::SyncFails) { 60 } else { 12 };
    history.plan_faults(&[(fault, one_in)]);
    while history.step() {}
    history.device.plan(&[]);
    let mut device = history.device.clone();
    device.crash(Crash::ALL[usize::try_from(plan.seed % 5).expect("a small number")]);
    let held = read_all(plan, &mut device);
    if HONEST.contains(&fault) {
        let rotten = history.store.counts().objects_rotten;
        assert_eq!(rotten, 0, "{fault:?}, seed {}: what is whole is taken for rotten", plan.seed);
        for (key, known) in history.known() {
            let state = held.objects.get(key).copied();
            assert!(known.allows(state), "{fault:?}, seed {}: {state:?} of {key}: {known:?}", plan.seed);
        }
    }
    (history, held)
}
