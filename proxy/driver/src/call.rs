//! The answer rule, kept by construction: a [`Call`] answers exactly once, whatever becomes of its task.

use crate::{
    Observer, TierError, World,
    shard::{Shared, Turn},
};
use bytes::Bytes;
use std::{mem, sync::Arc};
use tiergate_engine::{FillId, Input, ReadSource, RecordId, TierId, WriterId};

/// One effect that waits for its answer. Dropped without one, it answers that the work failed: a task that
/// panics or is taken down never looks like one that ended well (failures T3, T6).
///
/// It is made when its task first runs, not before. A runtime that shuts down drops the tasks it is given at
/// once, and if those answered, each answer would start the next one, as deep as there are clients waiting.
pub(crate) struct Call<W: World> {
    shared: Arc<Shared<W>>,
    shard: u32,
    owner: Owner,
    state: CallState,
}

/// What a call belongs to, and what ends with it.
#[derive(Clone, Copy)]
pub(crate) enum Owner {
    /// Itself alone.
    Nobody,
    /// The calls for one writer or record.
    Handle(HandleId),
    /// A fetch, which is over when this call fails or is the last.
    Fetch(FillId),
}

enum CallState {
    /// Unanswered; this is what goes in if nothing better comes.
    Open(Input<Bytes>),
    Answered,
}

impl<W: World> Call<W> {
    pub(crate) fn new(shared: Arc<Shared<W>>, shard: u32, owner: Owner, lost: Input<Bytes>) -> Self {
        Self { shared, shard, owner, state: CallState::Open(lost) }
    }

    /// Feeds the answer.
    pub(crate) fn answer(mut self, input: Input<Bytes>) {
        self.state = CallState::Answered;
        let owner = self.owner;
        self.shared.turn(self.shard, |turn| turn.settle(owner, input));
    }

    /// Feeds the answer; the fetch that it is part of goes on.
    pub(crate) fn answer_and_go_on(mut self, input: Input<Bytes>) {
        self.owner = Owner::Nobody;
        self.answer(input);
    }

    /// Feeds that the tier failed, and says why to those who log.
    pub(crate) fn fail(self, tier: TierId, error: &TierError) {
        self.shared.parts.observer.tier_failed(tier, error);
        let mut call = self;
        if let CallState::Open(lost) = mem::replace(&mut call.state, CallState::Answered) {
            call.answer(lost);
        }
    }
}

impl<W: World> Turn<'_, W> {
    /// A call is over, and this is its answer.
    fn settle(&mut self, owner: Owner, input: Input<Bytes>) {
        match owner {
            Owner::Nobody => {}
            // First, so that the next call of the same writer finds it idle.
            Owner::Handle(id) => self.end_call(id),
            Owner::Fetch(fill) => self.release_fetch(fill),
        }
        self.handle(input);
    }
}

impl<W: World> Drop for Call<W> {
    fn drop(&mut self) {
        if let CallState::Open(lost) = mem::replace(&mut self.state, CallState::Answered)
            && !self.shared.is_lost(self.shard)
        {
            let owner = self.owner;
            self.shared.turn_with_tasks(self.shard, |turn| turn.settle(owner, lost));
        }
    }
}

/// What a tier holds open for one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HandleId {
    Record(RecordId),
    Writer(WriterId),
}

impl From<ReadSource> for HandleId {
    fn from(source: ReadSource) -> Self {
        match source {
            ReadSource::Record(record) => Self::Record(record),
            ReadSource::Writer(writer) => Self::Writer(writer),
        }
    }
}

/// Tier calls under way for one writer or record. The engine closes it without waiting for them; the tier is
/// told only after the last, so that it never sees an open or a read come after the close.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    calls: usize,
    close: Option<TierId>,
}

impl InUse {
    pub(crate) fn begin(&mut self) {
        self.calls += 1;
    }

    /// Counts one call as over; says whether it was the last.
    pub(crate) fn end(&mut self) -> bool {
        self.calls -= 1;
        self.calls == 0
    }

    /// Notes that `tier` is to be told once the calls are over.
    pub(crate) fn close_afterwards(&mut self, tier: TierId) {
        self.close = Some(tier);
    }

    /// The tier that is to be told now.
    pub(crate) fn closing(self) -> Option<TierId> {
        self.close
    }
}
