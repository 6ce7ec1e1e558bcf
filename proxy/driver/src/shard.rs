//! The engines behind their locks: [`Shared`] owns the shards, and a [`Turn`] is one visit to one of them.
//!
//! A turn never waits. What its effects ask for is deferred until the lock is free: wakers, spawns,
//! and tier calls as far as they come without waiting. A turn that is taken from a `Drop`, or under the
//! feed's lock, leaves tier calls to tasks. What an effect becomes is in `effects`.

use crate::{
    Beginning, ByteTier, Clock, Contents, Handle, Observer, Parts, Recorder, Spawn, World,
    around::AdoptedBody,
    call::{HandleId, InUse},
    client::Inbox,
    feed::FeedClient,
    fetch::{Fetch, Pull},
    plant::{Fault, is_planted},
    sync::{self, Mutex, MutexGuard, oneshot, watch},
};
use bytes::Bytes;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tiergate_engine::{
    Audit, CacheKey, Config, Engine, Fields, FillId, Input, Instant, Known, Method, PurgeId, PurgeMode,
    PurgeOutcome, RequestId, Resident, Seed, Selector, TierId, durable::Terms,
};

/// The calendar has jumped when it and the monotonic clock have moved apart by more than this. Freshness
/// counts whole seconds, and ordinary slewing stays far below it between two inputs.
const CALENDAR_DRIFT_MAX_MS: u64 = 500;

/// What a timer sleeps for.
type Alarm = watch::Receiver<Option<Instant>>;

/// What runs beside the caller.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tier calls that are made within one another, each by the answer to the one before; one more becomes a
/// task. It bounds the stack, and is more than a hit from a tier needs: a lookup, a read, and a chunk for the
/// lane of each faster tier.
const CALLS_WITHIN_MAX: u32 = 8;

/// Where the tier calls that a turn defers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TierCalls {
    /// At once, on the caller's thread, as far as they come without waiting.
    Inline,
    /// In tasks of their own: the caller is being dropped, perhaps with its whole world, or holds another
    /// lock.
    Spawned,
}

/// A purge's report.
pub(crate) type Report = Vec<(TierId, PurgeOutcome)>;

/// The parts of the world and the shards. Tasks and bodies under way keep it alive.
pub(crate) struct Shared<W: World> {
    pub(crate) parts: Parts<W>,
    /// The durable tier's, if the configuration names it.
    pub(crate) terms: Option<Terms>,
    shards: Vec<Mutex<Shard<W>>>,
    /// The purge feed's client, if there is a feed. Its lock comes before the shards'.
    pub(crate) feed_client: Option<Mutex<FeedClient>>,
    /// Counts the records that were opened for an operator to look at. No thread waits for another by it.
    pub(crate) inspections: AtomicU64,
}

/// One engine, with the clients, purges and fetches that wait for its effects.
pub(crate) struct Shard<W: World> {
    engine: Engine<Bytes>,
    /// Writes down what the engine is told and asks for, if somebody wants to replay it.
    recorder: Option<Box<dyn Recorder>>,
    /// One inbox for each request whose last message was not taken yet.
    pub(crate) inboxes: BTreeMap<RequestId, Inbox>,
    /// Where each open purge's report goes.
    pub(crate) purges: BTreeMap<PurgeId, oneshot::Sender<Report>>,
    /// Where the pulls of each fetch go.
    pub(crate) fetches: BTreeMap<FillId, Fetch<W>>,
    /// The body of the answer that the engine is just being told of, until it is adopted.
    pub(crate) offered: Option<AdoptedBody<W>>,
    /// Writers and records with tier calls under way.
    pub(crate) in_use: BTreeMap<HandleId, InUse>,
    requests_minted: u64,
    purges_minted: u64,
    calendar: Option<Calendar>,
    /// What the timer sleeps for. Dropping it ends the timer.
    alarm: watch::Sender<Option<Instant>>,
}

/// How the calendar and the monotonic clock stood to each other when the engine was told: calendar time at
/// the monotonic clock's origin, in milliseconds.
#[derive(Clone, Copy)]
struct Calendar(i128);

/// What is left to do when a turn is over and the lock is free.
pub(crate) enum Deferred<W: World> {
    /// Wakes a client whose inbox was empty.
    Wake(Waker),
    /// Starts a task.
    Spawn(Task),
    /// Makes a tier call: at once as far as it comes without waiting, and in a task from there on.
    Call(Task),
    /// Closes a record or writer of a tier.
    Close(TierId, Handle<HandleId>),
    /// Gives a pull to its fetch. Without a fetch it is dropped, and so answers itself.
    Pull(Option<Fetch<W>>, Pull<W>),
    /// Releases a fetch, which cancels it.
    ReleaseFetch(Fetch<W>),
    /// Hands over a purge's report.
    Report(oneshot::Sender<Report>, Report),
}

/// One visit to one shard, under its lock.
pub(crate) struct Turn<'t, W: World> {
    pub(crate) shared: &'t Arc<Shared<W>>,
    pub(crate) number: u32,
    pub(crate) shard: &'t mut Shard<W>,
    pub(crate) deferred: &'t mut Vec<Deferred<W>>,
}

impl<W: World> Shared<W> {
    /// Fresh engines, and for each what its timer sleeps for; last, what the feed's timer does.
    pub(crate) fn new(
        parts: Parts<W>,
        config: &Config,
        seed: Seed,
        shards: NonZeroU32,
    ) -> (Arc<Self>, Vec<Alarm>, Option<Alarm>) {
        let now = parts.clock.now();
        let (shards, alarms) = (0..shards.get())
            .map(|number| {
                let seed = Seed(seed.split(&format!("shard {number}")).bits());
                let share = config.for_one_of(number, shards.get());
                let beginning =
                    Beginning { config: &share, shards: shards.get(), shard: number, seed, at: now };
                let recorder = parts.observer.recorder(&beginning);
                let engine = Engine::new(share, seed, now);
                let (alarm, armed) = watch::channel(None);
                (Mutex::new(Shard::new(engine, recorder, alarm)), armed)
            })
            .unzip();
        let (feed_client, feed_alarm) =
            config.feed_policy().map(|policy| FeedClient::new(policy, seed)).unzip();
        let (terms, inspections) = (config.durable_terms(), AtomicU64::new(0));
        (Arc::new(Self { parts, terms, shards, feed_client, inspections }), alarms, feed_alarm)
    }

    /// The shards' numbers.
    pub(crate) fn shards(&self) -> impl Iterator<Item = u32> + use<W> {
        0..self.count()
    }

    fn count(&self) -> u32 {
        u32::try_from(self.shards.len()).expect("the shards were counted by a u32")
    }

    /// Which shard a key belongs to: its upper 32 bits, scaled to the number of shards.
    pub(crate) fn shard_of(&self, key: CacheKey) -> u32 {
        let upper = key.0 >> 96;
        u32::try_from((upper * u128::from(self.count())) >> 32)
            .expect("32 bits times a u32, shifted by 32, fit a u32")
    }

    /// May a shard hold some of what is covered?
    pub(crate) fn has_some_of(&self, shard: u32, selector: &Selector) -> bool {
        match selector {
            Selector::Key(key) => self.shard_of(*key) == shard,
            Selector::Tag(_) | Selector::Prefix(_) | Selector::All => true,
        }
    }

    /// A byte tier that the configuration names.
    pub(crate) fn byte_tier(&self, id: TierId) -> &W::Tier {
        let named = self.parts.tiers.iter().find(|(tier, _)| *tier == id);
        &named.expect("`Driver::start` found every configured tier").1
    }

    /// Waits until a local tier can be asked, and tells every engine.
    pub(crate) async fn join(self: Arc<Self>, tier: TierId) {
        let Contents { objects, bytes } = self.byte_tier(tier).join().await;
        for shard in self.shards() {
            self.tell(shard, Input::TierJoined { tier, objects, bytes });
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.parts.spawn.spawn(task);
    }

    /// Tells one engine one thing, and does what it asks.
    pub(crate) fn tell(self: &Arc<Self>, shard: u32, input: Input<Bytes>) {
        self.turn(shard, |turn| turn.handle(input));
    }

    /// The same under another lock, which no tier shall prolong.
    pub(crate) fn tell_under_lock(self: &Arc<Self>, shard: u32, input: Input<Bytes>) {
        self.turn_with_tasks(shard, |turn| turn.handle(input));
    }

    /// Takes the shard's lock for `work`, and runs what was deferred after it.
    pub(crate) fn turn<R>(self: &Arc<Self>, number: u32, work: impl FnOnce(&mut Turn<'_, W>) -> R) -> R {
        self.turn_at(number, TierCalls::Inline, work)
    }

    /// The same, but tier calls are left to tasks: from a `Drop`, for a world that is torn down drops its
    /// tasks and so touches no tier; and under another lock, which no tier shall prolong.
    pub(crate) fn turn_with_tasks<R>(
        self: &Arc<Self>,
        number: u32,
        work: impl FnOnce(&mut Turn<'_, W>) -> R,
    ) -> R {
        self.turn_at(number, TierCalls::Spawned, work)
    }

    fn turn_at<R>(
        self: &Arc<Self>,
        number: u32,
        calls: TierCalls,
        work: impl FnOnce(&mut Turn<'_, W>) -> R,
    ) -> R {
        // Declared before the lock is taken: after a panic, the lock is free when deferred calls are dropped.
        let mut deferred = Vec::new();
        let result = {
            let mut shard = self.lock(number);
            work(&mut Turn { shared: self, number, shard: &mut shard, deferred: &mut deferred })
        };
        for action in deferred {
            action.run(self, calls);
        }
        result
    }

    /// Makes a tier call as far as it comes without waiting. What is left of it is a task's.
    pub(crate) fn call(&self, mut task: Task) {
        let mut poll = || task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // A call that panics ends as its task would: whoever waits for it is told, and its caller goes on.
        let is_over = |polled: Option<Poll<()>>| polled.is_none_or(|polled| polled.is_ready());
        match sync::nested(CALLS_WITHIN_MAX, || is_over(sync::contained(&mut poll))) {
            Some(true) => {}
            Some(false) | None => self.spawn(task),
        }
    }

    fn lock(&self, number: u32) -> MutexGuard<'_, Shard<W>> {
        self.shards[number as usize]
            .lock()
            .expect("an engine that panicked has lost its state, so this shard cannot go on")
    }

    /// Did this shard's engine panic? What is dropped on the way out then has nobody to tell.
    pub(crate) fn is_lost(&self, number: u32) -> bool {
        sync::is_poisoned(&self.shards[number as usize])
    }

    pub(crate) fn fresh_hit<'f>(
        &self,
        key: CacheKey,
        method: Method,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Option<(Arc<Resident<Bytes>>, Duration)> {
        let number = self.shard_of(key);
        let mut shard = self.lock(number);
        let now = self.parts.clock.now();
        if is_planted(Fault::LooksTwice) {
            shard.engine.fresh_hit(now, key, method, std::iter::empty())?;
            drop(shard);
            shard = self.lock(number);
            let seen = shard.engine.fresh_hit(now, key, method, fields);
            return Some((seen.expect("it was there a moment ago").into_owned(), Duration::ZERO));
        }
        let shard = &mut *shard;
        let resident = match &mut shard.recorder {
            None => shard.engine.fresh_hit(now, key, method, fields).map(Cow::into_owned),
            Some(recorder) => {
                let fields: Fields = fields.collect();
                let resident = shard.engine.fresh_hit(now, key, method, fields.iter()).map(Cow::into_owned);
                recorder.looked(now, key, method, &fields, resident.is_some());
                resident
            }
        }?;
        self.parts.observer.fresh_hit(number);
        let age = resident.freshness.age(now);
        Some((resident, age))
    }

    /// What an engine knows of a target.
    pub(crate) fn inspect(&self, target: CacheKey) -> Known<Bytes> {
        let shard = self.lock(self.shard_of(target));
        shard.engine.inspect(self.parts.clock.now(), target)
    }

    pub(crate) fn audit(&self) -> Audit {
        self.shards().fold(Audit::default(), |sum, number| {
            let shard = self.lock(number);
            let audit = shard.engine.audit();
            let is_idle = shard.fetches.is_empty() && shard.purges.is_empty();
            assert!(
                is_idle || !audit.is_idle(),
                "the engine of shard {number} is idle, but {} fetches and {} purges are open here",
                shard.fetches.len(),
                shard.purges.len()
            );
            sum.plus(audit)
        })
    }
}

impl<W: World> Shard<W> {
    fn new(
        engine: Engine<Bytes>,
        recorder: Option<Box<dyn Recorder>>,
        alarm: watch::Sender<Option<Instant>>,
    ) -> Self {
        Self {
            engine,
            recorder,
            inboxes: BTreeMap::new(),
            purges: BTreeMap::new(),
            fetches: BTreeMap::new(),
            offered: None,
            in_use: BTreeMap::new(),
            requests_minted: 0,
            purges_minted: 0,
            calendar: None,
            alarm,
        }
    }
}

impl<W: World> Turn<'_, W> {
    /// A request id, with an empty inbox under it.
    pub(crate) fn open_inbox(&mut self) -> RequestId {
        self.shard.requests_minted += 1;
        let request = RequestId(self.shard.requests_minted);
        self.shard.inboxes.insert(request, Inbox::default());
        request
    }

    /// A purge's name, and where its report will come.
    pub(crate) fn open_purge(&mut self) -> (PurgeId, oneshot::Receiver<Report>) {
        self.shard.purges_minted += 1;
        let purge = PurgeId(self.shard.purges_minted);
        let (sender, report) = oneshot::channel();
        self.shard.purges.insert(purge, sender);
        (purge, report)
    }

    /// Begins a purge.
    pub(crate) fn purge(&mut self, selector: Selector, mode: PurgeMode) -> oneshot::Receiver<Report> {
        let (purge, report) = self.open_purge();
        self.handle(Input::Purge { purge, selector, mode });
        report
    }

    /// Tells the engine one thing. The clock is read under the lock, so that an engine's time never runs
    /// backwards.
    pub(crate) fn handle(&mut self, input: Input<Bytes>) {
        let now = self.shared.parts.clock.now();
        self.tell_calendar(now);
        self.step(now, input);
        self.arm(now);
    }

    /// Tells the engine the calendar time, when it knows none or the calendar jumped.
    fn tell_calendar(&mut self, now: Instant) {
        let wall = self.shared.parts.clock.wall();
        let calendar = i128::from(wall.as_unix_millis()) - i128::from(now.as_nanos() / 1_000_000);
        let jumped = self
            .shard
            .calendar
            .is_none_or(|told| told.0.abs_diff(calendar) > u128::from(CALENDAR_DRIFT_MAX_MS));
        if jumped {
            self.shard.calendar = Some(Calendar(calendar));
            self.step(now, Input::WallClock { wall });
        }
    }

    /// The drain rule: one input, then every effect and every event.
    fn step(&mut self, now: Instant, input: Input<Bytes>) {
        if let Some(recorder) = &mut self.shard.recorder {
            recorder.told(now, &input);
        }
        self.shard.engine.handle(now, input);
        while let Some(effect) = self.shard.engine.poll_effect() {
            if let Some(recorder) = &mut self.shard.recorder {
                recorder.asked(&effect);
            }
            self.on_effect(effect);
        }
        while let Some(event) = self.shard.engine.poll_event() {
            if is_planted(Fault::ShowsLate) {
                let (shared, number) = (Arc::clone(self.shared), self.number);
                self.shared.spawn(async move { shared.parts.observer.observe(number, now, &event) });
                continue;
            }
            self.shared.parts.observer.observe(self.number, now, &event);
        }
    }

    /// Sets the timer. Only an earlier wake-up disturbs it: one that comes too early is harmless, and most
    /// are put off again and again before they are due.
    fn arm(&mut self, now: Instant) {
        let wanted = self.shard.engine.poll_wake().map(|(at, _)| at);
        self.shard.alarm.send_if_modified(|armed| {
            let keeps = match (*armed, wanted) {
                (Some(at), Some(wanted)) => now < at && at <= wanted,
                (Some(at), None) => now < at,
                (None, Some(_)) => false,
                (None, None) => true,
            };
            if !keeps {
                *armed = wanted;
            }
            !keeps
        });
    }

    /// Names a writer or record of this shard's engine for a tier.
    pub(crate) fn handle_of<I>(&self, id: I) -> Handle<I> {
        Handle { shard: self.number, id }
    }
}

impl<W: World> Deferred<W> {
    fn run(self, shared: &Arc<Shared<W>>, calls: TierCalls) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Spawn(task) => shared.spawn(task),
            Self::Call(task) => match calls {
                TierCalls::Inline => shared.call(task),
                TierCalls::Spawned => shared.spawn(task),
            },
            Self::Close(tier, handle) => match calls {
                TierCalls::Inline => shared.tier(tier).close(handle),
                TierCalls::Spawned => {
                    let shared = Arc::clone(shared);
                    shared.clone().spawn(async move { shared.tier(tier).close(handle) });
                }
            },
            // A pull that nobody takes comes back in the error and is dropped, which answers it. There is
            // always room: the engine has one pull open for each fetch.
            Self::Pull(Some(Fetch::Task(fetch)), pull) if is_planted(Fault::ForgetsPull) => {
                std::mem::forget(fetch.try_send(pull));
            }
            Self::Pull(Some(Fetch::Task(fetch)), pull) => drop(fetch.try_send(pull)),
            Self::Pull(Some(Fetch::Adopted(body)), pull) => body.pull(pull),
            Self::Pull(None, pull) => drop(pull),
            Self::ReleaseFetch(Fetch::Task(fetch)) => drop(fetch),
            Self::ReleaseFetch(Fetch::Adopted(body)) => body.release(),
            // Whoever asked for the purge may have left; it was done all the same.
            Self::Report(waiting, report) => drop(waiting.send(report)),
        }
    }
}
