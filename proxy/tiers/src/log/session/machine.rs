//! The store behind the lock, and who waits for what.

use super::Answer;
use std::{collections::BTreeMap, sync::Arc};
use tiergate_driver::Contents;
use tiergate_engine::store::{Effect, Event, Input, Op, Reader, Store};
use tokio::sync::oneshot;

/// What the lock is for.
pub(super) struct Machine {
    pub(super) store: Store,
    pub(super) standing: Standing,
    /// In order, so that those who wait are told in order when it ends.
    pub(super) waiting: BTreeMap<Op, Waiter>,
    pub(super) recovering: Option<oneshot::Sender<Result<Contents, Unreadable>>>,
    /// Numbers given to operations, readers and writers.
    pub(super) minted: u64,
    /// Effects that were taken from the store and not answered.
    pub(super) outstanding: usize,
    /// What the device said when it last failed.
    pub(super) complaint: Option<String>,
    /// Readers that were closed.
    #[cfg(test)]
    pub(super) released: u64,
}

/// ```text
/// Alive ──the store stops writing, or the medium is gone──▶ Ended
/// ```
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Alive,
    /// Why. No question is answered any more.
    Ended(Arc<str>),
}

/// Whoever waits for an answer. They may have left.
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Answer>,
    /// What is open if it is found.
    pub(super) reader: Option<Reader>,
}

/// What one step of the store leads to: to be done without the lock.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) effects: Vec<Effect>,
    pub(super) answers: Vec<(Waiter, Answer)>,
    pub(super) recovered: Option<Recovered>,
    pub(super) news: News,
}

/// The end of a recovery, and who waits for it.
pub(super) struct Recovered {
    pub(super) told: oneshot::Sender<Result<Contents, Unreadable>>,
    pub(super) contents: Result<Contents, Unreadable>,
}

/// A segment that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) u32);

/// What others than those who asked want to know.
#[derive(Clone, Copy, Default)]
pub(super) struct News {
    pub(super) committed: bool,
    pub(super) ended: bool,
}

impl Machine {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            standing: Standing::Alive,
            waiting: BTreeMap::new(),
            recovering: None,
            minted: 0,
            outstanding: 0,
            complaint: None,
            #[cfg(test)]
            released: 0,
        }
    }

    pub(super) fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }

    pub(super) fn handle(&mut self, input: Input) -> Outcome {
        #[cfg(test)]
        if let Input::Release { .. } = input {
            self.released += 1;
        }
        let mut outcome = Outcome::default();
        self.store.handle(input);
        while let Some(effect) = self.store.poll_effect() {
            outcome.effects.push(effect);
        }
        while let Some(event) = self.store.poll_event() {
            self.take_event(event, &mut outcome);
        }
        self.outstanding += outcome.effects.len();
        outcome
    }

    fn take_event(&mut self, event: Event, outcome: &mut Outcome) {
        let (op, answer) = match event {
            Event::Appended { op } | Event::Synced { op } | Event::Shrunk { op } => (op, Answer::Done),
            Event::Committed { op } => {
                outcome.news.committed = true;
                (op, Answer::Done)
            }
            Event::Found { op, record, body } => {
                (op, Answer::Found { reader: None, record: Box::new(record), body })
            }
            Event::Absent { op } => (op, Answer::Absent),
            Event::BodyRead { op, bytes } => (op, Answer::Read(bytes)),
            Event::Freshened { op, freshening } => {
                outcome.news.committed = true;
                (op, Answer::Freshened(freshening))
            }
            Event::Deleted { op, existed } => (op, Answer::Deleted { existed }),
            Event::Failed { op, why } => (op, Answer::Failed(why)),
            Event::Recovered { objects, bytes } => {
                let told = self.recovering.take();
                let contents = Ok(Contents { objects, bytes });
                outcome.recovered = told.map(|told| Recovered { told, contents });
                return;
            }
            Event::RecoveryFailed { segment } => {
                let told = self.recovering.take();
                let contents = Err(Unreadable(segment));
                outcome.recovered = told.map(|told| Recovered { told, contents });
                return;
            }
            Event::WritesEnded => {
                let why = self.complaint.take().unwrap_or_else(|| "the device failed".to_owned());
                self.end(&why);
                outcome.news.ended = true;
                return;
            }
            Event::Dropped { .. } | Event::Reclaimed { .. } => return,
        };
        if let Some(waiter) = self.waiting.remove(&op) {
            outcome.answers.push((waiter, answer));
        }
    }

    /// Whoever waits is told by the loss of their channel.
    pub(super) fn end(&mut self, why: &str) {
        if let Standing::Alive = self.standing {
            self.standing = Standing::Ended(why.into());
            self.waiting.clear();
            self.recovering = None;
        }
    }
}
