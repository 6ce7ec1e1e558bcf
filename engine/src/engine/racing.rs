//! Reads of a record for one reader: the deadline of each, and a second one when the first is later than most.
//!
//! Both go to the record that is open: what it holds is the same from its first byte to its last, so whichever answers
//! first may be used. A follower's read back from a lane is not asked for twice.

use super::{Engine, Pending, Progress, caring::Waiter};
use crate::{
    care::{
        deadline::Phase,
        hedge::{Answer, Race, RaceStep},
    },
    chunk::Chunk,
    effect::{Effect, ReadSource},
    event::Event,
    id::{OpId, RequestId, TierId},
    plant::Fault,
    reason::{AbortReason, End, Guarded, Late},
    rules::Piece,
};

/// What the end of an operation means for the read that it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadStep {
    /// It is the read's end.
    Over,
    /// Another one runs, at this tier.
    GoesOn(TierId),
}

impl<C: Chunk> Engine<C> {
    /// A read for a client whose response has begun. No breaker keeps it from being made, for that would break off what
    /// may well be read on (O2); but one that lets it through hears how it went.
    pub(super) fn begin_read(&mut self, request: RequestId, tier: TierId) -> OpId {
        let held = self.cx.admit(Guarded::Tier(tier)).ok();
        self.cx.caring.deadlines.begin(self.cx.now, Waiter::Reader(request));
        self.cx.caring.deadlines.enter(self.cx.now, Waiter::Reader(request), Phase::Chunk);
        self.cx.operation_with(Pending::Read(request), held)
    }

    pub(super) fn begin_race(&mut self, request: RequestId, tier: TierId, op: OpId) -> Race {
        let now = self.cx.now;
        let race = match self.cx.caring.hedging(tier) {
            Some(hedging) => hedging.begin(now, op),
            None => Race::Alone { op, since: now, late_at: None },
        };
        if let Some(at) = race.poll_wake() {
            self.cx.caring.late_reads.set(request, at);
        }
        race
    }

    /// A read is late: asks the same of the same record once more, if the budget and the breaker allow it.
    pub(super) fn read_twice(&mut self, request: RequestId) {
        let now = self.cx.now;
        let reader = self.requests.get_mut(&request).expect("a race is forgotten with its request");
        let Progress::Reading { record, pieces, read: Some(race), .. } = &mut reader.progress else {
            unreachable!("{request:?} is late but is {:?}", reader.progress);
        };
        let Some(Piece::Bytes { first, count }) = pieces.front() else {
            unreachable!("{request:?} reads bytes, but waits for {pieces:?}");
        };
        let (mut offset, length_max) = (*first, self.cx.config.read_size.min(*count));
        offset += u64::from(self.cx.config.is_planted(Fault::X80) && *count > 1);
        let (record, tier) = (*record, self.records[record].tier);
        let hedging = self.cx.caring.hedging(tier).expect("only hedged reads are late");
        if !race.on_wake(now, hedging) {
            return;
        }
        let Ok(held) = self.cx.admit(Guarded::Tier(tier)) else {
            return;
        };
        let op = self.cx.operation_with(Pending::Read(request), Some(held));
        if let Some(Progress::Reading { read: Some(race), .. }) =
            self.requests.get_mut(&request).map(|reader| &mut reader.progress)
        {
            race.on_hedged(now, op);
        }
        self.cx.event(Event::Hedged { request, tier });
        self.cx.effect(Effect::Read { op, tier, source: ReadSource::Record(record), offset, length_max });
    }

    /// An operation of a reader's has ended.
    pub(super) fn on_read_answered(&mut self, request: RequestId, op: OpId, answer: Answer) -> ReadStep {
        let now = self.cx.now;
        let reader = self.requests.get_mut(&request).expect("a read is forgotten with its request");
        let step = match &mut reader.progress {
            Progress::Waiting(_) => unreachable!("{request:?} reads before it was served"),
            Progress::Following { .. } => RaceStep::Won { cancel: None },
            Progress::Reading { record, read, .. } => {
                let tier = self.records[record].tier;
                let race = read.as_mut().expect("a reader's operations belong to its race");
                self.cx.caring.late_reads.remove(request);
                let step = match (self.cx.caring.hedging(tier), answer) {
                    (Some(hedging), answer) => race.on_answer(now, op, answer, hedging),
                    (None, Answer::Given) => RaceStep::Won { cancel: None },
                    (None, Answer::Failed) => RaceStep::Lost,
                };
                if step == RaceStep::OtherRuns {
                    return ReadStep::GoesOn(tier);
                }
                *read = None;
                step
            }
        };
        match step {
            RaceStep::Won { cancel: Some(_) } if self.cx.config.is_planted(Fault::X52) => {}
            RaceStep::Won { cancel } => cancel.into_iter().for_each(|op| self.cx.forget(op)),
            RaceStep::Lost => {}
            RaceStep::OtherRuns | RaceStep::Ignored => unreachable!("{op:?} of {request:?} is {step:?}"),
        }
        self.cx.caring.deadlines.end(Waiter::Reader(request));
        ReadStep::Over
    }

    /// A reader has left: what still runs for it is of no interest.
    pub(super) fn forget_race(&mut self, request: RequestId, race: &Race) {
        self.stop_race(request);
        race.running().into_iter().flatten().for_each(|op| self.cx.forget(op));
    }

    fn stop_race(&mut self, request: RequestId) {
        self.cx.caring.late_reads.remove(request);
        self.cx.caring.deadlines.end(Waiter::Reader(request));
    }

    /// The bytes did not come in time. What the tier has stays in its index: it is slow, not lost.
    pub(super) fn on_read_late(&mut self, request: RequestId) {
        let reader = self.requests.get_mut(&request).expect("a deadline is forgotten with its request");
        let key = reader.key;
        match &mut reader.progress {
            Progress::Waiting(_) => unreachable!("{request:?} reads before it was served"),
            Progress::Following { fill, rereading, .. } => {
                let fill = *fill;
                let (op, writer) = rereading.take().expect("a follower's read reads back");
                let tier = self.copying.on_read_back_failed(writer);
                self.cx.caring.deadlines.end(Waiter::Reader(request));
                self.cx.give_up(op);
                self.cx.event(Event::DeadlineMissed { key, what: Late::Read(tier) });
                self.pump(fill);
            }
            Progress::Reading { record, read, .. } => {
                let tier = self.records[record].tier;
                let race = read.take().expect("a reader's deadline belongs to its race");
                self.stop_race(request);
                race.running().into_iter().flatten().for_each(|op| self.cx.give_up(op));
                self.cx.event(Event::DeadlineMissed { key, what: Late::Read(tier) });
                self.finish_reading(request, End::Aborted(AbortReason::TierRead(tier)));
            }
        }
    }
}
