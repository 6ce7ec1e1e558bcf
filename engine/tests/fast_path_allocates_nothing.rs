//! P1: the fast path allocates nothing for a fresh L0 hit, whichever eviction keeps count of the use.
//!
//! The allocator counts what the thread of the test asks for; other threads do not disturb it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use tiergate_engine::{
    Answer, CacheKey, Config, Effect, Engine, Eviction, Head, Input, Instant, Method, OriginId, RawConfig,
    RequestHead, RequestId, Seed, Symbol,
};

thread_local! {
    /// Allocations of this thread. `const` and without a destructor, so counting never allocates.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// Safety: every call is handed to the system's allocator as it came, which keeps the promises of
// `GlobalAlloc`; beside that a counter of this thread is raised, which allocates nothing and cannot panic.
#[expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get().wrapping_add(1)));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn target(number: u64) -> String {
    format!("/{number}")
}

/// Fills L0 with a thousand objects.
fn filled(eviction: Eviction) -> Engine<Symbol> {
    let mut raw = RawConfig::default();
    raw.l0.as_mut().expect("L0 is on by default").eviction = eviction.into();
    let config = Config::try_from(raw).expect("the defaults are sound");
    let mut engine = Engine::new(config, Seed(7), Instant::ZERO);
    for number in 0..1_000 {
        let head = RequestHead {
            method: Method::Get,
            authority: "example".into(),
            target: target(number).into(),
            fields: [("accept", "*/*")].into_iter().collect(),
        };
        let key = CacheKey::of("example", &head.target);
        let mut inbox = vec![Input::Request {
            request: RequestId(number),
            key,
            origin: OriginId(0),
            head: Arc::new(head),
        }];
        let mut chunk = Some(Symbol { object: number, version: 1, offset: 0, size: 100 });
        while let Some(input) = inbox.pop() {
            engine.handle(Instant::ZERO, input);
            while let Some(effect) = engine.poll_effect() {
                inbox.extend(match effect {
                    Effect::Fetch { op, .. } => {
                        let fields = [("cache-control", "max-age=60"), ("content-length", "100")];
                        let head = Head { status: 200, fields: fields.into_iter().collect() };
                        Some(Answer::Head { head: Arc::new(head) }.to(op))
                    }
                    Effect::Pull { op, .. } => Some(match chunk.take() {
                        Some(chunk) => Answer::Pulled { chunk }.to(op),
                        None => Answer::PullEnded.to(op),
                    }),
                    Effect::Serve { request, .. } | Effect::Body { request, .. } => {
                        Some(Input::Demand { request })
                    }
                    Effect::Finish { .. } | Effect::Cancel { .. } => None,
                    other => unreachable!("L0 alone asks for nothing else: {other:?}"),
                });
            }
            while engine.poll_event().is_some() {}
        }
    }
    engine
}

#[test]
fn p1_the_fast_path_allocates_nothing() {
    for eviction in Eviction::ALL {
        let mut engine = filled(eviction);
        let keys: Vec<_> = (0..1_000).map(|number| CacheKey::of("example", &target(number))).collect();
        let fields = [("accept", &b"*/*"[..]), ("user-agent", b"test")];
        let before = COUNT.with(Cell::get);
        let mut hits = 0;
        for round in 0..3 {
            for key in &keys {
                let now = Instant::from_nanos(round);
                hits += u64::from(engine.fresh_hit(now, *key, Method::Get, fields.into_iter()).is_some());
            }
        }
        let allocations = COUNT.with(Cell::get) - before;
        assert_eq!((hits, allocations), (3_000, 0), "{eviction:?}");
    }
}
