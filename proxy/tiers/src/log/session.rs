//! A store on an opened device, from its recovery to its first failure.
//!
//! The lock is held for steps of the store alone: hashes, copies and the device come outside of it. Reads
//! that the device has at hand are made by whoever asks, so that most questions are answered within the first
//! poll. Other reads and syncs are tasks of their own, writes are for a few writers (`writes`), which are
//! tasks too: all of these go on when whoever asked has left. A session ends for good when the store stops
//! writing; it is given up once the device has answered everything, and another one takes its place
//! (`volume`).

mod machine;
mod open;
mod writes;

pub(super) use open::{OpenRecord, OpenWriter};

use super::{device::Device, layout::place};
use bytes::Bytes;
use machine::{Machine, Outcome, Recovered, Standing, Unreadable, Waiter};
use std::{
    collections::VecDeque,
    future::Future,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tiergate_driver::{Contents, TierError};
use tiergate_engine::{
    Freshening, Record, Seed,
    store::{Check, Effect, Failure, Geometry, Input, Io, Op, RawGeometry, Reader, Store, Writer},
};
use tokio::sync::{Notify, oneshot};
use writes::{Write, Writes};

/// What a sync of the store does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syncs {
    /// It syncs the device.
    Device,
    /// Nothing: what was not synced is never relied on.
    Nothing,
}

/// One life of a store.
pub(super) struct Session<D: Device> {
    device: D,
    geometry: RawGeometry,
    syncs: Syncs,
    machine: Mutex<Machine>,
    /// Its lock is never held together with the machine's.
    writes: Mutex<Writes>,
    /// Told when it has ended, and when the last operation of the device is over after that.
    changed: Notify,
    /// Has something been committed since this was last asked?
    has_news: AtomicBool,
    /// Operations of the device that are over.
    operations: AtomicU64,
    /// Was the log told that a read failed?
    has_said: AtomicBool,
    /// Recovery is long, and nobody waits for a part of it: until it is over, nothing is done on the caller's
    /// thread.
    is_recovered: AtomicBool,
}

/// The store's answer to one question. What it opened is released if nobody takes it.
pub(super) enum Answer {
    Done,
    Found { reader: Option<Release>, record: Box<Record>, body: Option<Bytes> },
    Absent,
    Read(Bytes),
    Freshened(Freshening),
    Deleted { existed: bool },
    Failed(Failure),
}

/// Closes a reader when it is dropped.
pub(super) struct Release(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

/// When an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nobody had to wait for it.
    AtOnce,
    /// It took the device.
    Later,
}

impl<D: Device> Session<D> {
    /// A store that knows nothing yet. Call [`recover`](Session::recover) first.
    pub(super) fn new(device: D, geometry: Geometry, syncs: Syncs, seed: Seed) -> Arc<Self> {
        let machine = Machine::new(Store::new(geometry, seed));
        Arc::new(Self {
            device,
            geometry: geometry.raw(),
            syncs,
            machine: Mutex::new(machine),
            writes: Mutex::default(),
            changed: Notify::new(),
            has_news: AtomicBool::new(false),
            operations: AtomicU64::new(0),
            has_said: AtomicBool::new(false),
            is_recovered: AtomicBool::new(false),
        })
    }

    pub(super) fn device(&self) -> &D {
        &self.device
    }

    /// Operations of the device that are over: to see that something happens.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Has something been committed since this was last asked?
    pub(super) fn take_news(&self) -> bool {
        self.has_news.swap(false, Ordering::Relaxed)
    }

    /// Finds out what the device holds.
    ///
    /// # Errors
    /// It cannot be read. The session has ended.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<Contents, Arc<str>> {
        let (told, recovered) = oneshot::channel();
        let outcome = {
            let mut machine = self.machine();
            machine.recovering = Some(told);
            machine.handle(Input::Recover)
        };
        self.follow(outcome);
        match recovered.await {
            Ok(Ok(contents)) => {
                self.is_recovered.store(true, Ordering::Relaxed);
                Ok(contents)
            }
            Ok(Err(Unreadable(segment))) => {
                let complaint = self.machine().complaint.take();
                let why = format!("segment {segment} cannot be read: {}", complaint.unwrap_or_default());
                self.end(&why);
                Err(why.into())
            }
            Err(_ended) => Err(self.why_ended()),
        }
    }

    /// Returns once it has ended, and says why.
    pub(super) async fn ended(&self) -> Arc<str> {
        loop {
            let changed = self.changed.notified();
            if let Standing::Ended(why) = &self.machine().standing {
                return Arc::clone(why);
            }
            changed.await;
        }
    }

    /// Returns once the device has answered everything; the session has ended before.
    pub(super) async fn is_quiet(&self) {
        loop {
            let changed = self.changed.notified();
            if self.machine().outstanding == 0 {
                return;
            }
            changed.await;
        }
    }

    /// From now on every question fails.
    pub(super) fn end(&self, why: &str) {
        self.machine().end(why);
        self.changed.notify_waiters();
    }

    fn why_ended(&self) -> Arc<str> {
        match &self.machine().standing {
            Standing::Ended(why) => Arc::clone(why),
            Standing::Alive => "the question was not answered".into(),
        }
    }

    /// Asks the store, and waits for its answer.
    pub(super) async fn ask(
        self: &Arc<Self>,
        question: impl FnOnce(Op) -> Input,
    ) -> Result<(Answer, Arrival), TierError> {
        let mut answer = self.begin(|op, _| (question(op), None))?;
        self.settle(&mut answer).await
    }

    /// Makes durable what was committed. If that fails, the session ends, and its end says why.
    pub(super) async fn sync(self: &Arc<Self>) {
        drop(self.ask(|op| Input::Sync { op }).await);
    }

    /// Has the store empty what lies beyond the end of a smaller device. Comes right after its recovery. The
    /// answer comes when nothing is left there.
    pub(super) fn begin_shrinking(
        self: &Arc<Self>,
        geometry: Geometry,
    ) -> Result<oneshot::Receiver<Answer>, TierError> {
        self.begin(|op, _| (Input::Shrink { op, geometry }, None))
    }

    /// Segments beyond that end that hold something.
    pub(super) fn segments_beyond(&self) -> u32 {
        self.machine().store.segments_beyond()
    }

    /// Waits for an answer that was asked for.
    pub(super) async fn settle(
        &self,
        answer: &mut oneshot::Receiver<Answer>,
    ) -> Result<(Answer, Arrival), TierError> {
        if let Ok(answer) = answer.try_recv() {
            return Ok((answer, Arrival::AtOnce));
        }
        match answer.await {
            Ok(answer) => Ok((answer, Arrival::Later)),
            Err(_ended) => Err(failed(&self.why_ended())),
        }
    }

    /// Asks the store. What can be done at once is done before this returns.
    fn begin(
        self: &Arc<Self>,
        question: impl FnOnce(Op, u64) -> (Input, Option<Reader>),
    ) -> Result<oneshot::Receiver<Answer>, TierError> {
        let (answer, answered) = oneshot::channel();
        let outcome = {
            let mut machine = self.machine();
            if let Standing::Ended(why) = &machine.standing {
                return Err(failed(why));
            }
            let op = Op(machine.mint());
            let number = machine.mint();
            let (input, reader) = question(op, number);
            machine.waiting.insert(op, Waiter { answer, reader });
            machine.handle(input)
        };
        self.follow(outcome);
        Ok(answered)
    }

    /// Tells the store something that has no answer.
    fn tell(self: &Arc<Self>, input: Input) {
        let outcome = {
            let mut machine = self.machine();
            match machine.standing {
                Standing::Alive => machine.handle(input),
                Standing::Ended(_) => return,
            }
        };
        self.follow(outcome);
    }

    /// Begins a record.
    fn begin_writer(self: &Arc<Self>, input: impl FnOnce(Writer) -> Input) -> Result<Writer, TierError> {
        let (writer, outcome) = {
            let mut machine = self.machine();
            if let Standing::Ended(why) = &machine.standing {
                return Err(failed(why));
            }
            let writer = Writer(machine.mint());
            (writer, machine.handle(input(writer)))
        };
        self.follow(outcome);
        Ok(writer)
    }

    /// Does all that follows from a step, and from what follows: at once, if nobody has to wait for it.
    fn follow(self: &Arc<Self>, outcome: Outcome) {
        let mut effects = VecDeque::from(self.tell_all(outcome));
        while let Some(effect) = effects.pop_front() {
            if let Some(outcome) = self.try_now(effect) {
                effects.extend(self.tell_all(outcome));
            }
        }
    }

    fn tell_all(self: &Arc<Self>, outcome: Outcome) -> Vec<Effect> {
        let Outcome { effects, answers, recovered, news } = outcome;
        if news.committed {
            self.has_news.store(true, Ordering::Relaxed);
        }
        if news.ended {
            self.changed.notify_waiters();
        }
        if let Some(Recovered { told, contents }) = recovered {
            // Whoever recovers may have been dropped with its runtime.
            let _ = told.send(contents);
        }
        for (Waiter { answer, reader: id }, mut given) in answers {
            if let (Answer::Found { reader, .. }, Some(id)) = (&mut given, id) {
                let session = Arc::clone(self);
                *reader = Some(Release(Some(Box::new(move || session.tell(Input::Release { reader: id })))));
            }
            // Who has left does not want it; what was opened for them is released with it.
            drop(answer.send(given));
        }
        effects
    }

    /// Does what can be done without waiting, or else starts a task.
    fn try_now(self: &Arc<Self>, effect: Effect) -> Option<Outcome> {
        match effect {
            Effect::Read { io, segment, offset, length, check } => {
                let at = place(&self.geometry, segment, offset);
                let size = usize::try_from(length).unwrap_or(usize::MAX);
                let may_try = self.is_recovered.load(Ordering::Relaxed);
                match may_try.then(|| self.device.try_read_now(at, size)).flatten() {
                    Some(bytes) => {
                        let checked = check.run(bytes);
                        Some(self.answer(Input::ReadDone { io, checked }))
                    }
                    None => {
                        let session = Arc::clone(self);
                        self.spawn(async move { session.read(io, at, size, check).await });
                        None
                    }
                }
            }
            Effect::Write { io, segment, offset, blocks } => {
                let at = place(&self.geometry, segment, offset);
                self.write(Write { io, at, blocks });
                None
            }
            Effect::Sync { io } if self.syncs == Syncs::Nothing => Some(self.answer(Input::Done { io })),
            Effect::Sync { io } => {
                let session = Arc::clone(self);
                self.spawn(async move {
                    let synced = session.device.sync().await;
                    session.conclude([io], "syncing", synced);
                });
                None
            }
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(task)),
            // A record was closed after the runtime's end: nothing is served or stored any more.
            Err(_) => self.machine().end("the process is shutting down"),
        }
    }

    /// Has the device read, however long that takes.
    async fn read(self: &Arc<Self>, io: Io, at: u64, size: usize, check: Check) {
        let input = match self.device.read(at, size).await {
            Ok(bytes) => {
                self.operations.fetch_add(1, Ordering::Relaxed);
                Input::ReadDone { io, checked: check.run(bytes) }
            }
            // It may be this place alone.
            Err(error) => {
                self.complain("reading", &error);
                if !self.has_said.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "L2 cannot read a place of its disk; others are not told of");
                }
                Input::Failed { io }
            }
        };
        let outcome = self.answer(input);
        self.follow(outcome);
    }

    /// Has a block written, soon and perhaps together with others.
    fn write(self: &Arc<Self>, write: Write) {
        let writer = self.writes().push(write);
        match writer {
            writes::Writer::Busy => {}
            writes::Writer::Needed => {
                let session = Arc::clone(self);
                self.spawn(async move { session.write_all().await });
            }
        }
    }

    /// The life of a writer: it writes until nothing waits.
    async fn write_all(self: &Arc<Self>) {
        loop {
            // The lock is not held for longer than this line.
            let next = self.writes().next();
            let Some(writes) = next else { return };
            let written = self.device.write(writes[0].at, writes::seal(&writes)).await;
            self.conclude(writes.into_iter().map(|write| write.io), "writing", written);
        }
    }

    /// Tells the store how writes or a sync ended.
    fn conclude(self: &Arc<Self>, ios: impl IntoIterator<Item = Io>, doing: &str, done: io::Result<()>) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let failure = done.err().map(|error| self.complain(doing, &error));
        for io in ios {
            let input = if failure.is_none() { Input::Done { io } } else { Input::Failed { io } };
            let outcome = self.answer(input);
            self.follow(outcome);
        }
        if let Some(why) = failure {
            // Where and what it has written, nobody knows.
            self.end(&why);
        }
    }

    fn complain(&self, doing: &str, error: &io::Error) -> String {
        let why = format!("{doing} failed: {error}");
        self.machine().complaint = Some(why.clone());
        why
    }

    /// An effect is over.
    fn answer(&self, input: Input) -> Outcome {
        let mut machine = self.machine();
        machine.outstanding -= 1;
        match machine.standing {
            Standing::Alive => machine.handle(input),
            Standing::Ended(_) => {
                drop(machine);
                self.changed.notify_waiters();
                Outcome::default()
            }
        }
    }

    /// How many questions have no answer yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.machine().waiting.len()
    }

    /// How many readers were closed.
    #[cfg(test)]
    pub(super) fn released(&self) -> u64 {
        self.machine().released
    }

    fn writes(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A store that panicked is not asked again.
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(|poisoned| {
            let mut machine = poisoned.into_inner();
            machine.end("the store panicked, which is a bug");
            self.changed.notify_waiters();
            machine
        })
    }
}

/// The tier's error when a session has ended.
pub(super) fn failed(why: &str) -> TierError {
    TierError::Failed(format!("disk: {why}"))
}

/// The tier's error for a question that the store did not grant.
pub(super) fn refused(doing: &str, why: Failure) -> TierError {
    let text = match why {
        Failure::Device => "the device failed",
        Failure::Rotten => {
            return TierError::Rotten(format!("disk: {doing}: what was read is not what was written"));
        }
        Failure::Reclaimed => "its segment was reclaimed",
        Failure::Purged => "its key was purged since the writer was opened",
        Failure::Superseded => "a newer record of its key was deleted meanwhile",
        Failure::TooLarge => "it is larger than a segment of the log allows",
        Failure::Mismatch => "it is not what was written",
        Failure::NotOpen => "it is not open",
        Failure::Beyond => "there is no byte at this offset",
        Failure::ReadOnly => "nothing is written any more",
    };
    TierError::Failed(format!("disk: {doing}: {text}"))
}
