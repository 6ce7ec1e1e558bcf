//! A lane: the bounded way of one body into one byte tier.
//!
//! Chunks wait in a queue with a bound; one operation is with the tier at a time. A lane that loses a chunk,
//! fails, stalls or is abandoned is dropped and can never commit (M3, M4; failures T5, T6). What a tier has
//! acknowledged stays readable until the lane is closed, dropped or not: readers that fell behind live on it.

use crate::language::{
    chunk::Chunk,
    id::{OpId, RecordName, TierId},
    record::Record,
};
use alloc::{collections::VecDeque, sync::Arc};

/// One body on its way into one tier.
#[derive(Debug)]
pub(crate) struct Lane<C> {
    pub(crate) tier: TierId,
    pub(crate) name: RecordName,
    queue: VecDeque<C>,
    /// Bytes that came into the queue.
    taken: u64,
    /// Bytes that the tier has acknowledged.
    acknowledged: u64,
    /// Set once the body ended: what to commit when the queue is empty.
    ended: Option<Ended>,
    state: LaneState,
    was_opened: bool,
    /// Did a read of what was acknowledged fail?
    unreadable: bool,
    /// Did its tier fail it, or fall silent?
    failed: bool,
    publisher: Publisher,
}

/// Who makes what a lane has written visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// Its tier, with the commit.
    Tier,
    /// The durable tier's index, once its blob store has all of it.
    Index,
}

/// A body that has ended whole.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// What to keep beside it.
    pub(crate) record: Arc<Record>,
    /// The tier that the copy came from, if it was none from the origin.
    pub(crate) from: Option<TierId>,
}

/// ```text
/// Unopened ──first chunk, or end──▶ Opening
/// Opening ──opened──▶ Idle ◀──written── Writing
///                      │ ╰────chunk──────▶╯
///                      ╰─ended, queue empty─▶ Committing ──committed──▶ Committed
/// in the durable tier: Unopened ──▶ Leasing ──leased──▶ Opening, Committing ──blob whole──▶ Naming ──named──▶ Committed
/// there, for a row:    Unopened ──▶ Keeping ──all kept──▶ Naming; Keeping ──too much for a row──▶ Unopened
/// any but Committed ──failed, full, stalled, abandoned, superseded──▶ Dropped
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneState {
    /// The tier does not know of it yet: a lane starts with its first chunk (CON2).
    Unopened,
    /// The durable tier's index was asked for a lease.
    Leasing,
    /// What comes is kept here, for the durable tier's index.
    Keeping,
    /// The tier was asked to begin.
    Opening(OpId),
    /// The tier waits for us.
    Idle,
    /// The tier has this many more bytes in hand.
    Writing(OpId, u64),
    /// The tier was asked to publish.
    Committing(OpId),
    /// The blob is whole, and the durable tier's index was asked to name it.
    Naming,
    /// It is published.
    Committed,
    /// It will never be published.
    Dropped,
}

/// What the tier should be asked next.
#[derive(Debug)]
pub(crate) enum Next<C> {
    /// Nothing now.
    Nothing,
    /// Begin a record.
    Open,
    /// Take this chunk.
    Write(C),
    /// Publish.
    Commit(Arc<Record>),
}

impl<C: Chunk> Lane<C> {
    pub(crate) const fn new(tier: TierId, name: RecordName) -> Self {
        Self {
            tier,
            name,
            queue: VecDeque::new(),
            taken: 0,
            acknowledged: 0,
            ended: None,
            state: LaneState::Unopened,
            was_opened: false,
            unreadable: false,
            failed: false,
            publisher: Publisher::Tier,
        }
    }

    /// A lane into the durable tier, which gives nothing back before all of it is there.
    pub(crate) fn into_blob(tier: TierId, name: RecordName) -> Self {
        Self { unreadable: true, publisher: Publisher::Index, ..Self::new(tier, name) }
    }

    pub(crate) const fn publisher(&self) -> Publisher {
        self.publisher
    }

    /// Takes a chunk into the queue. The caller has looked at [`Lane::waiting`].
    pub(crate) fn push(&mut self, chunk: C) {
        self.taken = self.taken.saturating_add(chunk.size());
        self.queue.push_back(chunk);
    }

    /// The body has ended; this is what to keep beside it.
    pub(crate) fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }

    /// What to ask of an idle tier. The caller reports the operation with [`Lane::on_asked`].
    pub(crate) fn next(&mut self) -> Next<C> {
        match self.state {
            LaneState::Unopened if self.queue.is_empty() && self.ended.is_none() => Next::Nothing,
            LaneState::Unopened => Next::Open,
            LaneState::Idle | LaneState::Keeping => match (self.queue.pop_front(), &self.ended) {
                (Some(chunk), _) => Next::Write(chunk),
                (None, Some(ended)) => Next::Commit(Arc::clone(&ended.record)),
                (None, None) => Next::Nothing,
            },
            LaneState::Leasing
            | LaneState::Opening(_)
            | LaneState::Writing(..)
            | LaneState::Committing(_)
            | LaneState::Naming
            | LaneState::Committed
            | LaneState::Dropped => Next::Nothing,
        }
    }

    pub(crate) fn on_asked_to_lease(&mut self) {
        let LaneState::Unopened = self.state else { unreachable!("leased while {:?}", self.state) };
        self.state = LaneState::Leasing;
    }

    /// The first chunk, or the end, is here, and all of it may fit a row.
    pub(crate) fn on_keep(&mut self) {
        let LaneState::Unopened = self.state else { unreachable!("kept while {:?}", self.state) };
        self.state = LaneState::Keeping;
    }

    /// A chunk lies with what is kept.
    pub(crate) fn on_kept(&mut self, size: u64) {
        let LaneState::Keeping = self.state else { unreachable!("kept while {:?}", self.state) };
        self.acknowledged = self.acknowledged.saturating_add(size);
    }

    /// It is too much for a row: what was kept goes the way of every other body. The chunks stand in for
    /// those that were taken from the queue.
    pub(crate) fn on_too_large(&mut self, kept: impl IntoIterator<Item = C>) {
        let LaneState::Keeping = self.state else { unreachable!("too large while {:?}", self.state) };
        assert!(self.queue.is_empty(), "an idle lane has an empty queue");
        self.queue.extend(kept);
        self.acknowledged = 0;
        self.state = LaneState::Unopened;
    }

    /// All of it is kept, and the durable tier's index is asked to take it.
    pub(crate) fn on_all_kept(&mut self) {
        let LaneState::Keeping = self.state else { unreachable!("whole while {:?}", self.state) };
        self.state = LaneState::Naming;
    }

    /// The blob is whole: this is what to name it by.
    pub(crate) fn on_blob_whole(&mut self) -> Arc<Record> {
        let LaneState::Committing(_) = self.state else { unreachable!("whole while {:?}", self.state) };
        self.state = LaneState::Naming;
        let ended = self.ended.as_ref().expect("a lane commits the record that it was given");
        Arc::clone(&ended.record)
    }

    pub(crate) fn on_asked_to_open(&mut self, op: OpId) {
        self.state = LaneState::Opening(op);
        self.was_opened = true;
    }

    pub(crate) fn on_asked_to_write(&mut self, op: OpId, size: u64) {
        self.state = LaneState::Writing(op, size);
    }

    pub(crate) fn on_asked_to_commit(&mut self, op: OpId) {
        self.state = LaneState::Committing(op);
    }

    pub(crate) fn on_opened(&mut self) {
        let LaneState::Opening(_) = self.state else { unreachable!("opened while {:?}", self.state) };
        self.state = LaneState::Idle;
    }

    pub(crate) fn on_written(&mut self) {
        let LaneState::Writing(_, size) = self.state else { unreachable!("written while {:?}", self.state) };
        self.acknowledged = self.acknowledged.saturating_add(size);
        self.state = LaneState::Idle;
    }

    /// Says what was published.
    pub(crate) fn on_committed(&mut self) -> Ended {
        let (LaneState::Committing(_) | LaneState::Naming) = self.state else {
            unreachable!("committed while {:?}", self.state)
        };
        self.state = LaneState::Committed;
        self.ended.clone().expect("a lane commits the record that it was given")
    }

    /// Gives up. Says which operation is still with the tier and of no interest any more.
    pub(crate) fn drop_it(&mut self) -> Option<OpId> {
        let op = match self.state {
            LaneState::Opening(op) | LaneState::Writing(op, _) | LaneState::Committing(op) => Some(op),
            LaneState::Unopened
            | LaneState::Leasing
            | LaneState::Keeping
            | LaneState::Idle
            | LaneState::Naming
            | LaneState::Committed
            | LaneState::Dropped => None,
        };
        self.queue.clear();
        self.state = LaneState::Dropped;
        op
    }

    pub(crate) fn on_read_failed(&mut self) {
        self.unreadable = true;
    }

    /// Its tier failed it, or fell silent.
    pub(crate) fn on_tier_failed(&mut self) {
        self.failed = true;
    }

    /// Chunks waiting in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// May it still be published?
    pub(crate) const fn is_live(&self) -> bool {
        match self.state {
            LaneState::Unopened
            | LaneState::Leasing
            | LaneState::Keeping
            | LaneState::Opening(_)
            | LaneState::Idle
            | LaneState::Writing(..)
            | LaneState::Committing(_)
            | LaneState::Naming => true,
            LaneState::Committed | LaneState::Dropped => false,
        }
    }

    /// Was it published?
    pub(crate) const fn is_committed(&self) -> bool {
        matches!(self.state, LaneState::Committed)
    }

    /// Is the tier publishing it right now?
    pub(crate) const fn is_committing(&self) -> bool {
        matches!(self.state, LaneState::Committing(_) | LaneState::Naming)
    }

    /// Does the tier know of it?
    pub(crate) const fn was_opened(&self) -> bool {
        self.was_opened
    }

    /// The tier was told to forget it.
    pub(crate) fn on_discarded(&mut self) {
        self.was_opened = false;
    }

    /// Is an operation with the tier?
    pub(crate) const fn is_busy(&self) -> bool {
        matches!(
            self.state,
            LaneState::Leasing
                | LaneState::Opening(_)
                | LaneState::Writing(..)
                | LaneState::Committing(_)
                | LaneState::Naming
        )
    }

    /// How many bytes from the first on can be read back.
    pub(crate) const fn readable(&self) -> u64 {
        if self.unreadable { 0 } else { self.acknowledged }
    }

    /// The same for whoever need not read back yet: nothing of a lane that its tier has failed.
    pub(crate) const fn dependable(&self) -> u64 {
        if self.failed { 0 } else { self.readable() }
    }

    /// Bytes that the tier has taken, whether they can be read back or not.
    pub(crate) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Bytes that came into the queue.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }
}
