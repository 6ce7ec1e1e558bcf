//! The rig for behaviour tests: the real engine, an origin that answers when told to, tiers that answer at
//! once unless held, clients that read to the end unless told to be slow, and virtual time.

use crate::simulated_l3::{SimulatedL3, is_durable};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tiergate_engine::durable::Told;
use tiergate_engine::{
    Answer, Ban, Bans, ByteCount, CacheKey, Chunk, Config, Effect, End, Engine, Event, Fields, FillId,
    Freshening, Head, Input, Instant, Length, Method, OnRange, OpId, OriginFailure, OriginId, PurgeId,
    PurgeMode, PurgeOutcome, RawBreaker, RawConfig, RawDurableTier, RawFill, RawResilience, RawRetry,
    ReadFailure, ReadSource, Record, RecordId, RecordName, Refusal, Reply, ReplyBody, RequestHead, RequestId,
    Seed, Selector, StoredKey, Symbol, TierId, WallTime, WriterId,
};

/// What one client saw.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) reply: Option<Reply<Symbol>>,
    pub(crate) body: Vec<Symbol>,
    pub(crate) end: Option<End>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) is_passed: bool,
    is_slow: bool,
    has_demanded: bool,
}

impl Client {
    /// The body as one span, if it is one.
    pub(crate) fn span(&self) -> Option<Symbol> {
        let joined = self.body.iter().copied().map(Some).reduce(|whole, next| whole?.joined(next?));
        joined.flatten()
    }

    pub(crate) fn received(&self) -> u64 {
        self.body.iter().map(|chunk| chunk.size).sum()
    }
}

/// One byte tier.
#[derive(Debug, Default)]
pub(crate) struct Tier {
    pub(crate) records: BTreeMap<RecordName, (Arc<Record>, Vec<Symbol>)>,
    pub(crate) current: BTreeMap<CacheKey, RecordName>,
    pub(crate) bans: Bans,
    writers: BTreeMap<WriterId, (StoredKey, RecordName, Vec<Symbol>)>,
    /// Closed, also before they were opened.
    discarded: BTreeSet<WriterId>,
    open: BTreeMap<RecordId, (Arc<Record>, Vec<Symbol>)>,
    released: BTreeSet<RecordId>,
    /// While held, effects for this tier wait here.
    pub(crate) is_held: bool,
    pub(crate) fails: bool,
    /// What is read from it is not what was written.
    pub(crate) rots: bool,
    /// It brings whole bodies along with what it finds.
    pub(crate) brings_bodies: bool,
    /// Bytes read from it so far.
    pub(crate) read: u64,
    /// Lookups that came to it.
    pub(crate) lookups: usize,
    pub(crate) held: VecDeque<Effect<Symbol>>,
}

impl Tier {
    pub(crate) fn open_records(&self) -> usize {
        self.open.len()
    }
}

/// One fetch at the origin.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) target: String,
    pub(crate) head: Arc<RequestHead>,
    asked: Option<OpId>,
    pull: Option<OpId>,
    queue: VecDeque<Step>,
    sent: u64,
    /// What its head said of its length.
    promised: Option<u64>,
    /// All that was promised has come, and nothing more is asked for.
    is_over: bool,
    version: u32,
}

#[derive(Debug)]
enum Step {
    Chunk(u64),
    End,
    Fail(OriginFailure),
}

pub(crate) struct Rig {
    pub(crate) engine: Engine<Symbol>,
    pub(crate) now: Instant,
    /// Whom the requests from now on are for.
    pub(crate) origin: OriginId,
    pub(crate) clients: BTreeMap<RequestId, Client>,
    pub(crate) fetches: BTreeMap<FillId, Fetch>,
    pub(crate) asked: Vec<String>,
    pub(crate) cancelled: Vec<String>,
    pub(crate) tiers: BTreeMap<TierId, Tier>,
    pub(crate) durable_tier: SimulatedL3,
    pub(crate) events: Vec<Event>,
    pub(crate) purged: BTreeMap<PurgeId, Vec<(TierId, PurgeOutcome)>>,
    next_request: u64,
    /// How many heads the origin has sent.
    pub(crate) versions: u32,
    /// An answer to a POST that the engine is just being told of.
    offered: Option<Fetch>,
    inbox: VecDeque<Input<Symbol>>,
}

/// The calendar at the first instant, at the edge and in the durable store's index.
const CALENDAR: u64 = 1_000_000_000_000;

pub(crate) fn key(target: &str) -> CacheKey {
    CacheKey::of("example", target)
}

/// The object number that a target's bytes carry.
pub(crate) fn object(target: &str) -> u64 {
    key(target).0 as u64
}

/// No retries, and breakers that stay closed: for tests that are about something else.
fn careless() -> RawResilience {
    RawResilience {
        breaker: RawBreaker { calls_min: 1_000_000, failures_in_a_row: 1_000, ..RawBreaker::default() },
        retry: RawRetry { attempts_max: 1, ..RawRetry::default() },
        ..RawResilience::default()
    }
}

pub(crate) fn l0_only() -> RawConfig {
    RawConfig { resilience: careless(), ..RawConfig::default() }
}

/// L0 over a local disk.
pub(crate) fn with_disk() -> RawConfig {
    RawConfig { l2: Some(Default::default()), ..l0_only() }
}

/// L0 over a shared store that keeps its own index.
pub(crate) fn with_shared() -> RawConfig {
    RawConfig { l1: Some(Default::default()), ..l0_only() }
}

/// L0 over the durable store, where every body is a blob.
pub(crate) fn with_durable() -> RawConfig {
    with_rows(0)
}

/// L0 over the durable store, where bodies of up to so many bytes lie in their rows.
pub(crate) fn with_rows(row_body_max: u64) -> RawConfig {
    let l3 = RawDurableTier { row_body_max: ByteCount(row_body_max), ..RawDurableTier::default() };
    RawConfig { l3: Some(l3), ..l0_only() }
}

/// Requests for a part, and for the head, fetch nothing.
pub(crate) fn parts_pass(raw: RawConfig) -> RawConfig {
    RawConfig { fill: RawFill { on_range: OnRange::Never, ..raw.fill }, ..raw }
}

impl Rig {
    pub(crate) fn new(raw: RawConfig) -> Self {
        let config = Config::try_from(raw).expect("tests write sound configurations");
        Self::with_config(config)
    }

    /// The same, whose local tiers are not ready yet.
    pub(crate) fn starting(raw: RawConfig) -> Self {
        Self::with_seed(Config::try_from(raw).expect("tests write sound configurations"), 7)
    }

    /// One more edge, which shares the durable store of `other`.
    pub(crate) fn beside(other: &Self, raw: RawConfig, seed: u64) -> Self {
        let config = Config::try_from(raw).expect("tests write sound configurations");
        let mut rig = Self::with_seed(config, seed);
        rig.durable_tier.store = std::rc::Rc::clone(&other.durable_tier.store);
        rig.join();
        rig
    }

    /// The edge after a crash: what its tiers hold is there, all else is gone, the clocks have gone on.
    pub(crate) fn restarted(before: Self, raw: RawConfig) -> Self {
        let Self { now, tiers, durable_tier, versions, next_request, .. } = before;
        let config = Config::try_from(raw).expect("tests write sound configurations");
        // Names of records are never used twice.
        let mut rig = Self::with_seed(config, 100 + next_request);
        (rig.versions, rig.next_request) = (versions, next_request);
        rig.durable_tier.store = durable_tier.store;
        rig.pass_time(now.since(Instant::ZERO));
        for (id, tier) in tiers {
            let Tier { records, current, bans, .. } = tier;
            let in_force = bans.iter().cloned().collect();
            rig.tiers.insert(id, Tier { records, current, bans, ..Tier::default() });
            if id == TierId::L2 {
                rig.feed(Input::Recovered { tier: id, bans: in_force });
            }
        }
        rig.join();
        rig
    }

    /// The local tiers are ready.
    pub(crate) fn join(&mut self) {
        let local: Vec<TierId> = self.tiers.keys().copied().filter(|tier| *tier == TierId::L2).collect();
        for tier in local {
            let objects = self.tiers[&tier].records.len() as u64;
            self.feed(Input::TierJoined { tier, objects, bytes: ByteCount::ZERO });
        }
    }

    pub(crate) fn with_config(config: Config) -> Self {
        let mut rig = Self::with_seed(config, 7);
        rig.join();
        rig
    }

    fn with_seed(config: Config, seed: u64) -> Self {
        let local = config.byte_tiers().filter(|tier| *tier != TierId::L3);
        let tiers = local.map(|tier| (tier, Tier::default())).collect();
        let mut rig = Self {
            engine: Engine::new(config, Seed(seed), Instant::ZERO),
            now: Instant::ZERO,
            origin: OriginId(0),
            clients: BTreeMap::new(),
            fetches: BTreeMap::new(),
            asked: Vec::new(),
            cancelled: Vec::new(),
            tiers,
            durable_tier: SimulatedL3::default(),
            events: Vec::new(),
            purged: BTreeMap::new(),
            next_request: 0,
            versions: 0,
            offered: None,
            inbox: VecDeque::new(),
        };
        rig.feed(Input::WallClock { wall: WallTime::from_unix_millis(CALENDAR) });
        rig
    }

    /// A GET that reads to its end.
    pub(crate) fn get(&mut self, target: &str) -> RequestId {
        self.ask(Method::Get, target, &[], false)
    }

    /// A GET that takes a chunk only when [`Rig::demand`] says so.
    pub(crate) fn get_slowly(&mut self, target: &str) -> RequestId {
        self.ask(Method::Get, target, &[], true)
    }

    pub(crate) fn ask(
        &mut self,
        method: Method,
        target: &str,
        fields: &[(&str, &str)],
        is_slow: bool,
    ) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.clients.insert(request, Client { is_slow, ..Client::default() });
        let head = RequestHead {
            method,
            authority: "example".into(),
            target: target.into(),
            fields: fields.iter().copied().collect(),
        };
        self.feed(Input::Request { request, key: key(target), origin: self.origin, head: Arc::new(head) });
        request
    }

    pub(crate) fn demand(&mut self, request: RequestId) {
        self.clients.get_mut(&request).expect("clients ask first").has_demanded = true;
        self.feed(Input::Demand { request });
    }

    /// Is a slow client's response under way, and can it take a chunk?
    pub(crate) fn can_demand(&self, request: RequestId) -> bool {
        let client = self.client(request);
        client.reply.is_some() && client.end.is_none() && !client.has_demanded
    }

    pub(crate) fn leave(&mut self, request: RequestId) {
        self.feed(Input::Leave { request });
    }

    pub(crate) fn purge(&mut self, target: &str) -> PurgeId {
        self.purge_all_of(Selector::Key(key(target)), PurgeMode::Hard)
    }

    pub(crate) fn purge_all_of(&mut self, selector: Selector, mode: PurgeMode) -> PurgeId {
        self.next_request += 1;
        let purge = PurgeId(self.next_request);
        self.feed(Input::Purge { purge, selector, mode });
        purge
    }

    pub(crate) fn pass_time(&mut self, span: Duration) {
        self.now = self.now.after(span);
        if self.engine.poll_wake().is_some_and(|(at, _)| at <= self.now) {
            self.feed(Input::Wake);
        }
    }

    /// The newest fetch of `target`.
    pub(crate) fn fetch(&self, target: &str) -> FillId {
        let newest = self.fetches.iter().rev().find(|(_, fetch)| fetch.target == target);
        *newest.unwrap_or_else(|| panic!("nobody fetches {target}")).0
    }

    /// Fetches that the origin has sent no head for, oldest first.
    pub(crate) fn unanswered(&self) -> Vec<FillId> {
        let waiting = self.fetches.iter().filter(|(_, fetch)| fetch.asked.is_some());
        waiting.map(|(fill, _)| *fill).collect()
    }

    /// The origin sends a head, with a new version behind it.
    pub(crate) fn head(&mut self, target: &str, status: u16, fields: &[(&str, &str)]) {
        let fill = self.fetch(target);
        self.head_of(fill, status, fields);
    }

    /// The same for one of several fetches of a target.
    pub(crate) fn head_of(&mut self, fill: FillId, status: u16, fields: &[(&str, &str)]) {
        self.versions += 1;
        let fetch = self.fetches.get_mut(&fill).expect("it was just found");
        fetch.version = self.versions;
        let op = fetch.asked.take().expect("the head has not been sent yet");
        let head = Head { status, fields: fields.iter().copied().collect::<Fields>() };
        fetch.promised = match head.length() {
            Length::Known(length) => Some(length.0),
            Length::Unknown => None,
        };
        self.feed(Answer::Head { head: Arc::new(head) }.to(op));
    }

    /// The answer to a POST that was sent so long ago comes by, with a new version behind it. What it makes
    /// stale is purged.
    pub(crate) fn post(&mut self, target: &str, ago: Duration, fields: &[(&str, &str)]) -> PurgeId {
        self.post_with(target, ago, &[], fields)
    }

    /// The same of a POST with these fields.
    pub(crate) fn post_with(
        &mut self,
        target: &str,
        ago: Duration,
        asked: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> PurgeId {
        self.next_request += 1;
        self.versions += 1;
        let purge = PurgeId(self.next_request);
        let head = |fields: &[(&str, &str)]| fields.iter().copied().collect::<Fields>();
        let request = Arc::new(RequestHead {
            method: Method::Post,
            authority: "example".into(),
            target: target.into(),
            fields: head(asked),
        });
        let response = Arc::new(Head { status: 200, fields: head(fields) });
        self.offered = Some(Fetch {
            target: target.to_owned(),
            head: Arc::clone(&request),
            asked: None,
            pull: None,
            queue: VecDeque::new(),
            sent: 0,
            promised: match response.length() {
                Length::Known(length) => Some(length.0),
                Length::Unknown => None,
            },
            is_over: false,
            version: self.versions,
        });
        let since = self.now.since(Instant::ZERO).saturating_sub(ago);
        let sent = (Instant::ZERO.after(since), WallTime::from_unix_millis(CALENDAR).after(since));
        let (key, origin) = (key(target), self.origin);
        self.feed(Input::AnsweredAround { purge, key, origin, request, response, sent });
        self.offered = None;
        purge
    }

    /// The origin answers with `length` fresh bytes in chunks of `step`, to the end.
    pub(crate) fn answer(&mut self, target: &str, length: u64, step: u64) {
        self.head(target, 200, &[("cache-control", "max-age=60"), ("content-length", &length.to_string())]);
        self.send(target, length, step);
        self.end(target);
    }

    /// The same without saying the length beforehand.
    pub(crate) fn answer_chunked(&mut self, target: &str, length: u64, step: u64) {
        self.head(target, 200, &[("cache-control", "max-age=60")]);
        self.send(target, length, step);
        self.end(target);
    }

    pub(crate) fn send(&mut self, target: &str, length: u64, step: u64) {
        let fill = self.fetch(target);
        self.send_of(fill, length, step);
    }

    /// The same for one of several fetches of a target.
    pub(crate) fn send_of(&mut self, fill: FillId, length: u64, step: u64) {
        let fetch = self.fetches.get_mut(&fill).expect("it was just found");
        let mut left = length;
        while left > 0 {
            fetch.queue.push_back(Step::Chunk(left.min(step)));
            left -= left.min(step);
        }
        self.serve_origin(fill);
        self.run();
    }

    pub(crate) fn end(&mut self, target: &str) {
        let fill = self.fetch(target);
        self.end_of(fill);
    }

    /// The same for one of several fetches of a target.
    pub(crate) fn end_of(&mut self, fill: FillId) {
        // One that has kept its promise is over already.
        if !self.fetches[&fill].is_over {
            self.last_step(fill, Step::End);
        }
    }

    pub(crate) fn break_off(&mut self, target: &str) {
        let fill = self.fetch(target);
        self.break_off_of(fill);
    }

    /// The same for one of several fetches of a target.
    pub(crate) fn break_off_of(&mut self, fill: FillId) {
        self.last_step(fill, Step::Fail(OriginFailure::Broken));
    }

    fn last_step(&mut self, fill: FillId, step: Step) {
        self.fetches.get_mut(&fill).expect("it was just found").queue.push_back(step);
        self.serve_origin(fill);
        self.run();
    }

    pub(crate) fn refuse(&mut self, target: &str) {
        let fill = self.fetch(target);
        self.refuse_of(fill);
    }

    /// The same for one of several fetches of a target.
    pub(crate) fn refuse_of(&mut self, fill: FillId) {
        self.fail_of(fill, OriginFailure::Unreachable);
    }

    /// The same for any failure before the head.
    pub(crate) fn fail_of(&mut self, fill: FillId, failure: OriginFailure) {
        let op =
            self.fetches.remove(&fill).and_then(|fetch| fetch.asked).expect("the head has not been sent yet");
        self.feed(Answer::FetchFailed { failure }.to(op));
    }

    /// Lets a held tier answer everything that waits.
    pub(crate) fn release_tier(&mut self, tier: TierId) {
        let held = self.tiers.get_mut(&tier).expect("the tier is configured");
        held.is_held = false;
        for effect in std::mem::take(&mut held.held) {
            self.serve_tier(tier, effect);
            self.run();
        }
    }

    /// Lets a held tier answer the lookups among those that wait.
    pub(crate) fn answer_lookups(&mut self, tier: TierId) {
        let is_lookup = |effect: &Effect<Symbol>| matches!(effect, Effect::Lookup { .. });
        while let Some(place) = self.tiers[&tier].held.iter().position(is_lookup) {
            self.answer_tier(tier, |_| place);
        }
    }

    /// Lets a held tier answer one of those that wait, by its place among so many.
    pub(crate) fn answer_tier(&mut self, tier: TierId, pick: impl FnOnce(usize) -> usize) {
        let held = &mut self.tiers.get_mut(&tier).expect("the tier is configured").held;
        if !held.is_empty() {
            let effect = held.remove(pick(held.len())).expect("one of those was picked");
            self.serve_tier(tier, effect);
            self.run();
        }
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }

    pub(crate) fn client(&self, request: RequestId) -> &Client {
        &self.clients[&request]
    }

    /// Everything has ended: nothing is open.
    #[track_caller]
    pub(crate) fn assert_idle(&self) {
        assert!(self.engine.audit().is_idle(), "{:?}", self.engine.audit());
    }

    /// Everything has ended but fetches that the test leaves open.
    #[track_caller]
    pub(crate) fn assert_idle_but_fetching(&mut self) {
        for (_, fetch) in std::mem::take(&mut self.fetches) {
            if let Some(op) = fetch.asked {
                self.feed(Answer::FetchFailed { failure: OriginFailure::Unreachable }.to(op));
            }
        }
        self.assert_idle();
    }

    /// The one byte tier that is configured.
    pub(crate) fn engine_tier(&self) -> TierId {
        *self.tiers.keys().next().expect("the test configures a byte tier")
    }

    pub(crate) fn feed(&mut self, input: Input<Symbol>) {
        self.inbox.push_back(input);
        self.run();
    }

    fn run(&mut self) {
        while let Some(input) = self.inbox.pop_front() {
            self.engine.handle(self.now, input);
            let effects: Vec<_> = std::iter::from_fn(|| self.engine.poll_effect()).collect();
            self.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
            for effect in effects {
                self.execute(effect);
            }
        }
    }

    fn execute(&mut self, effect: Effect<Symbol>) {
        match effect {
            Effect::Fetch { op, fill, head, .. } => {
                let target = head.target.to_string();
                self.asked.push(target.clone());
                let fetch = Fetch {
                    target,
                    head,
                    asked: Some(op),
                    pull: None,
                    queue: VecDeque::new(),
                    sent: 0,
                    promised: None,
                    is_over: false,
                    version: 0,
                };
                self.fetches.insert(fill, fetch);
            }
            Effect::Adopt { fill } => {
                let offered = self.offered.take().expect("an answer was just told of");
                self.fetches.insert(fill, offered);
            }
            Effect::Pull { op, fill } => {
                self.fetches.get_mut(&fill).expect("pulls follow fetches").pull = Some(op);
                self.serve_origin(fill);
            }
            Effect::Cancel { fill } => {
                let fetch = self.fetches.get_mut(&fill).expect("only what runs is cancelled");
                assert!(!fetch.is_over, "{fill:?} is over");
                fetch.is_over = fetch.sent > 0 && fetch.promised == Some(fetch.sent);
                if !fetch.is_over {
                    self.cancelled.extend(self.fetches.remove(&fill).map(|fetch| fetch.target));
                }
            }
            Effect::Serve { request, reply } => {
                let client = self.clients.get_mut(&request).expect("clients ask first");
                assert!(client.reply.is_none(), "{request:?} is served twice");
                match &reply.body {
                    ReplyBody::Whole(resident) => {
                        client.body.clone_from(&resident.chunks);
                        client.end = Some(End::Complete);
                    }
                    ReplyBody::Streamed if !client.is_slow => self.inbox.push_back(Input::Demand { request }),
                    ReplyBody::Streamed => {}
                }
                self.clients.get_mut(&request).expect("it was just found").reply = Some(reply);
            }
            Effect::Body { request, chunk } => {
                let client = self.clients.get_mut(&request).expect("clients ask first");
                assert!(client.end.is_none(), "{request:?} gets bytes after its end");
                client.body.push(chunk);
                client.has_demanded = false;
                if !client.is_slow {
                    self.inbox.push_back(Input::Demand { request });
                }
            }
            Effect::Finish { request, end } => {
                let client = self.clients.get_mut(&request).expect("clients ask first");
                assert!(client.end.replace(end).is_none(), "{request:?} ends twice");
            }
            Effect::Pass { request, .. } => {
                self.clients.get_mut(&request).expect("clients ask first").is_passed = true
            }
            Effect::Refuse { request, refusal } => {
                self.clients.get_mut(&request).expect("clients ask first").refusal = Some(refusal);
            }
            Effect::PurgeDone { purge, report } => drop(self.purged.insert(purge, report)),
            effect if is_durable(&effect) => {
                if self.durable_tier.is_held {
                    self.durable_tier.held.push_back(effect);
                } else {
                    self.serve_durable_tier(&effect);
                }
            }
            Effect::Durable { .. } | Effect::OpenBlob { .. } => unreachable!("the durable store took it"),
            Effect::Lookup { tier, .. }
            | Effect::Read { tier, .. }
            | Effect::Release { tier, .. }
            | Effect::Open { tier, .. }
            | Effect::Write { tier, .. }
            | Effect::Commit { tier, .. }
            | Effect::Freshen { tier, .. }
            | Effect::Discard { tier, .. }
            | Effect::StoreBan { tier, .. }
            | Effect::Delete { tier, .. } => {
                let held = self.tiers.get_mut(&tier).expect("effects name configured tiers");
                if held.is_held { held.held.push_back(effect) } else { self.serve_tier(tier, effect) }
            }
        }
    }

    pub(crate) fn serve_durable_tier(&mut self, effect: &Effect<Symbol>) {
        let now = WallTime::from_unix_millis(CALENDAR).after(self.now.since(Instant::ZERO));
        self.inbox.extend(self.durable_tier.serve(effect, now));
    }

    /// The held durable store does what it was asked first, and the answer is lost on the way.
    pub(crate) fn lose_reply(&mut self) {
        let effect = self.durable_tier.held.pop_front().expect("something was asked");
        let now = WallTime::from_unix_millis(CALENDAR).after(self.now.since(Instant::ZERO));
        let Some(Input::Answer { op, answer: Answer::DurableTold { .. } }) =
            self.durable_tier.serve(&effect, now)
        else {
            panic!("{effect:?} has no such answer")
        };
        self.feed(Answer::DurableTold { told: Told::Unknown }.to(op));
    }

    /// The held durable store answers what it was asked first.
    pub(crate) fn answer_durable_tier(&mut self) {
        let effect = self.durable_tier.held.pop_front().expect("something was asked");
        self.serve_durable_tier(&effect);
        self.run();
    }

    /// Lets the held durable store answer everything that waits.
    pub(crate) fn release_durable_tier(&mut self) {
        self.durable_tier.is_held = false;
        while let Some(effect) = self.durable_tier.held.pop_front() {
            self.serve_durable_tier(&effect);
            self.run();
        }
    }

    fn serve_origin(&mut self, fill: FillId) {
        let Some(fetch) = self.fetches.get_mut(&fill) else { return };
        if fetch.pull.is_none() || fetch.queue.is_empty() {
            return;
        }
        let (Some(op), Some(step)) = (fetch.pull.take(), fetch.queue.pop_front()) else { return };
        self.inbox.push_back(match step {
            Step::Chunk(size) => {
                let (object, version, offset) = (object(&fetch.target), fetch.version, fetch.sent);
                fetch.sent += size;
                Answer::Pulled { chunk: Symbol { object, version, offset, size } }.to(op)
            }
            Step::End => Answer::PullEnded.to(op),
            Step::Fail(failure) => Answer::PullFailed { failure }.to(op),
        });
    }

    fn serve_tier(&mut self, id: TierId, effect: Effect<Symbol>) {
        let tier = self.tiers.get_mut(&id).expect("effects name configured tiers");
        // What is closed is closed: that cannot fail.
        let is_closing = matches!(effect, Effect::Release { .. } | Effect::Discard { .. });
        let answer = if tier.fails && !is_closing { refused(&effect) } else { answered(tier, &effect) };
        self.inbox.extend(answer);
    }
}

fn refused(effect: &Effect<Symbol>) -> Option<Input<Symbol>> {
    match effect {
        Effect::Lookup { op, .. } => Some(Answer::LookupFailed.to(*op)),
        Effect::Read { op, .. } => Some(Answer::ReadFailed { why: ReadFailure::Unavailable }.to(*op)),
        Effect::Open { op, .. }
        | Effect::Write { op, .. }
        | Effect::Commit { op, .. }
        | Effect::StoreBan { op, .. }
        | Effect::Freshen { op, .. } => Some(Answer::WriteFailed.to(*op)),
        Effect::Delete { op, .. } => Some(Answer::DeleteFailed.to(*op)),
        _ => None,
    }
}

fn answered(tier: &mut Tier, effect: &Effect<Symbol>) -> Option<Input<Symbol>> {
    match effect {
        Effect::Lookup { op, record, key, .. } => {
            tier.lookups += 1;
            let found = tier.current.get(&key.key).and_then(|name| tier.records.get(name)).cloned();
            Some(match found {
                Some((stored, body)) => {
                    let answer = Record::clone(&stored);
                    let whole = match Symbol::compact(body.clone())[..] {
                        [whole] if tier.brings_bodies => Some(whole),
                        _ => None,
                    };
                    // Its closing may have overtaken it.
                    if !tier.released.contains(record) {
                        tier.open.insert(*record, (stored, body));
                    }
                    Answer::Found { record: answer, body: whole }.to(*op)
                }
                None => Answer::Absent.to(*op),
            })
        }
        Effect::Read { op, .. } if tier.rots => Some(Answer::ReadFailed { why: ReadFailure::Rotten }.to(*op)),
        Effect::Read { op, source, offset, length_max, .. } => {
            let body = match source {
                ReadSource::Record(record) => tier.open.get(record).map(|(_, body)| body),
                ReadSource::Writer(writer) => tier.writers.get(writer).map(|(_, _, body)| body),
            };
            // Its closing has overtaken a read that nobody waits for.
            let Some(body) = body else {
                return Some(Answer::ReadFailed { why: ReadFailure::Unavailable }.to(*op));
            };
            let mut start = 0;
            let piece = body.iter().find_map(|chunk| {
                let within = offset.checked_sub(start).filter(|skip| *skip < chunk.size);
                start += chunk.size;
                within.map(|skip| Symbol {
                    offset: chunk.offset + skip,
                    size: (chunk.size - skip).min(*length_max),
                    ..*chunk
                })
            });
            tier.read += piece.map_or(0, |chunk| chunk.size);
            Some(match piece {
                Some(chunk) => Answer::BodyRead { chunk }.to(*op),
                None => Answer::ReadFailed { why: ReadFailure::Unavailable }.to(*op),
            })
        }
        Effect::Release { record, .. } => {
            assert!(tier.released.insert(*record), "{record:?} is closed twice");
            tier.open.remove(record);
            None
        }
        Effect::Open { op, writer, .. } if tier.discarded.contains(writer) => {
            Some(Answer::WriteFailed.to(*op))
        }
        Effect::Open { op, writer, key, name, .. } => {
            tier.writers.insert(*writer, (*key, *name, Vec::new()));
            Some(Answer::Opened.to(*op))
        }
        Effect::Write { op, writer, chunk, .. } => Some(match tier.writers.get_mut(writer) {
            Some((_, _, body)) => {
                body.push(*chunk);
                Answer::Written.to(*op)
            }
            None => Answer::WriteFailed.to(*op),
        }),
        Effect::Commit { op, writer, record, .. } => {
            let Some((_, name, body)) = tier.writers.get(writer).cloned() else {
                return Some(Answer::WriteFailed.to(*op));
            };
            assert_eq!(
                record.length.0,
                body.iter().map(|chunk| chunk.size).sum::<u64>(),
                "a record is as long as its body"
            );
            let superseded = tier.current.insert(record.key, name);
            tier.records.retain(|other, _| Some(*other) != superseded);
            tier.records.insert(name, (Arc::clone(record), body));
            Some(Answer::Committed.to(*op))
        }
        Effect::Discard { writer, .. } => {
            tier.writers.remove(writer);
            tier.discarded.insert(*writer);
            None
        }
        Effect::Freshen { op, record, .. } => {
            let freshening = match tier.records.get_mut(&record.name) {
                None => Freshening::Absent,
                Some((stored, _)) if stored.freshness.born() > record.freshness.born() => {
                    Freshening::Overtaken
                }
                Some((stored, _)) => {
                    assert_eq!((stored.key, stored.length), (record.key, record.length), "the body stays");
                    *stored = Arc::clone(record);
                    Freshening::Done
                }
            };
            Some(Answer::Freshened { freshening }.to(*op))
        }
        Effect::StoreBan { op, ban, .. } => {
            tier.bans.push(Ban::clone(ban));
            Some(Answer::BanStored.to(*op))
        }
        Effect::Delete { op, key, name, .. } => {
            let before = tier.records.len();
            if name.is_none() {
                tier.writers.retain(|_, (written, ..)| written.target != key.target);
            }
            tier.records.retain(|other, (record, _)| match name {
                Some(name) => other != name,
                None => record.target != key.target,
            });
            let records = &tier.records;
            tier.current.retain(|_, current| records.contains_key(current));
            Some(Answer::Deleted { existed: tier.records.len() < before }.to(*op))
        }
        _ => None,
    }
}
