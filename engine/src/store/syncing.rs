//! Making durable what was written: one sync at a time, each for all who wanted one before it began.
//!
//! Whoever waits has seen its writes end, so a sync that begins afterwards covers them. A sync or a write
//! that fails ends all writing: the system may forget what it could not write and call the next sync a
//! success.

use super::{Effect, Event, Failure, Op, Pending, Phase, Store, plant::StoreFault, policy::Stream};
use alloc::vec::Vec;

/// Who waits for a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// Whoever asked for it.
    Asked { op: Op },
    /// A deletion whose tombstone is written.
    Deleted { op: Op, existed: bool },
    /// The turn of a stream to another segment.
    Turn { stream: Stream },
    /// A device that gets smaller.
    Shrinking,
}

#[derive(Debug, Default)]
pub(super) struct Syncing {
    /// For whom the one is that is under way.
    covered: Vec<Waiter>,
    /// For whom the next is.
    waiting: Vec<Waiter>,
}

impl Store {
    pub(super) fn want_sync(&mut self, waiter: Waiter) {
        if self.is_read_only() {
            return self.on_waiter_failed(waiter);
        }
        if self.planted.is(StoreFault::SyncsForLate) && !self.syncing.covered.is_empty() {
            return self.syncing.covered.push(waiter);
        }
        self.syncing.waiting.push(waiter);
        self.begin_sync();
    }

    fn begin_sync(&mut self) {
        if self.syncing.covered.is_empty() && !self.syncing.waiting.is_empty() {
            self.syncing.covered = core::mem::take(&mut self.syncing.waiting);
            let io = self.mint(Pending::Sync);
            self.counts.syncs += 1;
            self.effects.push_back(Effect::Sync { io });
        }
    }

    pub(super) fn on_synced(&mut self) {
        for waiter in core::mem::take(&mut self.syncing.covered) {
            match waiter {
                Waiter::Asked { op } => self.event(Event::Synced { op }),
                Waiter::Deleted { op, existed } => self.event(Event::Deleted { op, existed }),
                Waiter::Turn { .. } | Waiter::Shrinking if self.is_read_only() => {}
                Waiter::Turn { stream } => self.on_turn_synced(stream),
                Waiter::Shrinking => self.on_shrink_synced(),
            }
        }
        self.begin_sync();
    }

    pub(super) fn on_sync_failed(&mut self) {
        let mut waiters = core::mem::take(&mut self.syncing.covered);
        if self.planted.is(StoreFault::SyncsAgain) {
            self.syncing.waiting.append(&mut waiters);
            return self.begin_sync();
        }
        waiters.append(&mut self.syncing.waiting);
        self.end_writes();
        for waiter in waiters {
            self.on_waiter_failed(waiter);
        }
    }

    fn on_waiter_failed(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Asked { op } | Waiter::Deleted { op, .. } => self.fail(op, Failure::ReadOnly),
            Waiter::Turn { .. } | Waiter::Shrinking => {}
        }
    }

    /// Nothing is written any more by this process.
    pub(super) fn end_writes(&mut self) {
        if self.is_read_only() {
            return;
        }
        self.phase = Phase::ReadOnly;
        self.event(Event::WritesEnded);
        self.fail_jobs();
    }
}
