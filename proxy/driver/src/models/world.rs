//! The models' world: an origin that tells its answers apart, a tier that knows the order of its calls, a
//! clock that is moved by hand. Start at [`Rig`].

use super::executor::{Executor, yield_now};
use crate::{
    Answer, Beginning, Body, ByteTier, Clock, Contents, Driver, Found, Handle, MemoryFeed, NoStore, Observer,
    Origin, OriginBody, Parts, PurgeFeed, Recorder, TierError, World, shard::Shared, sync::Mutex, timer,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    future::{pending, poll_fn},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
};
use tiergate_engine::{
    AbortReason, Audit, Ban, CacheKey, Config, Effect, Event, Fields, Freshening, Head, Input, Instant,
    Method, OriginFailure, PurgeMode, RawConfig, ReadSource, Record, RecordId, RecordName, RequestHead,
    Resident, Seed, Selector, StoredKey, TierId, WallTime, WriterId,
    feed::{FeedOrigin, Notice, Ticket},
};
use tiergate_invariants::{Contract, Edge, Fact, Invariants, Violation, What};

/// Bytes of each chunk: as many as the smallest window holds.
pub(super) const CHUNK: usize = 64 << 10;

/// Chunks of each body.
pub(super) const CHUNKS: usize = 2;

/// The origin says nothing to those who ask for this.
pub(super) const SILENT: &str = "/silent";

pub(super) struct Model;

impl World for Model {
    type Clock = ManualClock;
    type Spawn = Executor;
    type Origin = NumberingOrigin;
    type Tier = CheckedTier;
    type Blobs = NoStore;
    type Index = NoStore;
    type Feed = MemoryFeed;
    type Observer = Rules;
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(super) struct ManualClock {
    nanos: Arc<AtomicU64>,
    sleepers: Arc<Mutex<Vec<Waker>>>,
}

impl ManualClock {
    pub(super) fn move_to(&self, at: Instant) {
        self.nanos.store(at.as_nanos(), Ordering::SeqCst);
        let sleepers = std::mem::take(&mut *self.sleepers.lock().expect("the checkers know of no poison"));
        sleepers.into_iter().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_millis(1_700_000_000_000 + self.now().as_nanos() / 1_000_000)
    }

    async fn sleep_until(&self, at: Instant) {
        poll_fn(|context| {
            let mut sleepers = self.sleepers.lock().expect("the checkers know of no poison");
            if self.now() >= at {
                return Poll::Ready(());
            }
            sleepers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Answers with a body whose every byte is the number of the answer.
pub(super) struct NumberingOrigin(Arc<AtomicU8>);

pub(super) struct Numbered {
    number: u8,
    left: usize,
}

impl Origin for NumberingOrigin {
    type Body = Numbered;

    async fn fetch(
        &self,
        head: Arc<RequestHead>,
        _interim: impl Fn(Head) + Send + Sync + 'static,
    ) -> Result<(Head, Numbered), OriginFailure> {
        if &*head.target == SILENT {
            return pending().await;
        }
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = [("cache-control", "max-age=60".to_owned())].into_iter().collect();
        Ok((Head { status: 200, fields }, Numbered { number, left: CHUNKS }))
    }
}

impl OriginBody for Numbered {
    async fn next(&mut self) -> Result<Option<Bytes>, OriginFailure> {
        yield_now().await;
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        Ok(Some(Bytes::from(vec![self.number; CHUNK])))
    }
}

/// A byte tier that stores nothing for long, and panics when its calls break the contract of [`ByteTier`].
#[derive(Clone, Default)]
pub(super) struct CheckedTier(Arc<std::sync::Mutex<BTreeMap<Handle<WriterId>, OpenWriter>>>);

#[derive(Default)]
struct OpenWriter {
    is_busy: bool,
    written: Vec<u8>,
}

impl CheckedTier {
    /// Writers that were not closed.
    pub(super) fn open(&self) -> usize {
        self.entries().len()
    }

    /// Never held across an await, so the checker need not see it.
    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<Handle<WriterId>, OpenWriter>> {
        self.0.lock().expect("a violated contract ends the model")
    }

    /// A call that takes a while, and must be alone.
    async fn call(&self, handle: Handle<WriterId>, chunk: &[u8]) -> Result<(), TierError> {
        let was_busy = {
            let mut entries = self.entries();
            std::mem::replace(&mut entries.entry(handle).or_default().is_busy, true)
        };
        assert!(!was_busy, "two calls at once");
        yield_now().await;
        let is_open = self.entries().get_mut(&handle).map(|entry| {
            entry.is_busy = false;
            entry.written.extend_from_slice(chunk);
        });
        assert!(is_open.is_some(), "a writer was closed during a call");
        Ok(())
    }
}

impl ByteTier for CheckedTier {
    async fn join(&self) -> Contents {
        Contents::default()
    }

    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        Ok(Vec::new())
    }

    async fn store_ban(&self, _: Arc<Ban>) -> Result<(), TierError> {
        yield_now().await;
        Ok(())
    }

    async fn lookup(&self, _: Handle<RecordId>, _: StoredKey) -> Result<Option<Found>, TierError> {
        Ok(None)
    }

    async fn read(&self, _: Handle<ReadSource>, _: u64, _: u64) -> Result<Bytes, TierError> {
        Err(TierError::Failed("nothing is read back here".to_owned()))
    }

    fn release(&self, _: Handle<RecordId>) {}

    async fn open(&self, handle: Handle<WriterId>, _: StoredKey, _: RecordName) -> Result<(), TierError> {
        self.call(handle, &[]).await
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        self.call(handle, &chunk).await
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        self.call(handle, &[]).await?;
        let written = self.entries().get(&handle).map_or(0, |entry| entry.written.len());
        assert_eq!(written as u64, record.length.0, "a record was committed before its last byte");
        Ok(())
    }

    fn discard(&self, handle: Handle<WriterId>) {
        let closed = self.entries().remove(&handle);
        assert!(!closed.is_some_and(|entry| entry.is_busy), "a writer was closed during a call");
    }

    async fn freshen(&self, _: Arc<Record>) -> Result<Freshening, TierError> {
        Ok(Freshening::Absent)
    }

    async fn delete(&self, _: StoredKey, _: Option<RecordName>) -> Result<bool, TierError> {
        yield_now().await;
        Ok(false)
    }
}

/// The rules that need no more than an edge's own events.
const RULES: [&str; 9] = ["C2", "C4", "CON5", "CON6", "I6", "I15", "M4", "M5", "O2"];

/// The models' one edge.
const EDGE: Edge = Edge(0);

/// Who else appends to its log of purges.
const OTHER_EDGE: FeedOrigin = FeedOrigin(1);

/// Shows the rules what the engines tell, in the order in which the driver shows it, and holds the driver and
/// each engine to their contract. Its locks are never held across anything that the checker needs to see.
#[derive(Clone)]
pub(super) struct Rules {
    rules: Arc<std::sync::Mutex<Invariants>>,
    contracts: Arc<std::sync::Mutex<Vec<SharedContract>>>,
    recording: Recording,
}

/// Is what the engines are told and ask for recorded, and so held to the contract? The fast path then takes
/// another way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    On,
    Off,
}

type SharedContract = Arc<std::sync::Mutex<Contract>>;

impl Rules {
    fn new(recording: Recording) -> Self {
        let rules = Invariants::only(&RULES.map(str::to_owned)).expect("these rules are in the catalogue");
        Self { rules: Arc::new(std::sync::Mutex::new(rules)), contracts: Arc::default(), recording }
    }

    fn show(&self, at: Instant, what: What) {
        let fact = Fact { at, what };
        let mut rules = self.rules.lock().expect("a broken rule ends the model");
        if let Err(broken) = rules.observe(&fact) {
            drop(rules);
            panic!("{broken}, by {fact:?}");
        }
    }

    /// Nothing is open any more.
    fn settle(&self, at: Instant, open: Audit) {
        self.show(at, What::Settled { edge: EDGE, open });
        for contract in self.contracts.lock().expect("a broken contract ends the model").iter() {
            keeps(contract.lock().expect("a broken contract ends the model").on_end());
        }
    }
}

impl Observer for Rules {
    fn observe(&self, shard: u32, now: Instant, event: &Event) {
        self.show(now, What::Engine { edge: EDGE, shard, event: *event });
    }

    fn tier_failed(&self, _: TierId, _: &TierError) {}

    fn recorder(&self, _: &Beginning<'_>) -> Option<Box<dyn Recorder>> {
        if self.recording == Recording::Off {
            return None;
        }
        let contract = SharedContract::default();
        self.contracts.lock().expect("a broken contract ends the model").push(Arc::clone(&contract));
        Some(Box::new(Contracted(contract)))
    }
}

/// One shard's contract.
struct Contracted(SharedContract);

impl Recorder for Contracted {
    fn told(&mut self, now: Instant, input: &Input<Bytes>) {
        let mut contract = self.0.lock().expect("a broken contract ends the model");
        contract.on_drained();
        keeps(contract.on_input(now, input));
    }

    fn asked(&mut self, effect: &Effect<Bytes>) {
        keeps(self.0.lock().expect("a broken contract ends the model").on_effect(effect));
    }

    fn looked(&mut self, _: Instant, _: CacheKey, _: Method, _: &Fields, _: bool) {}
}

fn keeps(checked: Result<(), Violation>) {
    checked.unwrap_or_else(|broken| panic!("{broken}"));
}

/// A driver, and what the models see of its world.
#[derive(Clone)]
pub(super) struct Rig {
    pub(super) driver: Driver<Model>,
    pub(super) executor: Executor,
    pub(super) clock: ManualClock,
    pub(super) tier: CheckedTier,
    rules: Rules,
    fetches: Arc<AtomicU8>,
}

impl Rig {
    /// Without timers: nothing here is ever late.
    pub(super) fn new(raw: RawConfig, shards: u32) -> Self {
        Self::build(raw, shards, Timers::Off, Recording::On)
    }

    /// The same with the fast path as production has it.
    pub(super) fn unrecorded(raw: RawConfig) -> Self {
        Self::build(raw, 1, Timers::Off, Recording::Off)
    }

    pub(super) fn with_timers(raw: RawConfig) -> Self {
        Self::build(raw, 1, Timers::On, Recording::On)
    }

    fn build(raw: RawConfig, shards: u32, timers: Timers, recording: Recording) -> Self {
        let config = Config::try_from(raw).expect("the models' configurations are within bounds");
        let executor = Executor::new();
        let clock =
            ManualClock { nanos: Arc::new(AtomicU64::new(1)), sleepers: Arc::new(Mutex::new(Vec::new())) };
        let tier = CheckedTier::default();
        let fetches = Arc::new(AtomicU8::new(0));
        let rules = Rules::new(recording);
        let parts = Parts {
            clock: clock.clone(),
            spawn: executor.clone(),
            origin: NumberingOrigin(Arc::clone(&fetches)),
            tiers: vec![(TierId::L2, tier.clone())],
            durable: None,
            feed: config.feed_policy().map(|_| MemoryFeed::default()),
            observer: rules.clone(),
        };
        let shards = NonZeroU32::new(shards).expect("the models use at least one shard");
        let (shared, alarms, _) = Shared::new(parts, &config, Seed(7), shards);
        for tier in config.local_tiers() {
            shared.call(Box::pin(Arc::clone(&shared).join(tier)));
        }
        match timers {
            Timers::Off => drop(alarms),
            Timers::On => {
                for (shard, alarm) in shared.shards().zip(alarms) {
                    shared.spawn(timer::run(&shared, alarm, move |shared| shared.tell(shard, Input::Wake)));
                }
            }
        }
        Self { driver: Driver { shared }, executor, clock, tier, rules, fetches }
    }

    /// How often the origin has answered.
    pub(super) fn fetches(&self) -> u8 {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Asks for `target` and expects a body.
    pub(super) async fn ask(&self, target: &str) -> Body<Model> {
        match self.driver.request(key(target), Arc::new(head(target))).await {
            Answer::Serve(served) => served.body,
            Answer::Pass(bypass) => panic!("passed: {bypass:?}"),
            Answer::Refuse(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    /// Asks for `target` and reads to the end. The body is whole and of one answer of the origin: the one
    /// returned.
    pub(super) async fn read(&self, target: &str) -> u8 {
        let mut body = self.ask(target).await;
        number(&read_on(&mut body).await.expect("nothing breaks off here"))
    }

    /// A fresh copy in L0; the answer that it is of.
    pub(super) fn fresh_hit(&self, target: &str) -> Option<u8> {
        let fields = std::iter::empty::<(&str, &[u8])>();
        let (resident, _) = self.driver.fresh_hit(key(target), Method::Get, fields)?;
        Some(number(&concat(&resident)))
    }

    /// Another edge purges `target`: its notice is in the log, for who reads that.
    pub(super) fn purge_elsewhere(&self, target: &str) {
        let log = self.driver.shared.parts.feed.as_ref().expect("this model has a feed");
        let selector = Selector::Key(key(target));
        let notice = Notice { selector, mode: PurgeMode::Hard, at: self.clock.wall() };
        let appended = self.executor.run(log.append(OTHER_EDGE, Ticket(1), notice));
        appended.expect("this log is never away");
    }

    /// Reads the log of purges, as the feed's timer does: a task asks it, and tells the shards what it says.
    pub(super) fn read_log(&self) {
        self.driver.shared.wake_feed();
    }

    /// Lets all that is under way end, and requires that nothing is open.
    pub(super) fn settle(&self) {
        self.executor.work_off();
        let open = self.driver.audit();
        assert_eq!(open, Audit::default(), "the engine was not told of an end");
        self.rules.settle(self.clock.now(), open);
        assert_eq!(self.tier.open(), 0, "a writer was not closed");
    }
}

enum Timers {
    On,
    Off,
}

fn concat(resident: &Resident<Bytes>) -> Vec<u8> {
    resident.chunks.concat()
}

/// What is left of a body.
pub(super) async fn read_on(body: &mut Body<Model>) -> Result<Vec<u8>, AbortReason> {
    let mut read = Vec::new();
    while let Some(chunk) = body.next().await? {
        read.extend_from_slice(&chunk);
    }
    Ok(read)
}

/// The answer that a whole body is of.
fn number(body: &[u8]) -> u8 {
    assert_eq!(body.len(), CHUNK * CHUNKS, "a torn body");
    assert!(body.iter().all(|byte| *byte == body[0]), "a body of two answers");
    body[0]
}

pub(super) fn key(target: &str) -> CacheKey {
    CacheKey::of("a.test", target)
}

fn head(target: &str) -> RequestHead {
    RequestHead {
        method: Method::Get,
        authority: "a.test".into(),
        target: target.into(),
        fields: Fields::new(),
    }
}
