//! The engine on the rig, and what its clients were promised.

use super::{
    OriginWay, Step, TierMood,
    flat::{Flat, STEP_MS, Shape, TARGETS, covers},
    tag_of,
};
use crate::rig::{self, Rig};
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::time::Duration;
use tiergate_engine::{
    ByteCount, CacheKey, End, Event, FetchEvent, FillId, Instant, Method, PurgeId, PurgeMode, PurgeOutcome,
    RawConfig, RawFill, RawHttp, RequestId, Selector, TierId,
};

/// Turns after which everything must have come to an end.
const TURNS_MAX: usize = 200;
/// Longer than any lifetime, and than any breaker stays open.
const LONG: Duration = Duration::from_secs(600);

/// The edge under test.
pub(crate) struct Edge {
    rig: Rig,
    shape: Shape,
    open: BTreeMap<RequestId, Asked>,
    /// Fetches of each target that are not over.
    fetches: BTreeMap<FillId, CacheKey>,
    seen: usize,
    purges: Vec<Purge>,
    floors: Vec<Floor>,
    /// Which version each answer of the origin was.
    answers: BTreeMap<u32, (usize, usize)>,
    origin_waits: bool,
    /// Fetches whose head has been sent, and nothing of the body of so many bytes.
    headed: Vec<(FillId, u64)>,
}

struct Asked {
    target: usize,
    at_ms: u64,
    /// Nothing that the origin answered with before may be used.
    floor_ms: u64,
    /// It came while a fetch of the target was under way, and may share it however long that takes.
    may_share: bool,
    is_slow: bool,
}

/// A purge that is not confirmed.
struct Purge {
    id: PurgeId,
    asked_ms: u64,
    covered: Vec<usize>,
    is_remembered: bool,
}

/// A confirmed purge of one target.
struct Floor {
    target: usize,
    ms: u64,
    /// It did not take the object out of the tiers: an edge without a disk forgets it.
    is_remembered: bool,
}

fn config(shape: Shape) -> RawConfig {
    let mut raw = if shape.is_calm { rig::l0_only() } else { RawConfig::default() };
    raw.http = RawHttp { stale_if_error_s: 0, ..RawHttp::default() };
    raw.collapse.uncacheable_s = if shape.is_calm { 0 } else { 1 };
    raw.l0 = raw.l0.filter(|_| shape.l0);
    raw.l1 = shape.l1.then(Default::default);
    raw.l2 = shape.l2.then(Default::default);
    if !shape.is_calm {
        // Room for two or three, and lanes that lose what comes too fast.
        if let Some(l0) = &mut raw.l0 {
            l0.capacity = ByteCount(400);
        }
        if let Some(l2) = &mut raw.l2 {
            l2.capacity = ByteCount(400);
        }
        raw.fill = RawFill { lane_chunks_max: 1, read_size: ByteCount(7), ..RawFill::default() };
    }
    raw
}

impl Edge {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            rig: Rig::new(config(shape)),
            shape,
            open: BTreeMap::new(),
            fetches: BTreeMap::new(),
            seen: 0,
            purges: Vec::new(),
            floors: Vec::new(),
            answers: BTreeMap::new(),
            origin_waits: shape.origin_waits,
            headed: Vec::new(),
        }
    }

    /// Lives one step, and checks what came of it against the map after it.
    pub(super) fn lived(mut self, flat: &Flat, step: Step) -> Self {
        self.pass_time(flat);
        match step {
            Step::Ask { target, is_slow } => self.ask(flat, target, is_slow),
            // The map knows.
            Step::Publish { .. } | Step::PassTime { .. } => {}
            Step::Purge { selector, mode, .. } => self.purge(flat, &selector, mode),
            Step::Restart => self = self.restarted(),
            Step::Read { client } => {
                if let Some(request) = self.reader(client) {
                    self.rig.demand(request);
                }
            }
            Step::Leave { client } => {
                if let Some(request) = self.pick(client) {
                    self.rig.leave(request);
                    self.open.remove(&request);
                }
            }
            Step::OriginWaits { waits } => self.origin_waits = waits,
            Step::OriginAnswers { fetch, way } => {
                let waiting = self.rig.unanswered();
                if !waiting.is_empty() {
                    self.answer(flat, *fetch.get(&waiting), way);
                }
            }
            Step::OriginEnds { fetch, is_whole } => {
                if !self.headed.is_empty() {
                    let (fill, length) = self.headed.remove(fetch.index(self.headed.len()));
                    self.send_body(fill, length, is_whole);
                }
            }
            Step::TierTurns { first, mood } => {
                if let Some(tier) = self.tier(first) {
                    self.turn(tier, mood);
                }
            }
            Step::TierAnswers { first, place } => {
                if let Some(tier) = self.tier(first) {
                    self.rig.answer_tier(tier, |count| place.index(count));
                }
            }
        }
        self.look(flat);
        self
    }

    /// The trouble is over: everything ends, and then each target is answered whole with what is published.
    pub(super) fn end(mut self, flat: &Flat) {
        let mut flat = flat.clone();
        flat.due = None;
        self.origin_waits = false;
        for tier in [true, false].map(|first| self.tier(first)).into_iter().flatten() {
            self.turn(tier, TierMood::AtOnce);
        }
        let slow: Vec<_> = self.open.iter().filter(|(_, asked)| asked.is_slow).map(|(one, _)| *one).collect();
        for request in slow {
            self.rig.leave(request);
            self.open.remove(&request);
        }
        self.come_to_rest(&mut flat);
        flat.now_ms += LONG.as_millis() as u64;
        self.pass_time(&flat);
        for target in 0..TARGETS.len() {
            self.ask(&flat, target, false);
            let request = *self.open.keys().next_back().expect("it was just asked");
            self.look(&flat);
            self.come_to_rest(&mut flat);
            let reply = self.rig.client(request).reply.as_ref();
            let reply = reply.unwrap_or_else(|| panic!("{request:?} is not served after all trouble"));
            assert_eq!(version_of(reply.head.fields.only("x-version")), Some(flat.newest(target)));
            assert_eq!(self.rig.client(request).end, Some(End::Complete));
        }
        assert!(self.open.is_empty());
        self.rig.assert_idle();
        for tier in self.rig.tiers.values() {
            assert_eq!(tier.open_records(), 0, "a record is open");
        }
    }

    /// Lets time pass from one wake to the next until nothing is open.
    fn come_to_rest(&mut self, flat: &mut Flat) {
        for _ in 0..TURNS_MAX {
            self.look(flat);
            if self.rig.engine.audit().is_idle() {
                return;
            }
            let wake = self.rig.engine.poll_wake().map(|(at, _)| at);
            let until = wake.unwrap_or_else(|| panic!("nothing to wait for: {:?}", self.rig.engine.audit()));
            flat.now_ms = flat.now_ms.max(until.as_nanos().div_ceil(1_000_000)) + STEP_MS;
            self.pass_time(flat);
        }
        panic!("no end: {:?}", self.rig.engine.audit());
    }

    /// Until it is as late as in the map.
    fn pass_time(&mut self, flat: &Flat) {
        let now = Instant::from_nanos(flat.now_ms * 1_000_000);
        self.rig.pass_time(now.since(self.rig.now));
    }

    fn ask(&mut self, flat: &Flat, target: usize, is_slow: bool) {
        let key = rig::key(TARGETS[target]);
        let floors = self.floors.iter().filter(|floor| floor.target == target).map(|floor| floor.ms);
        let asked = Asked {
            target,
            at_ms: flat.now_ms,
            floor_ms: floors.max().unwrap_or(0),
            may_share: self.fetches.values().any(|fetched| *fetched == key),
            is_slow,
        };
        let request = self.rig.ask(Method::Get, TARGETS[target], &[], is_slow);
        self.open.insert(request, asked);
        if let Some(due) = flat.due {
            self.answer_all(flat);
            let client = self.rig.client(request);
            let head = client.reply.as_ref().map(|reply| &reply.head);
            let version = head.and_then(|head| version_of(head.fields.only("x-version")));
            assert_eq!(version, Some(due), "{request:?} for {}", TARGETS[target]);
            assert_eq!(client.end, Some(End::Complete), "{request:?}");
        }
    }

    fn purge(&mut self, flat: &Flat, selector: &Selector, mode: PurgeMode) {
        let id = self.rig.purge_all_of(selector.clone(), mode);
        let covered = (0..TARGETS.len()).filter(|target| covers(selector, *target)).collect();
        let is_taken_out = matches!((selector, mode), (Selector::Key(_), PurgeMode::Hard));
        self.purges.push(Purge { id, asked_ms: flat.now_ms, covered, is_remembered: !is_taken_out });
    }

    fn restarted(self) -> Self {
        let Self { rig, shape, mut floors, answers, origin_waits, .. } = self;
        floors.retain(|floor| shape.l2 || !floor.is_remembered);
        let rig = Rig::restarted(rig, config(shape));
        Self { rig, floors, answers, origin_waits, ..Self::new(shape) }
    }

    /// Lets the origin answer what it answers at once, and looks at what happened.
    fn look(&mut self, flat: &Flat) {
        if !self.origin_waits {
            self.answer_all(flat);
        }
        for event in &self.rig.events[self.seen..] {
            match event {
                Event::Fetch(FetchEvent::Fetched { fill, key, .. }) => drop(self.fetches.insert(*fill, *key)),
                Event::Fetch(FetchEvent::FetchEnded { fill, .. }) => drop(self.fetches.remove(fill)),
                _ => {}
            }
        }
        self.seen = self.rig.events.len();
        self.confirm_purges();
        self.judge_the_ended(flat);
    }

    fn confirm_purges(&mut self) {
        let (over, open): (Vec<_>, Vec<_>) =
            self.purges.drain(..).partition(|purge| self.rig.purged.contains_key(&purge.id));
        self.purges = open;
        for Purge { id, asked_ms, covered, is_remembered } in over {
            if self.rig.purged[&id].iter().all(|(_, outcome)| *outcome != PurgeOutcome::Failed) {
                let floor = |target| Floor { target, ms: asked_ms, is_remembered };
                self.floors.extend(covered.into_iter().map(floor));
            }
        }
    }

    fn judge_the_ended(&mut self, flat: &Flat) {
        let is_over = |request: &RequestId| {
            let client = self.rig.client(*request);
            client.end.is_some() || client.refusal.is_some()
        };
        let over: Vec<_> = self.open.keys().copied().filter(is_over).collect();
        for request in over {
            let asked = self.open.remove(&request).expect("it was just found");
            self.judge(flat, request, &asked);
        }
    }

    /// A whole answer is one version from its head to its last byte, and one that the map allows.
    fn judge(&self, flat: &Flat, request: RequestId, asked: &Asked) {
        let client = self.rig.client(request);
        assert!(!(self.shape.is_calm && client.refusal.is_some()), "{:?}", client.refusal);
        let Some(reply) = client.reply.as_ref().filter(|_| client.end == Some(End::Complete)) else { return };
        if reply.head.status == 503 {
            return;
        }
        let target = asked.target;
        let version = version_of(reply.head.fields.only("x-version")).expect("each version says which it is");
        let body = client.span().unwrap_or_else(|| panic!("{request:?} got pieces: {:?}", client.body));
        assert_eq!(self.answers[&body.version], (target, version), "{request:?} got another one's body");
        assert_eq!((body.offset, body.size), (0, flat.edition(target, version).length), "{request:?}");
        let asked_ms = if asked.may_share { 0 } else { asked.at_ms };
        assert!(
            flat.allows(target, version, asked_ms, asked.floor_ms),
            "{request:?}, asked at {} ms, got version {version} of {} at {} ms",
            asked.at_ms,
            TARGETS[target],
            flat.now_ms
        );
    }

    fn answer_all(&mut self, flat: &Flat) {
        for (fill, length) in std::mem::take(&mut self.headed) {
            self.send_body(fill, length, true);
        }
        while let Some(fill) = self.rig.unanswered().first() {
            self.answer(flat, *fill, OriginWay::Whole);
        }
    }

    /// The origin answers a fetch with what is published now.
    fn answer(&mut self, flat: &Flat, fill: FillId, way: OriginWay) {
        let fetch = &self.rig.fetches[&fill];
        let name = TARGETS.iter().position(|target| *target == fetch.target);
        let target = name.expect("only these are asked for");
        let version = flat.newest(target);
        let edition = flat.edition(target, version);
        let tag = format!("\"{version}\"");
        let is_known = fetch.head.fields.only("if-none-match") == Some(tag.as_bytes());
        let (length, number) = (edition.length.to_string(), version.to_string());
        let lifetime = match edition.lifetime_s {
            0 => "no-store".to_owned(),
            seconds => format!("max-age={seconds}"),
        };
        let surrogate = tag_of(target);
        let mut fields =
            vec![("x-version", &*number), ("cache-control", &*lifetime), ("surrogate-key", &*surrogate)];
        if edition.is_tagged {
            fields.push(("etag", &*tag));
        }
        let announced = [("content-length", &*length)];
        match way {
            OriginWay::Refuses => self.rig.refuse_of(fill),
            OriginWay::Errs => {
                self.rig.head_of(fill, 503, &[]);
                self.send_body(fill, 9, true);
            }
            OriginWay::Whole | OriginWay::HeadFirst if is_known => {
                self.rig.head_of(fill, 304, &fields);
                self.send_body(fill, 0, true);
            }
            OriginWay::Whole | OriginWay::HeadFirst => {
                self.answers.insert(self.rig.versions + 1, (target, version));
                self.rig.head_of(fill, 200, &[&fields[..], &announced].concat());
                if matches!(way, OriginWay::Whole) {
                    self.send_body(fill, edition.length, true);
                } else {
                    self.headed.push((fill, edition.length));
                }
            }
        }
    }

    /// The body in chunks of 20 bytes, or none of it and a broken connection, if it is still wanted.
    fn send_body(&mut self, fill: FillId, length: u64, is_whole: bool) {
        let is_wanted = |edge: &Self| edge.rig.fetches.contains_key(&fill);
        if is_whole && is_wanted(self) {
            self.rig.send_of(fill, length, 20);
        }
        match (is_wanted(self), is_whole) {
            (true, true) => self.rig.end_of(fill),
            (true, false) => self.rig.break_off_of(fill),
            (false, _) => {}
        }
    }

    fn tier(&self, first: bool) -> Option<TierId> {
        let mut tiers = self.rig.tiers.keys().copied();
        if first { tiers.next() } else { tiers.next_back() }
    }

    fn turn(&mut self, tier: TierId, mood: TierMood) {
        let turned = self.rig.tiers.get_mut(&tier).expect("it was just found");
        turned.fails = matches!(mood, TierMood::Fails);
        if matches!(mood, TierMood::Late) {
            turned.is_held = true;
        } else {
            self.rig.release_tier(tier);
        }
    }

    fn pick(&self, place: Index) -> Option<RequestId> {
        let open: Vec<_> = self.open.keys().copied().collect();
        (!open.is_empty()).then(|| *place.get(&open))
    }

    /// One of the slow clients that can take a chunk.
    fn reader(&self, place: Index) -> Option<RequestId> {
        let can_read =
            |(request, asked): &(&RequestId, &Asked)| asked.is_slow && self.rig.can_demand(**request);
        let open: Vec<_> = self.open.iter().filter(can_read).map(|(request, _)| *request).collect();
        (!open.is_empty()).then(|| *place.get(&open))
    }
}

fn version_of(field: Option<&[u8]>) -> Option<usize> {
    std::str::from_utf8(field?).ok()?.parse().ok()
}
