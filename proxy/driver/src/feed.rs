//! The purge feed of a process, beside its shards: it asks the log that edges share, and tells every shard
//! what it says.
//!
//! Its lock is taken before any shard's and held while they are told. So each shard is told of every purge
//! that was read before it is told of the lease that counts from the same reading. Nothing that runs under a
//! shard's lock takes the feed's.

use crate::{
    Clock, StoreError, World,
    plant::{Fault, is_planted},
    shard::Shared,
    sync::{Mutex, MutexGuard, oneshot, watch},
};
use std::{collections::BTreeMap, future::Future, sync::Arc};
use tiergate_engine::{
    Input, Instant, PurgeMode, Seed, Selector,
    feed::{
        AskId, Feed, FeedAsk, FeedEntry, FeedOrigin, FeedPolicy, FeedStep, FeedTold, Notice, Sequence,
        Ticket, Trimmed,
    },
};

/// The log that edges share. What it does not say for certain is a [`StoreError`]; the engine then asks
/// again.
pub trait PurgeFeed: Send + Sync + 'static {
    /// Adds an entry behind all others, unless one of this origin and ticket is there, and says where it
    /// lies. It must not become visible before entries with smaller sequences.
    fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> impl Future<Output = Result<Sequence, StoreError>> + Send;

    /// The entries behind `after` in their order, at most as many as fit one answer, as the log is now: a
    /// replica that may lag is not good enough.
    fn read(&self, after: Sequence) -> impl Future<Output = Result<FeedPage, StoreError>> + Send;
}

/// What a log holds, as far as it fits one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPage {
    /// What it holds no more, if anything.
    pub trimmed: Option<Trimmed>,
    /// The next entries, oldest first; all of them, or at least one.
    pub entries: Vec<FeedEntry<Notice>>,
    /// The last that was ever appended.
    pub newest: Sequence,
}

/// A log in the memory of one process, for edges that live in it. It trims nothing.
#[derive(Debug, Default)]
pub struct MemoryFeed(std::sync::Mutex<Vec<FeedEntry<Notice>>>);

impl PurgeFeed for MemoryFeed {
    async fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, StoreError> {
        let mut entries = self.0.lock().expect("nothing panics while it is locked");
        if let Some(known) = entries.iter().find(|entry| (entry.origin, entry.ticket) == (origin, ticket)) {
            return Ok(known.sequence);
        }
        let sequence = Sequence(entries.len() as u64 + 1);
        entries.push(FeedEntry { sequence, origin, ticket, notice });
        Ok(sequence)
    }

    async fn read(&self, after: Sequence) -> Result<FeedPage, StoreError> {
        let entries = self.0.lock().expect("nothing panics while it is locked");
        let newest = entries.last().map_or(Sequence::START, |entry| entry.sequence);
        let entries = entries.iter().filter(|entry| entry.sequence > after).cloned().collect();
        Ok(FeedPage { trimmed: None, entries, newest })
    }
}

/// Were the other edges told of a purge? The graver answer is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Elsewhere {
    /// There is no feed: nobody else is told.
    NoFeed,
    /// The purge lies in the log that the others read.
    Told,
    /// It is not known to lie there, and the others may not hear of it: purge again.
    Failed,
}

/// The feed's machine, and the purges whose appends were not answered yet.
pub(crate) struct FeedClient {
    feed: Feed<Notice>,
    open: BTreeMap<Ticket, oneshot::Sender<Elsewhere>>,
    alarm: watch::Sender<Option<Instant>>,
}

impl FeedClient {
    /// The client of a process that begins its life, and what its timer sleeps for. The seed must be new with
    /// every life.
    pub(crate) fn new(policy: FeedPolicy, seed: Seed) -> (Mutex<Self>, watch::Receiver<Option<Instant>>) {
        let origin = FeedOrigin(seed.split("feed origin").wide_bits());
        let (alarm, armed) = watch::channel(None);
        let feed = Feed::new(policy, origin, Sequence::START, seed);
        (Mutex::new(Self { feed, open: BTreeMap::new(), alarm }), armed)
    }
}

impl<W: World> Shared<W> {
    /// Tells the other edges of a purge that the shards have begun.
    pub(crate) fn tell_others(
        self: &Arc<Self>,
        selector: Selector,
        mode: PurgeMode,
    ) -> Option<oneshot::Receiver<Elsewhere>> {
        self.feed_client.as_ref()?;
        let notice = Notice { selector, mode, at: self.parts.clock.wall() };
        let (sender, told) = oneshot::channel();
        self.feed_turn(|client, now| {
            let ticket = client.feed.append(now, notice);
            client.open.insert(ticket, sender);
        });
        Some(told)
    }

    /// Does what time alone demands of the feed.
    pub(crate) fn wake_feed(self: &Arc<Self>) {
        self.feed_turn(|client, now| client.feed.on_wake(now));
    }

    /// One visit to the feed, under its lock: its questions go to the log, and its steps are done.
    fn feed_turn(self: &Arc<Self>, work: impl FnOnce(&mut FeedClient, Instant)) {
        let mut client = self.lock_feed();
        let now = self.parts.clock.now();
        work(&mut client, now);
        while let Some((id, ask)) = client.feed.poll_ask(now) {
            let shared = Arc::clone(self);
            self.spawn(async move {
                let told = shared.ask_log(ask).await;
                shared.on_log_told(id, told);
            });
        }
        while let Some(step) = client.feed.poll_step() {
            if is_planted(Fault::TellsUnlocked) {
                drop(client);
                client = self.lock_feed();
            }
            self.do_step(&mut client, step);
        }
        if let Some(until) = client.feed.lease_until() {
            self.tell_shards(|| Input::LeaseHeld { until });
        }
        let wanted = Some(client.feed.poll_wake());
        client.alarm.send_if_modified(|armed| std::mem::replace(armed, wanted) != wanted);
    }

    fn lock_feed(&self) -> MutexGuard<'_, FeedClient> {
        let client = self.feed_client.as_ref().expect("only a configured feed is visited");
        client.lock().expect("a feed that panicked has lost its state")
    }

    fn on_log_told(self: &Arc<Self>, id: AskId, told: FeedTold<Notice>) {
        self.feed_turn(|client, now| client.feed.on_told(now, id, told));
    }

    fn do_step(self: &Arc<Self>, client: &mut FeedClient, step: FeedStep<Notice>) {
        match step {
            FeedStep::Apply(notice) => match notice.selector {
                Selector::Key(key) => {
                    self.tell_under_lock(self.shard_of(key), Input::RemotePurge { notice });
                }
                Selector::Tag(_) | Selector::Prefix(_) | Selector::All => {
                    self.tell_shards(|| Input::RemotePurge { notice: notice.clone() });
                }
            },
            FeedStep::Gap { through } => self.tell_shards(|| Input::PurgesMissed { through }),
            FeedStep::Appended { ticket, .. } => answer(client, ticket, Elsewhere::Told),
            FeedStep::AppendFailed { ticket } => answer(client, ticket, Elsewhere::Failed),
            // Every shard was told until when the lease holds.
            FeedStep::LeaseGained | FeedStep::LeaseLost => {}
        }
    }

    fn tell_shards(self: &Arc<Self>, input: impl Fn() -> Input<bytes::Bytes>) {
        for shard in self.shards() {
            self.tell_under_lock(shard, input());
        }
    }

    async fn ask_log(&self, ask: FeedAsk<Notice>) -> FeedTold<Notice> {
        let log = self.parts.feed.as_ref().expect("`Driver::start` found the log of the configured feed");
        let told = match ask {
            FeedAsk::Append { origin, ticket, notice } => {
                log.append(origin, ticket, notice).await.map(|sequence| FeedTold::Appended { sequence })
            }
            FeedAsk::Read { after } => log
                .read(after)
                .await
                .map(|FeedPage { trimmed, entries, newest }| FeedTold::Entries { trimmed, entries, newest }),
        };
        // The feed asks again, and an edge that cannot read stops serving what it holds.
        told.unwrap_or(FeedTold::Failed)
    }
}

fn answer(client: &mut FeedClient, ticket: Ticket, elsewhere: Elsewhere) {
    if let Some(waiting) = client.open.remove(&ticket) {
        // Whoever asked for the purge may have left; it was told all the same.
        let _ = waiting.send(elsewhere);
    }
}
