//! An engine with L0 alone, fed by an origin that answers at once; and what a miss costs in it.

use crate::clock;
use std::sync::Arc;
use tiergate_engine::{
    Answer, ByteCount, CacheKey, Config, Effect, Engine, Eviction, Fields, Head, Input, Instant, Method,
    OpId, OriginId, RawConfig, RequestHead, RequestId, Seed, Symbol,
};

/// Of each body.
const SIZE: u64 = 1024;
/// Misses that are timed.
const MISSES: u64 = 200_000;
/// Objects that fit meanwhile, so that most misses evict.
const RESIDENT: u64 = 50_000;

pub(crate) struct Origin {
    pub(crate) engine: Engine<Symbol>,
    inputs: Vec<Input<Symbol>>,
    ask: Arc<RequestHead>,
    head: Arc<Head>,
    requests: u64,
    is_pulled: bool,
}

pub(crate) fn measure_misses() {
    let mut origin = Origin::with_capacity(Eviction::Lru, ByteCount(RESIDENT * (SIZE + 100)));
    let key =
        |number: u64| CacheKey(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    (0..RESIDENT).for_each(|number| origin.fetch(key(number)));
    let began = clock::nanoseconds();
    (RESIDENT..RESIDENT + MISSES).for_each(|number| origin.fetch(key(number)));
    let each = (clock::nanoseconds() - began) as f64 / MISSES as f64;
    println!("whole miss, L0 alone, lru, with an eviction: {each:.0} ns");
}

impl Origin {
    /// One whose L0 holds everything.
    pub(crate) fn new(eviction: Eviction) -> Self {
        Self::with_capacity(eviction, ByteCount(1 << 50))
    }

    fn with_capacity(eviction: Eviction, capacity: ByteCount) -> Self {
        let mut raw = RawConfig::default();
        let l0 = raw.l0.as_mut().expect("there is an L0 by default");
        l0.eviction = eviction.into();
        l0.capacity = capacity;
        let config = Config::try_from(raw).expect("the defaults hold together");
        let mut fields = Fields::new();
        fields.push("cache-control", b"max-age=3600");
        fields.push("content-length", SIZE.to_string().as_bytes());
        let ask = RequestHead {
            method: Method::Get,
            authority: "bench".into(),
            target: "/an/object/of/the/bench".into(),
            fields: Fields::new(),
        };
        Self {
            engine: Engine::new(config, Seed(1), Instant::ZERO),
            inputs: Vec::new(),
            ask: Arc::new(ask),
            head: Arc::new(Head { status: 200, fields }),
            requests: 0,
            is_pulled: false,
        }
    }

    /// Asks for a key that is not there; afterwards it is.
    pub(crate) fn fetch(&mut self, key: CacheKey) {
        self.requests += 1;
        self.is_pulled = false;
        self.inputs.push(Input::Request {
            request: RequestId(self.requests),
            key,
            origin: OriginId(0),
            head: Arc::clone(&self.ask),
        });
        while let Some(input) = self.inputs.pop() {
            self.engine.handle(Instant::ZERO, input);
            while self.engine.poll_event().is_some() {}
            while let Some(effect) = self.engine.poll_effect() {
                let answer = self.answer(effect);
                self.inputs.extend(answer);
            }
        }
    }

    /// What the world says to an effect.
    fn answer(&mut self, effect: Effect<Symbol>) -> Option<Input<Symbol>> {
        match effect {
            Effect::Fetch { op, .. } => Some(Answer::Head { head: Arc::clone(&self.head) }.to(op)),
            Effect::Pull { op, .. } => Some(self.pulled(op)),
            Effect::Serve { request, .. } | Effect::Body { request, .. } => Some(Input::Demand { request }),
            Effect::Finish { .. } | Effect::Cancel { .. } => None,
            other => unreachable!("one tier and a healthy origin need no {other:?}"),
        }
    }

    /// One chunk, then the end.
    fn pulled(&mut self, op: OpId) -> Input<Symbol> {
        if std::mem::replace(&mut self.is_pulled, true) {
            return Answer::PullEnded.to(op);
        }
        Answer::Pulled { chunk: Symbol { object: self.requests, version: 1, offset: 0, size: SIZE } }.to(op)
    }
}
