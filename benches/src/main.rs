//! What a fresh L0 hit costs inside the engine: `cargo run --release -p tiergate-benches`.
//!
//! It times the fast door (`Engine::fresh_hit`) beside a bare hash table with the same keys and values, in one run and
//! interleaved, because on a shared machine only their ratio means anything. The bare table is a floor that no cache can
//! reach: it only compares a lifetime, and keeps no order of use. Nothing here measures HTTP, other tiers or threads.

use hashbrown::HashTable;
use std::{hint::black_box, sync::Arc, time::Instant as Stopwatch};
use tiergate_engine::{
    CacheKey, Config, Effect, Engine, Eviction, Fields, Head, Input, Instant, Method, OpId, OriginId,
    RawConfig, RequestHead, RequestId, Resident, Seed, Symbol,
};

/// A set that a processor's own caches hold, and one that they do not.
const OBJECTS: [u64; 2] = [1_000, 100_000];
const LOOKUPS: usize = 1_000_000;
const ROUNDS: usize = 7;
/// Of each body.
const SIZE: u64 = 1024;

fn main() {
    for objects in OBJECTS {
        for eviction in Eviction::ALL {
            measure(objects, eviction);
        }
    }
}

fn measure(objects: u64, eviction: Eviction) {
    let keys: Vec<CacheKey> = (0..objects).map(|object| CacheKey::of("bench", &object.to_string())).collect();
    let mut engine = filled(eviction, &keys);
    let bare = bare_table(&mut engine, &keys);
    let mut draw = Seed(1).split("lookups");
    let wanted: Vec<CacheKey> = (0..LOOKUPS).map(|_| keys[draw.below(objects) as usize]).collect();

    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            let door = nanoseconds_each(&wanted, |key| {
                engine.fresh_hit(Instant::ZERO, key, Method::Get, std::iter::empty()).is_some()
            });
            let floor = nanoseconds_each(&wanted, |key| {
                find(&bare, key).is_some_and(|resident| resident.freshness.is_fresh(Instant::ZERO))
            });
            (door, floor)
        })
        .collect();
    rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    let (door, floor) = rounds[ROUNDS / 2];
    println!(
        "fresh L0 hit, {eviction:?}, {objects} objects: {door:.0} ns; bare table {floor:.0} ns; ratio {:.1} (median of {ROUNDS})",
        door / floor
    );
}

/// How long one lookup takes on average. Every lookup must hit, or the figure means nothing.
fn nanoseconds_each(wanted: &[CacheKey], mut is_hit: impl FnMut(CacheKey) -> bool) -> f64 {
    let began = Stopwatch::now();
    let hits = wanted.iter().filter(|key| is_hit(black_box(**key))).count();
    let elapsed = began.elapsed();
    assert_eq!(hits, wanted.len());
    elapsed.as_nanos() as f64 / wanted.len() as f64
}

type Bare = HashTable<(CacheKey, Arc<Resident<Symbol>>)>;

/// The keys are hashes already, so their own bits serve.
const fn hash(key: CacheKey) -> u64 {
    (key.0 ^ (key.0 >> 64)) as u64
}

fn find(bare: &Bare, key: CacheKey) -> Option<&Arc<Resident<Symbol>>> {
    bare.find(hash(key), |(other, _)| *other == key).map(|(_, resident)| resident)
}

fn bare_table(engine: &mut Engine<Symbol>, keys: &[CacheKey]) -> Bare {
    let mut bare = Bare::with_capacity(keys.len());
    for key in keys {
        let resident = engine
            .fresh_hit(Instant::ZERO, *key, Method::Get, std::iter::empty())
            .expect("the capacity holds every object, and each was filled");
        bare.insert_unique(hash(*key), (*key, Arc::clone(resident)), |(key, _)| hash(*key));
    }
    bare
}

/// An engine whose L0 holds every key, each fetched once from an origin that answers at once.
fn filled(eviction: Eviction, keys: &[CacheKey]) -> Engine<Symbol> {
    let mut raw = RawConfig::default();
    let l0 = raw.l0.as_mut().expect("there is an L0 by default");
    l0.eviction = eviction.into();
    let config = Config::try_from(raw).expect("the defaults hold together");
    let mut engine = Engine::new(config, Seed(1), Instant::ZERO);
    let mut answers = Vec::new();
    for (object, key) in (0..).zip(keys) {
        let ask = RequestHead {
            method: Method::Get,
            authority: "bench".into(),
            target: object.to_string().into(),
            fields: Fields::new(),
        };
        answers.push(Input::Request {
            request: RequestId(object),
            key: *key,
            origin: OriginId(0),
            head: Arc::new(ask),
        });
        let mut is_pulled = false;
        while let Some(input) = answers.pop() {
            engine.handle(Instant::ZERO, input);
            while engine.poll_event().is_some() {}
            while let Some(effect) = engine.poll_effect() {
                answers.extend(answer(effect, object, &mut is_pulled));
            }
        }
    }
    engine
}

/// What the world says to an effect.
fn answer(effect: Effect<Symbol>, object: u64, is_pulled: &mut bool) -> Option<Input<Symbol>> {
    match effect {
        Effect::Fetch { op, .. } => Some(Input::Head { op, head: Arc::new(head()) }),
        Effect::Pull { op, .. } => Some(pulled(op, object, std::mem::replace(is_pulled, true))),
        Effect::Serve { request, .. } | Effect::Body { request, .. } => Some(Input::Demand { request }),
        Effect::Finish { .. } => None,
        other => unreachable!("one tier and a healthy origin need no {other:?}"),
    }
}

fn head() -> Head {
    let mut fields = Fields::new();
    fields.push("cache-control", b"max-age=3600");
    fields.push("content-length", SIZE.to_string().as_bytes());
    Head { status: 200, fields }
}

/// One chunk, then the end.
fn pulled(op: OpId, object: u64, is_pulled: bool) -> Input<Symbol> {
    if is_pulled {
        return Input::PullEnded { op };
    }
    Input::Pulled { op, chunk: Symbol { object, version: 1, offset: 0, size: SIZE } }
}
