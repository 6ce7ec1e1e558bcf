//! What faults make of inputs.

use super::{
    Face, Fault, NEW, heads,
    known::{Misread, Own, may_be, op_of},
};
use crate::{
    durable::{Ask, Told},
    language::{
        answer::Answer,
        chunk::Chunk,
        effect::{Effect, ReadSource},
        event::{Event, FetchEnd, FetchEvent, PurgeEvent, RequestEvent},
        id::{FillId, OpId, PurgeId, TierId},
        input::Input,
        key::CacheKey,
        reason::{OriginFailure, ReadFailure, Refusal},
        record::{Record, StoredFreshness},
        selector::{PurgeMode, Selector},
        units::ByteCount,
    },
};
use alloc::{collections::VecDeque, sync::Arc, vec::Vec};
use core::time::Duration;

impl<C: Chunk> Face<C> {
    /// Queues what the engine is told when it should be told this, which answers `asked` if it answers
    /// anything.
    pub(super) fn alter_input(
        &mut self,
        fault: Fault,
        input: Input<C>,
        asked: Option<Effect<C>>,
        effects: &mut VecDeque<Effect<C>>,
        events: &mut VecDeque<Event>,
    ) {
        if self.is_own(&input, effects, events) {
            return;
        }
        if fault == Fault::X12 && !matches!(input, Input::WallClock { .. }) {
            self.told.extend(self.known.last_reading().map(|wall| Input::WallClock { wall }));
        }
        let told = match &asked {
            None => self.alter_word(fault, input, effects, events),
            Some(asked @ (Effect::Fetch { .. } | Effect::Pull { .. })) => {
                Some(self.alter_answer_of_origin(fault, input, asked))
            }
            Some(Effect::Durable { ask, .. }) => Some(self.alter_answer_of_index(fault, input, ask)),
            Some(asked) => {
                if let (
                    Fault::R1,
                    Input::Answer { answer: Answer::LookupFailed, .. },
                    Effect::Lookup { key, .. },
                ) = (fault, &input, asked)
                {
                    self.refuse_all(key.target, effects, events);
                }
                Some(self.alter_answer_of_tier(fault, input, asked))
            }
        };
        self.told.extend(told);
    }

    /// What the engine is told when it should be told this, which answers nothing.
    fn alter_word(
        &mut self,
        fault: Fault,
        mut input: Input<C>,
        effects: &mut VecDeque<Effect<C>>,
        events: &mut VecDeque<Event>,
    ) -> Option<Input<C>> {
        match (fault, &mut input) {
            (Fault::X25, Input::LeaseHeld { until }) => *until = until.after(self.known.lease),
            (Fault::F7, Input::Request { head, .. }) => {
                heads::strengthen(&mut Arc::make_mut(head).fields);
            }
            (Fault::R2, Input::Request { request, key, origin, .. })
                if self.known.open.get(origin).is_some_and(|until| self.known.now < *until) =>
            {
                let (request, key) = (*request, *key);
                let refusal = Refusal::BreakerOpen { retry_after: Duration::ZERO };
                self.known.waiting.remove(&request);
                events.extend([
                    Event::Request(RequestEvent::Requested { request, key }),
                    Event::Request(RequestEvent::Refused { request, refusal }),
                ]);
                effects.push_back(Effect::Refuse { request, refusal });
                return None;
            }
            (_, Input::Purge { purge, selector, mode }) if self.loses_purge(fault, selector, *mode) => {
                end_purge(*purge, selector, *mode, effects, events);
                return None;
            }
            (Fault::X77 | Fault::X85, Input::Purge { selector, .. }) => {
                self.tell_committed(fault, selector);
            }
            (Fault::F9 | Fault::X24, Input::RemotePurge { notice })
                if fault == Fault::F9 || self.known.is_fetching(&notice.selector) =>
            {
                events.push_back(Event::Purge(PurgeEvent::RemotePurged {
                    what: notice.selector.kind(),
                    mode: notice.mode,
                }));
                return None;
            }
            (Fault::X101, Input::AnsweredAround { request, response, .. }) => {
                let fields = &mut Arc::make_mut(response).fields;
                fields.remove(|name| name == "content-location");
                fields.push("content-location", request.target.as_bytes());
            }
            (Fault::X49, Input::Recovered { bans, .. }) => bans.clear(),
            (Fault::X82, Input::Recovered { tier, .. }) => {
                let joined = Input::TierJoined { tier: *tier, objects: 0, bytes: ByteCount::ZERO };
                self.told.push_back(input);
                return Some(joined);
            }
            (Fault::X82, Input::TierJoined { .. }) => return None,
            _ => {}
        }
        Some(input)
    }

    fn alter_answer_of_origin(&mut self, fault: Fault, mut input: Input<C>, asked: &Effect<C>) -> Input<C> {
        match (fault, &mut input, asked) {
            (_, Input::Answer { answer: Answer::Head { head }, .. }, Effect::Fetch { fill, .. }) => {
                self.alter_head(fault, Some(*fill), head);
            }
            (Fault::T3, Input::Answer { op, answer: Answer::PullFailed { .. } }, _) => {
                input = Answer::PullEnded.to(*op)
            }
            (Fault::X62, Input::Answer { op, answer: Answer::Pulled { .. } }, Effect::Pull { fill, .. })
                if self.received(*fill).is_some_and(|(promised, received)| received > promised) =>
            {
                input = Answer::PullFailed { failure: OriginFailure::TooLong }.to(*op);
            }
            (Fault::X63, Input::Answer { op, answer: Answer::PullEnded }, Effect::Pull { fill, .. })
                if self.received(*fill).is_some_and(|(promised, received)| received < promised) =>
            {
                input = Answer::PullFailed { failure: OriginFailure::TooShort }.to(*op);
            }
            _ => {}
        }
        input
    }

    fn alter_answer_of_tier(&mut self, fault: Fault, mut input: Input<C>, asked: &Effect<C>) -> Input<C> {
        match (fault, &mut input, asked) {
            (_, Input::Answer { answer: Answer::Found { record, .. }, .. }, Effect::Lookup { key, .. }) => {
                if fault == Fault::T13 {
                    (record.key, record.target) = (key.key, key.target);
                }
                self.alter_found(fault, record);
            }
            (Fault::X35, Input::Answer { op, answer: Answer::Absent }, _) => {
                self.known.misread = Some(Misread::Absent);
                input = Answer::LookupFailed.to(*op);
            }
            (
                Fault::X84,
                Input::Answer { answer: Answer::ReadFailed { why: why @ ReadFailure::Rotten }, .. },
                Effect::Read { source: ReadSource::Record(record), .. },
            ) => {
                let key = self.known.records.get(record).map(|(_, at)| at.key);
                self.known.misread = key.map(Misread::Rotten);
                *why = ReadFailure::Unavailable;
            }
            (
                Fault::T10,
                Input::Answer { answer: Answer::BodyRead { chunk }, .. },
                Effect::Read { source, length_max, .. },
            ) => {
                let missing = length_max.saturating_sub(chunk.size());
                if missing > 0 {
                    self.known.missing.push((*source, missing));
                }
            }
            (
                Fault::X52,
                Input::Answer { op, answer: Answer::BodyRead { chunk } },
                read @ Effect::Read { .. },
            ) => {
                let (op, chunk) = (*op, chunk.clone());
                self.answer_for_another(op, chunk, read);
            }
            (Fault::R10, Input::Answer { answer: Answer::Deleted { existed }, .. }, _) => *existed = true,
            (Fault::X51, Input::Answer { op, answer: Answer::DeleteFailed }, _) => {
                input = Answer::Deleted { existed: false }.to(*op);
            }
            _ => {}
        }
        input
    }

    fn alter_answer_of_index(&mut self, fault: Fault, mut input: Input<C>, ask: &Ask) -> Input<C> {
        let Input::Answer { answer: Answer::DurableTold { told }, .. } = &mut input else { return input };
        match (fault, told, ask) {
            (Fault::X18, told @ Told::Unknown, Ask::Swap { .. }) => *told = Told::Conflict,
            (Fault::F6, Told::Entry { found: Some(stored), .. }, Ask::Read { key })
                if self.known.refused.remove(key) =>
            {
                // To whoever would replace it, it was purged meanwhile.
                Arc::make_mut(&mut stored.entry).generation.0 += 1;
            }
            (Fault::X58, Told::Entry { now, .. }, _) => *now = self.known.wall(),
            _ => {}
        }
        input
    }

    /// Takes an answer that the engine waits for in vain.
    fn is_own(
        &mut self,
        input: &Input<C>,
        effects: &mut VecDeque<Effect<C>>,
        events: &mut VecDeque<Event>,
    ) -> bool {
        let own = op_of(input).and_then(|op| self.known.own.remove(&op));
        match own {
            None => return false,
            Some(Own::Fetch(fill, key)) => {
                effects.push_back(Effect::Cancel { fill });
                let (received, end) = (ByteCount::ZERO, FetchEnd::Cancelled);
                events.push_back(Event::Fetch(FetchEvent::FetchEnded { fill, key, received, end }));
            }
            Some(Own::Commit(tier, writer)) => effects.push_back(Effect::Discard { tier, writer }),
        }
        true
    }

    /// What the body of a fill was to be, and what has come.
    fn received(&self, fill: FillId) -> Option<(u64, u64)> {
        let fetch = self.known.fetches.get(&fill)?;
        Some((fetch.promised?, fetch.received))
    }

    fn alter_found(&self, fault: Fault, record: &mut Record) {
        let (wall, freshness) = (self.known.wall(), record.freshness);
        let age = freshness.age_then.saturating_add(wall.since(freshness.as_of));
        match fault {
            Fault::X26 => record.freshness = StoredFreshness { as_of: wall, age_then: NEW, ..freshness },
            // It looks as if it were born after the purge.
            Fault::X8 if self.known.purged.contains(&record.target) => {
                let lifetime = freshness.lifetime.saturating_sub(age);
                record.freshness = StoredFreshness { as_of: wall, age_then: NEW, lifetime };
            }
            Fault::X83 if record.head.status == 0 => Arc::make_mut(&mut record.head).status = 200,
            _ => {}
        }
    }

    /// Is the purge one of which the engine hears nothing?
    fn loses_purge(&self, fault: Fault, selector: &Selector, mode: PurgeMode) -> bool {
        match fault {
            Fault::F1 => self.known.is_fetching(selector),
            Fault::X100 => self.known.adopted.values().any(|key| may_be(selector, *key)),
            Fault::X44 => self.known.promoting.iter().any(|(_, key, _)| may_be(selector, *key)),
            Fault::X79 => {
                let mut fetches = self.known.fetches.values();
                !matches!(selector, Selector::Key(_)) && fetches.any(|fetch| fetch.awaits_head)
            }
            Fault::X47 => mode == PurgeMode::Soft,
            _ => false,
        }
    }

    /// Tells the engine that what tiers are just publishing of a key is published.
    fn tell_committed(&mut self, fault: Fault, selector: &Selector) {
        let committing = self.known.asked.values().filter_map(|effect| match effect {
            Effect::Commit { op, tier, record, .. }
                if *tier != TierId::L3
                    && matches!(selector, Selector::Key(key) if *key == record.target)
                    && (fault == Fault::X77 || record.head.status == 0) =>
            {
                Some(Answer::Committed.to(*op))
            }
            _ => None,
        });
        self.told.extend(committing);
    }

    /// Refuses all who wait for a target, and lets the engine believe that they have left.
    fn refuse_all(
        &mut self,
        target: CacheKey,
        effects: &mut VecDeque<Effect<C>>,
        events: &mut VecDeque<Event>,
    ) {
        let refusal = Refusal::Origin(OriginFailure::Unreachable);
        let waiting = self.known.waiting.iter().filter(|(_, waiting)| waiting.key == target);
        for request in waiting.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.known.waiting.remove(&request);
            self.told.push_back(Input::Leave { request });
            events.push_back(Event::Request(RequestEvent::Refused { request, refusal }));
            effects.push_back(Effect::Refuse { request, refusal });
        }
    }

    /// A read that has lost against its double answers the read that came after it.
    fn answer_for_another(&mut self, op: OpId, chunk: C, read: &Effect<C>) {
        let Effect::Read { source, offset, .. } = read else { return };
        let others = self.known.asked.iter().filter_map(|(op, effect)| match effect {
            Effect::Read { source: other, offset, length_max, .. }
                if other == source && matches!(source, ReadSource::Record(_)) =>
            {
                Some((*op, *offset, *length_max))
            }
            _ => None,
        });
        let others: Vec<_> = others.collect();
        if self.known.beaten.remove(&op) {
            let next = others.into_iter().find(|(op, ..)| !self.known.beaten.contains(op));
            if let Some((op, _, length_max)) = next {
                let chunk = if chunk.size() > length_max { chunk.take(length_max) } else { chunk };
                self.told.push_back(Answer::BodyRead { chunk }.to(op));
            }
        } else {
            let twins = others.into_iter().filter(|(_, other, _)| other == offset);
            self.known.beaten.extend(twins.map(|(op, ..)| op));
        }
    }
}

/// Says that a purge is done which was not begun.
fn end_purge<C>(
    purge: PurgeId,
    selector: &Selector,
    mode: PurgeMode,
    effects: &mut VecDeque<Effect<C>>,
    events: &mut VecDeque<Event>,
) {
    let what = selector.kind();
    events.push_back(Event::Purge(PurgeEvent::PurgeBegan { purge, what, mode }));
    events.push_back(Event::Purge(PurgeEvent::PurgeEnded { purge, what, confirmed: true }));
    effects.push_back(Effect::PurgeDone { purge, report: Vec::new() });
}
