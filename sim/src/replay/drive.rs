//! Drives one engine through a trace: every effect is answered at once, so nothing ever overlaps.
//!
//! What a request finds is therefore the policies' doing alone. The origin has everything, in the size that the trace
//! says; tiers below L0 never fail. Nothing here decides anything.

use super::trace::Request;
use std::{collections::BTreeMap, collections::VecDeque, sync::Arc, time::Duration};
use tiergate_engine::{
    ByteCount, CacheKey, Chunk, Config, Effect, Engine, Event, Fields, FillId, Head, Input, Instant, Method,
    OpId, OriginId, Outcome, ReadSource, Record, RecordId, RecordName, ReplyBody, RequestHead, RequestId,
    Seed, Symbol, TierId, WallTime, WriterId,
};

/// Any day will do: the trace's own times count from its first record.
const CALENDAR: WallTime = WallTime::from_unix_millis(1_700_000_000_000);

/// Requests and the bytes they asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many requests.
    pub requests: u64,
    /// The sum of their sizes, as the trace has them.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, size: ByteCount) {
        self.requests += 1;
        self.bytes += size.0;
    }
}

/// What became of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All that was asked for.
    pub asked: Count,
    /// What each tier answered.
    pub hits: BTreeMap<TierId, Count>,
    /// What the origin had to answer.
    pub origin: Count,
    /// Seconds between the first request and the last.
    pub span_s: u64,
    /// Objects that left a tier to make room.
    pub evictions: BTreeMap<TierId, u64>,
}

impl Totals {
    /// The part of the requests, and of the bytes, that no tier answered.
    pub fn miss_ratios(&self) -> (f64, f64) {
        (ratio(self.origin.requests, self.asked.requests), ratio(self.origin.bytes, self.asked.bytes))
    }
}

/// `part` of `whole`; none of nothing.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// One engine, its origin and its tiers.
pub struct Replay {
    engine: Engine<Symbol>,
    inputs: VecDeque<Input<Symbol>>,
    tiers: BTreeMap<TierId, Tier>,
    /// Bodies on their way, and how much of each was not handed over yet.
    fetches: BTreeMap<FillId, Symbol>,
    head: Arc<RequestHead>,
    began_s: Option<u32>,
    now: Instant,
    request: Request,
    requests: u64,
    totals: Totals,
}

/// A tier that holds records without their bytes.
#[derive(Default)]
struct Tier {
    records: BTreeMap<RecordName, Record>,
    open: BTreeMap<RecordId, Symbol>,
    writers: BTreeMap<WriterId, u64>,
}

impl Replay {
    /// An empty cache. `config` must not name a tier that keeps its own index: nobody knows what it would evict.
    pub fn new(config: Config) -> Self {
        let tiers: BTreeMap<_, _> = config.byte_tiers().map(|tier| (tier, Tier::default())).collect();
        let mut replay = Self {
            engine: Engine::new(config, Seed(0), Instant::ZERO),
            inputs: VecDeque::new(),
            tiers,
            fetches: BTreeMap::new(),
            head: Arc::new(RequestHead {
                method: Method::Get,
                authority: "trace".into(),
                target: "/".into(),
                fields: Fields::new(),
            }),
            began_s: None,
            now: Instant::ZERO,
            request: Request { time_s: 0, object: 0, size: ByteCount::ZERO },
            requests: 0,
            totals: Totals::default(),
        };
        replay.inputs.push_back(Input::WallClock { wall: CALENDAR });
        replay.drain();
        replay
    }

    /// What became of everything that was asked for.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Asks for one object, by the fast door first, as the proxy does.
    pub fn ask(&mut self, request: Request) {
        let span_s = u64::from(request.time_s - *self.began_s.get_or_insert(request.time_s));
        self.now = Instant::ZERO.after(Duration::from_secs(span_s));
        self.request = request;
        self.totals.span_s = span_s;
        self.totals.asked.add(request.size);
        let key = key_of(request.object);
        if self.engine.fresh_hit(self.now, key, Method::Get, std::iter::empty()).is_some() {
            return self.count_hit(TierId::L0);
        }
        self.requests += 1;
        self.inputs.push_back(Input::Request {
            request: RequestId(self.requests),
            key,
            origin: OriginId(0),
            head: Arc::clone(&self.head),
        });
        self.drain();
    }

    fn count_hit(&mut self, tier: TierId) {
        self.totals.hits.entry(tier).or_default().add(self.request.size);
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
                if let Event::Removed { tier, why: tiergate_engine::Removal::Capacity, .. } = event {
                    *self.totals.evictions.entry(tier).or_default() += 1;
                }
            }
            if let Some(request) = demand {
                self.inputs.push_back(Input::Demand { request });
            }
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
                    Outcome::Miss { .. } => self.totals.origin.add(self.request.size),
                }
                match reply.body {
                    ReplyBody::Whole(_) => {}
                    ReplyBody::Streamed => *demand = Some(request),
                }
            }
            Effect::Body { request, .. } => *demand = Some(request),
            Effect::Finish { .. } => *demand = None,
            Effect::Pass { .. } | Effect::Refuse { .. } => {
                unreachable!("plain requests, one at a time, are neither passed nor refused: {effect:?}")
            }
            Effect::PurgeDone { .. } | Effect::StoreBan { .. } => unreachable!("nobody purges: {effect:?}"),
            Effect::Durable { .. } | Effect::OpenBlob { .. } => {
                unreachable!("a replay has no durable store: {effect:?}")
            }
            Effect::Lookup { tier, .. }
            | Effect::Read { tier, .. }
            | Effect::Release { tier, .. }
            | Effect::Open { tier, .. }
            | Effect::Write { tier, .. }
            | Effect::Commit { tier, .. }
            | Effect::Discard { tier, .. }
            | Effect::Freshen { tier, .. }
            | Effect::Delete { tier, .. } => {
                let object = self.request.object;
                let tier = self.tiers.get_mut(&tier).expect("effects name only tiers of the configuration");
                self.inputs.extend(tier.answer(effect, object));
            }
        }
    }

    fn fetch(&mut self, op: OpId, fill: FillId) {
        let Request { object, size, .. } = self.request;
        let body = Symbol { object, version: 1, offset: 0, size: size.0 };
        self.fetches.insert(fill, body);
        let mut fields = Fields::new();
        fields.push("content-length", size.0.to_string().as_bytes());
        // RFC 9111 section 1.2.2: the longest lifetime there is.
        fields.push("cache-control", b"max-age=2147483648");
        let head = Arc::new(Head { status: 200, fields });
        self.inputs.push_back(Input::Head { op, head });
    }

    fn pull(&mut self, op: OpId, fill: FillId) {
        let body = self.fetches.get_mut(&fill).expect("only a fetch that has not ended is pulled");
        let input = if body.size == 0 {
            self.fetches.remove(&fill);
            Input::PullEnded { op }
        } else {
            let chunk = *body;
            *body = chunk.skip(chunk.size);
            Input::Pulled { op, chunk }
        };
        self.inputs.push_back(input);
    }
}

impl Tier {
    fn answer(&mut self, effect: Effect<Symbol>, object: u64) -> Option<Input<Symbol>> {
        match effect {
            Effect::Lookup { op, record, name, .. } => {
                let found = name.and_then(|name| self.records.get(&name));
                Some(match found {
                    Some(found) => {
                        let body = Symbol { object, version: 1, offset: 0, size: found.length.0 };
                        self.open.insert(record, body);
                        Input::Found { op, record: found.clone() }
                    }
                    None => Input::Absent { op },
                })
            }
            Effect::Read { op, source: ReadSource::Record(record), offset, length_max, .. } => {
                let mut chunk = self.open.get(&record).expect("only an open record is read").skip(offset);
                chunk.size = chunk.size.min(length_max);
                Some(Input::BodyRead { op, chunk })
            }
            Effect::Read { op, source: ReadSource::Writer(writer), offset, length_max, .. } => {
                let size = self.writers.get(&writer).expect("only an open writer is read") - offset;
                let chunk = Symbol { object, version: 1, offset, size: size.min(length_max) };
                Some(Input::BodyRead { op, chunk })
            }
            Effect::Release { record, .. } => {
                self.open.remove(&record);
                None
            }
            Effect::Open { op, writer, .. } => {
                self.writers.insert(writer, 0);
                Some(Input::Opened { op })
            }
            Effect::Write { op, writer, chunk, .. } => {
                *self.writers.get_mut(&writer).expect("only an open writer is written to") += chunk.size;
                Some(Input::Written { op })
            }
            Effect::Commit { op, record, .. } => {
                self.records.insert(record.name, Record::clone(&record));
                Some(Input::Committed { op })
            }
            Effect::Discard { writer, .. } => {
                self.writers.remove(&writer);
                None
            }
            Effect::Freshen { .. } => unreachable!("nothing in a trace grows stale: {effect:?}"),
            Effect::Delete { op, name, .. } => {
                let existed = name.is_some_and(|name| self.records.remove(&name).is_some());
                Some(Input::Deleted { op, existed })
            }
            Effect::Durable { .. }
            | Effect::OpenBlob { .. }
            | Effect::StoreBan { .. }
            | Effect::Fetch { .. }
            | Effect::Pull { .. }
            | Effect::Cancel { .. }
            | Effect::Serve { .. }
            | Effect::Body { .. }
            | Effect::Finish { .. }
            | Effect::Pass { .. }
            | Effect::Refuse { .. }
            | Effect::PurgeDone { .. } => unreachable!("not a tier's effect: {effect:?}"),
        }
    }
}

/// The key of a trace's object. A trace has numbers instead of targets, so its objects have no key but this.
fn key_of(object: u64) -> CacheKey {
    CacheKey(u128::from(object).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}
