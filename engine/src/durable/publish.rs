//! One upload into the durable tier, from its lease to its manifest.
//!
//! A small body needs neither lease nor blob: it is written with its manifest, by one swap on the version
//! that the lookup saw, so whatever changed the entry since has it judge anew. All that follows is of the
//! others.
//!
//! It is the only one that ever names its blob, and it names it only in place of its lease; so it knows when
//! nobody can: then it deletes the blob. While a swap's fate is open it does not, and leaves the blob to the
//! collector. It never deletes another's (failure T8). Called off, it hands its lease back once its blob is
//! gone, so that the key is not crowded by uploads that broke off. The bytes are not its business.

mod outcome;
mod round;

pub use outcome::{BlobFate, Completed, PublishEnd, PublishStep};

use super::{Ask, BlobName, Entry, Generation, Lease, Seen, Stored, Terms, Told, Version};
use crate::{
    language::{id::RecordName, time::WallTime},
    plant::Fault,
};
use alloc::sync::Arc;
use core::time::Duration;
use round::{Asked, Heard, Known, Round};

/// One upload.
///
/// ```text
/// a body for the row ──▶ Publishing
/// Leasing ──leased──▶ Holding ◀──renewed, or not── Renewing
///    │                   │ ╰──────renewal due──────▶╯  │
///    │                   ╰─blob whole─▶ Publishing ◀───╯
///    │                   │                  │ ╰──in place of the lease──▶ Ended(Won)
///    │                   ╰─abandoned─▶ Deleting ◀─ another won, purged, lease taken
///    ├──abandoned─────▶ HandingBack ◀───╯ ╰──▶ Ended
///    ╰──not leased──▶ Ended ◀──╯
/// ```
/// `Leasing`, `Renewing`, `Publishing` and `HandingBack` each go round: swap, and after a conflict or a lost
/// answer read and judge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Publish {
    /// What it would be called, if there is none.
    blob: BlobName,
    /// Does the body go into the row?
    is_in_row: bool,
    terms: Terms,
    /// The purges that were known before the fetch began.
    generation: Generation,
    /// What was stored before the fetch began: it may be replaced.
    replaces: Option<RecordName>,
    /// When a purge from before the fetch may be forgotten, by the index's clock: the lease must be had
    /// before, and what goes into a row must be asked for before.
    deadline: WallTime,
    goal: Goal,
    /// A swap to our manifest that may still happen: the version that it waits for.
    doubt: Option<Version>,
    state: PublishState,
}

/// What the upload has come to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Goal {
    /// It goes on.
    Hold,
    /// It is whole.
    Publish(Completed),
    /// It will never be whole, or is not wanted any more.
    Abandon,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PublishState {
    /// No byte was uploaded.
    Leasing(Round),
    /// The lease is had. The upload goes on.
    Holding(Known),
    /// The lease is had. The upload goes on, or has ended meanwhile: see the goal.
    Renewing(Round, Known),
    /// The blob is whole.
    Publishing(Round),
    /// The store was asked to delete the blob; the lease is as it was last known, if it still stands.
    Deleting(PublishEnd, Option<Known>),
    /// The upload was called off, its blob is gone, and the lease stands.
    HandingBack(BlobFate, Round),
    /// Nothing more is asked.
    Ended,
}

/// What an entry means for an upload.
enum Verdict {
    /// It is published.
    Ours(Version),
    /// It never will be.
    Ended(PublishEnd),
    /// The lease stands, or none is needed.
    Leased,
    /// There is no lease, and there never was.
    Unleased,
}

impl Publish {
    /// Begins with the lease. `seen` is from a lookup before the fetch began, `elapsed` ago.
    pub fn begin(name: RecordName, seen: Seen, elapsed: Duration, terms: Terms) -> (Self, PublishStep) {
        let (mut publish, known) = Self::at(name, seen, elapsed, terms);
        let step = publish.lease(known, 0);
        (publish, step)
    }

    /// Publishes a body that goes into the row, all of it. `seen` as for [`Publish::begin`].
    pub fn begin_in_row(
        completed: Completed,
        seen: Seen,
        elapsed: Duration,
        terms: Terms,
    ) -> (Self, PublishStep) {
        assert!(completed.in_row.is_some(), "a body that is a blob begins with a lease");
        let (mut publish, known) = Self::at(completed.record.name, seen, elapsed, terms);
        publish.is_in_row = true;
        publish.goal = Goal::Publish(completed.clone());
        let step = publish.publish(&known, &completed, 0);
        (publish, step)
    }

    fn at(name: RecordName, seen: Seen, elapsed: Duration, terms: Terms) -> (Self, Known) {
        let entry = seen.stored.as_ref().map(|stored| &stored.entry);
        let publish = Self {
            blob: BlobName { key: seen.key, name },
            is_in_row: false,
            terms,
            generation: generation(entry),
            replaces: entry.and_then(|entry| entry.manifest.as_ref()).map(|manifest| manifest.record.name),
            deadline: seen.now.after(terms.fetch_max()),
            goal: Goal::Hold,
            doubt: None,
            state: PublishState::Ended,
        };
        (publish, Known { stored: seen.stored, now: seen.now.after(elapsed) })
    }

    /// The blob is whole and the store has confirmed it (D2).
    pub fn on_complete(&mut self, completed: Completed) -> PublishStep {
        assert_eq!(completed.record.name, self.blob.name, "a manifest names its own upload's blob");
        assert_eq!(completed.record.key, self.blob.key, "a manifest is of its own upload's key");
        assert_eq!(self.goal, Goal::Hold, "an upload ends once");
        self.goal = Goal::Publish(completed);
        self.on_goal()
    }

    /// The upload broke off and its writer is discarded, or nobody wants it any more. It may have been
    /// published already.
    pub fn on_abandoned(&mut self) -> PublishStep {
        self.goal = Goal::Abandon;
        self.on_goal()
    }

    /// It is time to renew the lease.
    pub fn on_renewal_due(&mut self) -> PublishStep {
        match core::mem::replace(&mut self.state, PublishState::Ended) {
            PublishState::Holding(known) => self.renew(known, 0),
            state @ (PublishState::Leasing(_)
            | PublishState::Renewing(..)
            | PublishState::Publishing(_)
            | PublishState::Deleting(..)
            | PublishState::HandingBack(..)
            | PublishState::Ended) => {
                self.state = state;
                PublishStep::Wait
            }
        }
    }

    /// Takes the answer to the last question.
    pub fn on_told(&mut self, told: Told) -> PublishStep {
        match core::mem::replace(&mut self.state, PublishState::Ended) {
            PublishState::Leasing(round) => self.on_leasing(round, told),
            PublishState::Renewing(round, known) => self.on_renewing(round, known, told),
            PublishState::Publishing(round) => self.on_publishing(round, told),
            PublishState::HandingBack(fate, round) => self.on_handing_back(fate, &round, told),
            PublishState::Deleting(end, lease) => match told {
                Told::Deleted => match lease {
                    Some(known) => self.hand_back(BlobFate::Deleted, &known, 0),
                    None => PublishStep::Ended(end, BlobFate::Deleted),
                },
                Told::Unknown => PublishStep::Ended(end, BlobFate::Left),
                told @ (Told::Entry { .. }
                | Told::Swapped { .. }
                | Told::Conflict
                | Told::Touched
                | Told::Opened { .. }
                | Told::NoBlob
                | Told::Listed { .. }) => unreachable!("an upload that deletes its blob was told {told:?}"),
            },
            state @ (PublishState::Holding(_) | PublishState::Ended) => {
                unreachable!("an upload that asked nothing was told {told:?}: {state:?}")
            }
        }
    }

    /// Can its bytes still become visible? If not, and it has not ended: discard its writer, then do what it
    /// asks.
    pub const fn is_wanted(&self) -> bool {
        match self.state {
            PublishState::Leasing(_)
            | PublishState::Holding(_)
            | PublishState::Renewing(..)
            | PublishState::Publishing(_) => !matches!(self.goal, Goal::Abandon),
            PublishState::Deleting(..) | PublishState::HandingBack(..) | PublishState::Ended => false,
        }
    }

    /// What it will have come to once its blob is deleted and its lease handed back, if that is all that is
    /// left to do.
    pub const fn ending(&self) -> Option<PublishEnd> {
        match &self.state {
            PublishState::Deleting(end, _) => Some(*end),
            PublishState::HandingBack(..) => Some(PublishEnd::Abandoned),
            PublishState::Leasing(_)
            | PublishState::Holding(_)
            | PublishState::Renewing(..)
            | PublishState::Publishing(_)
            | PublishState::Ended => None,
        }
    }

    fn on_goal(&mut self) -> PublishStep {
        match core::mem::replace(&mut self.state, PublishState::Ended) {
            PublishState::Holding(known) => self.go_on(known),
            // The answer under way comes first.
            state @ (PublishState::Leasing(_)
            | PublishState::Renewing(..)
            | PublishState::Publishing(_)
            | PublishState::Deleting(..)
            | PublishState::HandingBack(..)
            | PublishState::Ended) => {
                self.state = state;
                PublishStep::Wait
            }
        }
    }

    /// The lease stands and nothing is asked: what next?
    fn go_on(&mut self, known: Known) -> PublishStep {
        match &self.goal {
            Goal::Hold => {
                self.state = PublishState::Holding(known);
                PublishStep::Wait
            }
            Goal::Publish(completed) => {
                let completed = completed.clone();
                self.publish(&known, &completed, 0)
            }
            Goal::Abandon => self.call_off(known),
        }
    }

    fn on_leasing(&mut self, round: Round, told: Told) -> PublishStep {
        let known = match round.on_told(told) {
            Heard::Swapped(known) => return self.on_leased(known),
            Heard::Known(known) => known,
            Heard::Failed(failures) => {
                return match self.read_again(failures) {
                    Some(round) => self.ask(round, PublishState::Leasing),
                    None => self.end(PublishEnd::IndexFailed, BlobFate::NotBegun),
                };
            }
        };
        match self.judge(&known) {
            Verdict::Leased => self.on_leased(known),
            Verdict::Unleased => self.lease(known, round.failures),
            Verdict::Ended(end) => self.end(end, BlobFate::NotBegun),
            Verdict::Ours(version) => unreachable!("version {version:?} is published without a blob"),
        }
    }

    /// A lease that came after the deadline proves nothing about purges.
    fn on_leased(&mut self, known: Known) -> PublishStep {
        if self.deadline <= known.now {
            return self.end(PublishEnd::TooLate, BlobFate::NotBegun);
        }
        match self.goal {
            Goal::Hold => {
                self.state = PublishState::Holding(known);
                PublishStep::Upload
            }
            Goal::Abandon => self.hand_back(BlobFate::NotBegun, &known, 0),
            Goal::Publish(_) => unreachable!("the upload was whole before it began"),
        }
    }

    fn on_renewing(&mut self, round: Round, before: Known, told: Told) -> PublishStep {
        let known = match round.on_told(told) {
            Heard::Swapped(known) => return self.go_on(known),
            Heard::Known(known) => known,
            Heard::Failed(failures) => {
                return match self.read_again(failures) {
                    Some(round) => self.ask(round, |round| PublishState::Renewing(round, before)),
                    // The lease may last until the next renewal; only the collector can take it, and we would
                    // see that.
                    None => self.go_on(before),
                };
            }
        };
        match (self.judge(&known), &self.goal) {
            (Verdict::Leased, Goal::Hold) => self.renew(known, round.failures),
            (Verdict::Leased, Goal::Publish(_) | Goal::Abandon) => self.go_on(known),
            (Verdict::Unleased, _) => self.give_up(PublishEnd::LeaseLost),
            (Verdict::Ended(end), _) => self.give_up(end),
            (Verdict::Ours(version), _) => unreachable!("version {version:?} was published by nobody"),
        }
    }

    fn on_publishing(&mut self, round: Round, told: Told) -> PublishStep {
        let is_unknown = told == Told::Unknown;
        let known = match round.on_told(told) {
            Heard::Swapped(known) => return self.won(known),
            Heard::Known(known) => known,
            Heard::Failed(failures) => {
                if let (true, Asked::Swap { expected, .. }) = (is_unknown, &round.asked) {
                    self.doubt = *expected;
                }
                return match self.read_again(failures) {
                    Some(round) => self.ask(round, PublishState::Publishing),
                    None => self.give_up(PublishEnd::IndexFailed),
                };
            }
        };
        let verdict = self.judge(&known);
        if self.doubt != known.version() {
            // Versions only rise: what waits for an older one waits for ever.
            self.doubt = None;
        }
        match (verdict, &self.goal) {
            (Verdict::Ours(version), _) => self.end(PublishEnd::Won { version }, self.named()),
            (Verdict::Leased, Goal::Publish(completed)) => {
                let completed = completed.clone();
                self.publish(&known, &completed, round.failures)
            }
            (Verdict::Leased, Goal::Abandon) if self.is_in_row => self.give_up(PublishEnd::Abandoned),
            (Verdict::Leased, Goal::Abandon) => self.call_off(known),
            (Verdict::Unleased, _) => self.give_up(PublishEnd::LeaseLost),
            (Verdict::Ended(end), _) => self.give_up(end),
            (Verdict::Leased, Goal::Hold) => unreachable!("published without a whole blob: {self:?}"),
        }
    }

    /// What the entry means. Ours first: a reader may have seen it, whatever else is true.
    fn judge(&self, known: &Known) -> Verdict {
        let entry = known.stored.as_ref().map(|stored| &stored.entry);
        let manifest = entry.and_then(|entry| entry.manifest.as_ref());
        if let Some(manifest) = manifest.filter(|manifest| manifest.record.name == self.blob.name) {
            return Verdict::Ours(manifest.version);
        }
        let heeds_purges = !(self.is_in_row && self.terms.is_planted(Fault::X103));
        if heeds_purges && generation(entry) != self.generation {
            return Verdict::Ended(PublishEnd::Purged);
        }
        let is_expired = known.stored.as_ref().is_some_and(|stored| stored.expires <= known.now);
        if let Some(manifest) = manifest.filter(|_| !is_expired)
            && Some(manifest.record.name) != self.replaces
        {
            return Verdict::Ended(PublishEnd::Lost { winner: manifest.record.name });
        }
        let is_leased = entry.is_some_and(|entry| entry.lease(self.blob.name).is_some());
        if is_leased || self.is_in_row { Verdict::Leased } else { Verdict::Unleased }
    }

    fn lease(&mut self, known: Known, failures: u32) -> PublishStep {
        if self.goal == Goal::Abandon {
            return self.end(PublishEnd::Abandoned, BlobFate::NotBegun);
        }
        if self.deadline <= known.now {
            return self.end(PublishEnd::TooLate, BlobFate::NotBegun);
        }
        match self.leased(&known) {
            Some(sent) => self.ask(Round::swap(&known, sent, failures), PublishState::Leasing),
            None => self.end(PublishEnd::Crowded, BlobFate::NotBegun),
        }
    }

    fn renew(&mut self, known: Known, failures: u32) -> PublishStep {
        let sent = self.leased(&known).expect("a renewed lease takes its own place");
        self.ask(Round::swap(&known, sent, failures), |round| PublishState::Renewing(round, known))
    }

    fn leased(&self, known: &Known) -> Option<Stored> {
        let lease = Lease { name: self.blob.name, until: known.now.after(self.terms.lease()) };
        Stored::leased(known.stored.as_ref(), self.blob.key, lease, known.now)
    }

    fn publish(&mut self, known: &Known, completed: &Completed, failures: u32) -> PublishStep {
        // The swap is done within `linger`, and so before the index drops an entry that a purge since the
        // lookup would have left.
        if self.is_in_row && self.deadline <= known.now {
            return self.give_up(PublishEnd::TooLate);
        }
        let expires = known.now.after(self.terms.idle());
        let sent = Stored::published(known.stored.as_ref(), completed.clone(), known.now, expires);
        self.ask(Round::swap(known, sent, failures), PublishState::Publishing)
    }

    fn won(&mut self, known: Known) -> PublishStep {
        let version = known.version().expect("what was written has a version");
        self.end(PublishEnd::Won { version }, self.named())
    }

    /// What became of the blob of what is published.
    const fn named(&self) -> BlobFate {
        if self.is_in_row { BlobFate::InRow } else { BlobFate::Named }
    }

    fn read_again(&self, failures: u32) -> Option<Round> {
        (failures < self.terms.tries_max()).then_some(Round { failures, asked: Asked::Read })
    }

    fn ask(&mut self, round: Round, state: impl FnOnce(Round) -> PublishState) -> PublishStep {
        let ask = round.ask(self.blob.key);
        self.state = state(round);
        PublishStep::Ask(ask)
    }

    /// Takes the lease out of the entry, unless it is gone already. Failing that it runs out.
    fn hand_back(&mut self, fate: BlobFate, known: &Known, failures: u32) -> PublishStep {
        let leased = known.stored.as_ref().filter(|stored| stored.entry.lease(self.blob.name).is_some());
        match leased {
            Some(stored) => {
                let sent = stored.unleased(self.blob.name, known.now);
                self.ask(Round::swap(known, sent, failures), |round| PublishState::HandingBack(fate, round))
            }
            None => self.end(PublishEnd::Abandoned, fate),
        }
    }

    fn on_handing_back(&mut self, fate: BlobFate, round: &Round, told: Told) -> PublishStep {
        match round.on_told(told) {
            Heard::Swapped(_) => self.end(PublishEnd::Abandoned, fate),
            Heard::Known(known) => self.hand_back(fate, &known, round.failures),
            Heard::Failed(failures) => match self.read_again(failures) {
                Some(round) => self.ask(round, |round| PublishState::HandingBack(fate, round)),
                None => self.end(PublishEnd::Abandoned, fate),
            },
        }
    }

    /// Gives up an upload whose lease stands.
    fn call_off(&mut self, known: Known) -> PublishStep {
        let step = self.give_up(PublishEnd::Abandoned);
        if let PublishState::Deleting(_, lease) = &mut self.state {
            *lease = Some(known);
        }
        step
    }

    /// Ends an upload whose blob may be there. It goes only if no manifest names it and none ever can.
    fn give_up(&mut self, end: PublishEnd) -> PublishStep {
        if self.is_in_row {
            return self.end(end, BlobFate::InRow);
        }
        if self.doubt.is_some() {
            return self.end(end, BlobFate::Left);
        }
        self.state = PublishState::Deleting(end, None);
        PublishStep::Ask(Ask::Delete { blob: self.blob })
    }

    fn end(&mut self, end: PublishEnd, fate: BlobFate) -> PublishStep {
        self.state = PublishState::Ended;
        PublishStep::Ended(end, fate)
    }
}

fn generation(entry: Option<&Arc<Entry>>) -> Generation {
    entry.map_or(Generation::default(), |entry| entry.generation)
}

#[cfg(test)]
mod tests;
