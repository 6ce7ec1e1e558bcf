//! Drives one engine through a trace: every effect is answered at once, so nothing ever overlaps.
//!
//! What a request finds is therefore the policies' doing alone. The origin has everything, in the size that
//! the trace says, and lets it be stored for ever; tiers never fail. Nothing here decides anything.

use super::{
    few::Few,
    settings::Below,
    stores::{Stores, body},
    totals::{Count, TierTotals, Totals},
    trace::Request,
};
use std::{collections::BTreeMap, collections::VecDeque, sync::Arc, time::Duration};
use tiergate_engine::{
    Answer, ByteCount, Chunk, Config, Effect, Engine, Event, Fields, FillId, Head, Input, Instant, Method,
    OpId, OriginId, Outcome, Removal, ReplyBody, RequestHead, RequestId, ResidenceEvent, Seed, Symbol,
    TierId, WallTime,
};

/// Any day will do: the trace's own times count from its first request.
const CALENDAR: WallTime = WallTime::from_unix_millis(1_700_000_000_000);
/// Heads that are kept to be used again: a head tells a size, and sizes recur.
const HEADS_MAX: usize = 1 << 16;

/// One engine, its origin and its tiers.
pub struct Replay {
    engine: Engine<Symbol>,
    inputs: VecDeque<Input<Symbol>>,
    stores: Stores,
    /// Bodies on their way, and how much of each was not handed over yet.
    fetches: Few<FillId, Symbol>,
    ask: Arc<RequestHead>,
    heads: BTreeMap<ByteCount, Arc<Head>>,
    began_ms: Option<u64>,
    now: Instant,
    request: Request,
    requests: u64,
    asked: Count,
    origin: Count,
    /// In the order of [`TIERS`].
    tiers: [TierTotals; TIERS.len()],
    present: Vec<TierId>,
    span_ms: u64,
}

const TIERS: [TierId; 4] = [TierId::L0, TierId::L1, TierId::L2, TierId::L3];

const fn place(tier: TierId) -> usize {
    match tier {
        TierId::L0 => 0,
        TierId::L1 => 1,
        TierId::L2 => 2,
        TierId::L3 => 3,
    }
}

impl Replay {
    /// An empty cache. Heads cost nothing but on the disk, as in every trace simulator, so that numbers
    /// compare.
    pub fn new(config: Config, below: Below) -> Self {
        let present =
            config.has_memory().then_some(TierId::L0).into_iter().chain(config.byte_tiers()).collect();
        let local: Vec<_> = config.local_tiers().collect();
        let config = config.without_head_cost().without_collector();
        let mut replay = Self {
            engine: Engine::new(config, Seed(0), Instant::ZERO),
            inputs: VecDeque::new(),
            stores: Stores::new(below),
            fetches: Few::default(),
            ask: Arc::new(RequestHead {
                method: Method::Get,
                authority: "trace".into(),
                target: "/".into(),
                fields: Fields::new(),
            }),
            heads: BTreeMap::new(),
            began_ms: None,
            now: Instant::ZERO,
            request: Request { time_ms: 0, key: tiergate_engine::CacheKey(0), size: ByteCount::ZERO },
            requests: 0,
            asked: Count::default(),
            origin: Count::default(),
            tiers: [TierTotals::default(); TIERS.len()],
            present,
            span_ms: 0,
        };
        replay.inputs.push_back(Input::WallClock { wall: CALENDAR });
        for tier in local {
            replay.inputs.push_back(Input::TierJoined { tier, objects: 0, bytes: ByteCount::ZERO });
        }
        replay.drain();
        replay
    }

    /// What became of everything that was asked for.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            asked: self.asked,
            tiers: self.present.iter().map(|tier| (*tier, self.tiers[place(*tier)])).collect(),
            origin: self.origin,
            span_ms: self.span_ms,
        };
        if let Some(l1) = totals.tiers.get_mut(&TierId::L1) {
            (l1.evicted, l1.resident) = self.stores.l1();
        }
        if let Some(l2) = totals.tiers.get_mut(&TierId::L2) {
            (l2.evicted, l2.resident) = self.stores.l2();
            l2.device = Some(self.stores.device());
        }
        totals
    }

    /// Asks for one object, by the fast path first, as the proxy does.
    pub fn ask(&mut self, request: Request) {
        self.span_ms = request.time_ms - *self.began_ms.get_or_insert(request.time_ms);
        self.now = Instant::ZERO.after(Duration::from_millis(self.span_ms));
        self.request = request;
        self.asked.add(request.size);
        if self.engine.fresh_hit(self.now, request.key, Method::Get, std::iter::empty()).is_some() {
            return self.count_hit(TierId::L0);
        }
        self.requests += 1;
        self.inputs.push_back(Input::Request {
            request: RequestId(self.requests),
            key: request.key,
            origin: OriginId(0),
            head: Arc::clone(&self.ask),
        });
        self.drain();
    }

    fn count_hit(&mut self, tier: TierId) {
        self.tiers[place(tier)].hits.add(self.request.size);
    }

    /// Until nothing is left to answer.
    fn drain(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            self.engine.handle(self.now, input);
            let mut demand = None;
            while let Some(effect) = self.engine.poll_effect() {
                self.run(effect, &mut demand);
            }
            while let Some(event) = self.engine.poll_event() {
                self.count(&event);
            }
            if let Some(request) = demand {
                self.inputs.push_back(Input::Demand { request });
            }
        }
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Residence(ResidenceEvent::Stored { tier, length, from, .. }) => {
                let totals = &mut self.tiers[place(*tier)];
                totals.stored.add(*length);
                if from.is_some() {
                    totals.promoted.add(*length);
                }
            }
            // Heads cost nothing, so what an object costs is the size of its body.
            Event::Residence(ResidenceEvent::Removed { tier, why: Removal::Capacity, size, .. }) => {
                self.tiers[place(*tier)].evicted.add(*size);
            }
            Event::Residence(ResidenceEvent::Resident { tier, bytes, objects, .. }) => {
                self.tiers[place(*tier)].resident = Count { requests: *objects, bytes: bytes.0 };
            }
            _ => {}
        }
    }

    /// Answers one effect. The client takes whatever it is given, and at once wants more.
    fn run(&mut self, effect: Effect<Symbol>, demand: &mut Option<RequestId>) {
        match effect {
            Effect::Fetch { op, fill, .. } => self.fetch(op, fill),
            Effect::Pull { op, fill } => self.pull(op, fill),
            Effect::Cancel { fill } => {
                self.fetches.remove(&fill);
            }
            Effect::Serve { request, reply } => {
                match reply.outcome {
                    // Nothing in a replay is stale; if it were, a tier would have answered all the same.
                    Outcome::Hit { tier } | Outcome::Stale { tier, .. } | Outcome::Revalidated { tier } => {
                        self.count_hit(tier);
                    }
                    Outcome::Miss { .. } => self.origin.add(self.request.size),
                }
                match reply.body {
                    ReplyBody::Whole(_) => {}
                    ReplyBody::Streamed => *demand = Some(request),
                }
            }
            Effect::Body { request, .. } => *demand = Some(request),
            Effect::Finish { .. } => *demand = None,
            Effect::Adopt { .. } => unreachable!("nothing was answered around: {effect:?}"),
            Effect::Pass { .. } | Effect::Refuse { .. } => {
                unreachable!("plain requests, one at a time, are neither passed nor refused: {effect:?}")
            }
            Effect::PurgeDone { .. } | Effect::StoreBan { .. } => unreachable!("nobody purges: {effect:?}"),
            Effect::Durable { .. }
            | Effect::OpenBlob { .. }
            | Effect::Lookup { .. }
            | Effect::Read { .. }
            | Effect::Release { .. }
            | Effect::Open { .. }
            | Effect::Write { .. }
            | Effect::Commit { .. }
            | Effect::Discard { .. }
            | Effect::Freshen { .. }
            | Effect::Delete { .. } => {
                let wall = CALENDAR.after(Duration::from_millis(self.span_ms));
                if let Some(answer) = self.stores.answer(&effect, wall) {
                    self.inputs.push_back(answer);
                }
            }
        }
    }

    fn fetch(&mut self, op: OpId, fill: FillId) {
        let Request { key, size, .. } = self.request;
        self.fetches.insert(fill, body(key, size));
        if self.heads.len() >= HEADS_MAX {
            self.heads.clear();
        }
        let head = self.heads.entry(size).or_insert_with(|| Arc::new(head_of(size)));
        self.inputs.push_back(Answer::Head { head: Arc::clone(head) }.to(op));
    }

    fn pull(&mut self, op: OpId, fill: FillId) {
        let body = self.fetches.get_mut(&fill).expect("only a fetch that has not ended is pulled");
        let input = if body.size == 0 {
            self.fetches.remove(&fill);
            Answer::PullEnded.to(op)
        } else {
            let chunk = *body;
            *body = chunk.skip(chunk.size);
            Answer::Pulled { chunk }.to(op)
        };
        self.inputs.push_back(input);
    }
}

fn head_of(size: ByteCount) -> Head {
    let mut fields = Fields::new();
    fields.push("content-length", size.0.to_string().as_bytes());
    // RFC 9111 section 1.2.2: the longest lifetime there is.
    fields.push("cache-control", b"max-age=2147483648");
    Head { status: 200, fields }
}
