//! What L2's store takes in memory, and how fast it recovers:
//! `cargo run --release -p tiergate-benches --bin store`.
//!
//! One-sector objects fill a device that keeps headers, summaries and footers of segments and forgets
//! records, which recovery does not read. The index is measured as what it has taken from the allocator.
//! Nothing here measures a disk: recovery's time is the processor's, beside one read of each summary.

use bytes::Bytes;
use std::{collections::BTreeMap, fs, sync::Arc};
use tiergate_engine::{
    ByteCount, CacheKey, Fields, Head, Record, RecordName, Seed, StoredFreshness, StoredKey, WallTime,
    store::{Effect, Event, Geometry, Input, Op, RawGeometry, Store, Writer},
};

const OBJECTS: [u64; 2] = [1_000_000, 10_000_000];
const SEGMENT_BYTES: u64 = 16 << 20;
const SECTOR_BYTES: u32 = 512;

/// What was written to a segment, without records.
type Marks = BTreeMap<(u32, u64), Bytes>;

fn main() {
    for objects in OBJECTS {
        let segments = u32::try_from(objects * u64::from(SECTOR_BYTES) / SEGMENT_BYTES * 5 / 4 + 4)
            .expect("a few hundred segments");
        let raw = RawGeometry {
            segments,
            segment_bytes: SEGMENT_BYTES,
            sector_bytes: SECTOR_BYTES,
            block_bytes: 65_536,
        };
        let geometry = Geometry::try_from(raw).expect("the bounds hold");
        let mut marks = Marks::new();
        let mut store = Store::new(geometry, Seed(1));
        run(&mut store, &mut marks, Input::Recover);
        let head = Arc::new(Head { status: 200, fields: Fields::from_iter([("etag", "\"0123456789\"")]) });
        let began = processor_s();
        for number in 0..objects {
            fill(&mut store, &mut marks, number, &head);
        }
        let filled_s = processor_s() - began;
        assert_eq!(store.objects(), objects, "the device has room for all");
        let index = store.index_bytes();
        println!(
            "{objects} objects: index {:.2}, ghosts {:.2} bytes an object; filled at {:.0} k/s",
            index.0 as f64 / objects as f64,
            store.ghost_bytes().0 as f64 / objects as f64,
            objects as f64 / filled_s / 1e3
        );
        drop(store);
        let mut store = Store::new(geometry, Seed(1));
        let began = processor_s();
        run(&mut store, &mut marks, Input::Recover);
        let recovered_s = processor_s() - began;
        let found = store.objects();
        assert!(found > objects / 10 * 9, "all but the open segment is found");
        println!(
            "{found} objects recovered: {:.2} processor seconds per million; index {:.2} bytes an object",
            recovered_s / (found as f64 / 1e6),
            store.index_bytes().0 as f64 / found as f64
        );
    }
}

/// What this thread has had of a processor, so that others on the machine do not count.
fn processor_s() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells what a thread has had");
    let nanos = stat.split(' ').next().expect("a first number");
    nanos.parse::<f64>().expect("a number") / 1e9
}

fn fill(store: &mut Store, marks: &mut Marks, number: u64, head: &Arc<Head>) {
    let at = StoredKey::plain(CacheKey::of("bench", &number.to_string()));
    let (writer, op, name) = (Writer(number), Op(number), RecordName(number.into()));
    let record = Record {
        key: at.key,
        target: at.target,
        name,
        head: Arc::clone(head),
        length: ByteCount(100),
        freshness: StoredFreshness {
            as_of: WallTime::from_unix_millis(0),
            age_then: std::time::Duration::ZERO,
            lifetime: std::time::Duration::from_secs(60),
        },
    };
    let body = Bytes::from_static(&[7; 100]);
    run(store, marks, Input::Begin { writer, key: at, name });
    run(store, marks, Input::Append { op, writer, chunk: body });
    run(store, marks, Input::Commit { op, writer, record: Arc::new(record) });
    run(store, marks, Input::Discard { writer });
}

/// Says one thing, and answers for the device until nothing is under way.
fn run(store: &mut Store, marks: &mut Marks, input: Input) {
    let mut inputs = vec![input];
    while let Some(input) = inputs.pop() {
        store.handle(input);
        while let Some(effect) = store.poll_effect() {
            inputs.push(answer(marks, effect));
        }
        while let Some(event) = store.poll_event() {
            assert!(!matches!(event, Event::Failed { .. } | Event::Dropped { .. }), "{event:?}");
        }
    }
}

fn answer(marks: &mut Marks, effect: Effect) -> Input {
    match effect {
        Effect::Write { io, segment, offset, blocks } => {
            let bytes = blocks.seal();
            // Headers of segments and summaries, by the kind that a block's header tells.
            if matches!(bytes[6], 1 | 5) {
                marks.insert((segment, offset), bytes);
            }
            Input::Done { io }
        }
        Effect::Sync { io } => Input::Done { io },
        Effect::Read { io, segment, offset, length, check } => {
            let length = usize::try_from(length).expect("a segment in memory");
            let mut read = vec![0; length];
            for ((_, begin), bytes) in marks.range((segment, 0)..=(segment, offset + length as u64)) {
                let (from, to) =
                    (offset.max(*begin), (offset + length as u64).min(begin + bytes.len() as u64));
                if from < to {
                    let within = |n: u64, base: u64| usize::try_from(n - base).expect("a place in memory");
                    read[within(from, offset)..within(to, offset)]
                        .copy_from_slice(&bytes[within(from, *begin)..within(to, *begin)]);
                }
            }
            Input::ReadDone { io, checked: check.run(read.into()) }
        }
    }
}
