//! A crash at every boundary of a history, in every way: what is found afterwards, and whether it may be.

use super::{
    device::{Crash, Device},
    history::History,
    known::Known,
    objects::Version,
    plan::Plan,
    scan::scan,
};
use std::collections::BTreeMap;
use tiergate_engine::{
    Record, StoredKey,
    store::{Event, Input, Op, Reader, Source, Store},
};

/// What an enumeration has seen.
#[derive(Clone, Debug, Default)]
pub struct Enumerated {
    /// Boundaries at which the power failed.
    pub boundaries: u64,
    /// Crashes: boundaries times ways.
    pub crashes: u64,
    /// Objects that were found after them.
    pub found: u64,
    /// Keys that had something before and nothing afterwards.
    pub lost: u64,
    /// What happened in the histories, by name.
    pub seen: BTreeMap<&'static str, u64>,
}

/// Lives one history, and lets the power fail after each of its steps.
///
/// # Panics
/// Something was found that may not be.
pub fn enumerate(plan: Plan, total: &mut Enumerated) {
    let mut history = History::new(plan);
    while history.step() {
        total.boundaries += 1;
        for how in Crash::ALL {
            total.crashes += 1;
            let mut device = history.device.clone();
            device.crash(how);
            let held = recovered(plan, &mut device);
            assert!(!held.is_formatted, "seed {}: one crash leaves room to go on", plan.seed);
            for (key, known) in history.known() {
                let state = held.objects.get(key).copied();
                assert!(
                    known.allows(state),
                    "seed {}: {how:?} left {state:?} of {key}: {known:?}",
                    plan.seed
                );
                total.lost += u64::from(known.current.is_some() && state.is_none());
            }
            total.found += held.objects.len() as u64;
        }
    }
    check_sums(&history);
    let counts = history.store.counts();
    for (what, count) in [
        ("moved", counts.objects_moved),
        ("newcomers reclaimed", counts.newcomer_reclaims),
        ("main reclaimed", counts.main_reclaims),
        ("tombstones carried", counts.tombstones_carried),
        ("tombstones of dropped objects", counts.tombstones_of_dropped),
        ("readers pointed elsewhere", counts.readers_repointed),
        ("writers pointed elsewhere", counts.writers_repointed),
        ("pieces kept in memory", counts.pieces_in_memory),
        ("pieces lost to their writers", counts.writers_broken),
    ] {
        *total.seen.entry(what).or_default() += count;
    }
    for (what, count) in history.seen {
        *total.seen.entry(what).or_default() += count;
    }
}

/// What many lives have seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lives {
    /// The number of lives.
    pub lives: u64,
    /// Those that found no room to go on with what was there, and began anew.
    pub formatted: u64,
}

/// Lives eight lives on one device, each ended by a crash, some in the middle of something, some while they
/// recover; and a last one to its end.
///
/// # Panics
/// Something was found that may not be.
pub fn live_again(plan: Plan, total: &mut Lives) {
    let mut history = History::new(plan);
    for life in 0..8_u64 {
        let steps = [5, 40, 70, 1_000][usize::try_from((plan.seed + life) % 4).expect("a small number")];
        for _ in 0..steps {
            if !history.step() {
                break;
            }
        }
        let how = Crash::ALL[usize::try_from((plan.seed + 3 * life) % 5).expect("a small number")];
        history.device.crash(how);
        let held = recovered(plan, &mut history.device);
        total.lives += 1;
        if held.is_formatted {
            total.formatted += 1;
            history.on_formatted();
        }
        history.restart(|key| held.objects.get(&key).copied(), plan.tasks);
    }
    while history.step() {}
}

/// The store's sums are those of what is there, also without a crash.
///
/// # Panics
/// They are not.
pub fn check_sums(history: &History) {
    let plan = history.plan();
    let on_device = scan(history.device.image(), plan.shape());
    let current = |known: &Known| known.current.is_some();
    let live: Vec<&StoredKey> =
        history.known().iter().filter(|(_, known)| current(known)).map(|(key, _)| key).collect();
    let sectors: u64 = live.iter().map(|key| on_device[*key].sectors).sum();
    assert_eq!(history.store.objects(), live.len() as u64, "seed {}", plan.seed);
    assert_eq!(history.store.used().0, sectors * u64::from(plan.geometry.sector_bytes), "seed {}", plan.seed);
}

/// What a store found on a device, read to the last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Which version of each key.
    pub objects: BTreeMap<StoredKey, Version>,
    /// Objects of which it knows.
    pub indexed: u64,
    /// The bytes that it counts.
    pub used: u64,
    /// It found no room to go on with what was there, and began anew.
    pub is_formatted: bool,
}

/// Recovers a store, twice, and reads everything that the device may hold.
///
/// # Panics
/// The second recovery finds something else; the sums are not those of a scan; or bytes are not a version's.
pub fn recovered(plan: Plan, device: &mut Device) -> Recovered {
    let held = read_all(plan, device);
    if held.is_formatted {
        assert_eq!(held.indexed, 0, "seed {}: what is left is not known", plan.seed);
        return held;
    }
    let on_device = scan(device.image(), plan.shape());
    let sectors: u64 = on_device.values().map(|found| found.sectors).sum();
    let seed = plan.seed;
    let mut again = plan.store();
    run(&mut again, device, Input::Recover);
    let found = (again.objects(), again.used().0);
    assert_eq!(found, (held.indexed, held.used), "seed {seed}: a second recovery found something else");
    assert_eq!(
        held.used,
        sectors * u64::from(plan.geometry.sector_bytes),
        "seed {seed}: the bytes on the device"
    );
    assert_eq!(held.indexed, on_device.len() as u64, "seed {seed}: the objects on the device");
    for (key, found) in &on_device {
        let version = held.objects.get(key).unwrap_or_else(|| panic!("seed {seed}: {key} is on the device"));
        assert_eq!(found.record, *version.record(*key), "seed {seed}");
    }
    held
}

/// Recovers a store on a device and reads every key of the plan.
///
/// # Panics
/// Bytes are not those of the version whose record was found.
pub fn read_all(plan: Plan, device: &mut Device) -> Recovered {
    let mut store = plan.store();
    run(&mut store, device, Input::Recover);
    let (indexed, used) = (store.objects(), store.used().0);
    let is_formatted = store.counts().formatted > 0;
    let mut objects = BTreeMap::new();
    for target in 0..plan.targets {
        for variant in 0..3 {
            let key = super::objects::key(target, variant);
            if let Some(version) = read_one(&mut store, device, key) {
                objects.insert(key, version);
            }
        }
    }
    Recovered { objects, indexed, used, is_formatted }
}

fn read_one(store: &mut Store, device: &mut Device, key: StoredKey) -> Option<Version> {
    let (op, reader) = (Op(1), Reader(1));
    let found = run(store, device, Input::Lookup { op, reader, key });
    let found = found
        .into_iter()
        .find_map(|event| if let Event::Found { record, .. } = event { Some(record) } else { None });
    let record = found?;
    let version = version_of(&record);
    assert_eq!(record, *version.record(key), "a record that was never stored");
    let body = version.body();
    let mut offset = 0;
    while offset < body.len() {
        let source = Source::Reader(reader);
        let asked = Input::Read { op, source, offset: offset as u64, length_max: 1 << 20 };
        let bytes = run(store, device, asked)
            .into_iter()
            .find_map(|event| if let Event::BodyRead { bytes, .. } = event { Some(bytes) } else { None });
        let Some(bytes) = bytes else {
            run(store, device, Input::Release { reader });
            return None;
        };
        assert!(body[offset..offset + bytes.len()] == bytes, "other bytes of {version:?} at {offset}");
        offset += bytes.len();
    }
    run(store, device, Input::Release { reader });
    Some(version)
}

fn version_of(record: &Record) -> Version {
    let number = |name| {
        let value = record.head.fields.only(name).expect("every version has it");
        std::str::from_utf8(value).expect("digits").parse().expect("digits")
    };
    let length = usize::try_from(record.length.0).expect("a short body");
    Version { number: number("etag"), length, freshened: number("x-state") }
}

/// Says one thing to a store and lets the device answer until nothing is under way.
pub fn run(store: &mut Store, device: &mut Device, input: Input) -> Vec<Event> {
    let mut events = Vec::new();
    let mut next = Some(input);
    while let Some(input) = next {
        store.handle(input);
        while let Some(effect) = store.poll_effect() {
            device.submit(effect);
        }
        while let Some(event) = store.poll_event() {
            events.push(event);
        }
        next = (device.under_way() > 0).then(|| device.complete());
    }
    events
}
