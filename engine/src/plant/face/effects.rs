//! What faults make of effects.

use super::{
    Face, Fault, NEW,
    known::{Own, Writing},
};
use crate::{
    durable::{Ask, BlobName, Stored, Told},
    language::{
        answer::Answer,
        chunk::Chunk,
        effect::{Effect, Freshening, Outcome, ReadSource, Reply, ReplyBody},
        event::{Event, FetchEnd, FetchEvent, RequestEvent, ResilienceEvent},
        head::RequestHead,
        id::{FillId, Minter, OpId, RecordId, RecordName, TierId, WriterId},
        key::CacheKey,
        reason::{AbortReason, End, Late, ReadFailure},
        record::{Record, StoredFreshness},
        units::ByteCount,
    },
    plant::bounds::FOR_EVER,
    rules::conditional,
};
use alloc::{collections::VecDeque, sync::Arc};

impl<C: Chunk> Face<C> {
    /// What the driver is asked when it should be asked this, if anything.
    pub(super) fn alter_effect(
        &mut self,
        fault: Fault,
        mut effect: Effect<C>,
        events: &VecDeque<Event>,
        ids: &mut Minter,
    ) -> Option<Effect<C>> {
        match (fault, &mut effect) {
            (Fault::T12, Effect::Fetch { fill, head, .. }) => self.restore_conditions(*fill, head),
            (Fault::X31, Effect::Cancel { fill }) if was_cancelled(events, *fill) => return None,
            (Fault::X30, Effect::Refuse { request, .. }) => {
                let is_led_anew = events
                    .iter()
                    .any(|event| matches!(event, Event::Request(RequestEvent::LeaderReplaced { .. })));
                let is_first = events.iter().find_map(|event| match event {
                    Event::Request(RequestEvent::Refused { request, .. }) => Some(*request),
                    _ => None,
                });
                if is_led_anew && is_first == Some(*request) {
                    return None;
                }
            }
            (Fault::T11, Effect::Finish { end, .. }) => {
                if let End::Aborted(AbortReason::Origin(_)) = end {
                    *end = End::Complete;
                }
            }
            (Fault::X53, Effect::Serve { reply, .. }) => cut_short(reply),
            (Fault::X98, Effect::Serve { .. } | Effect::Body { .. }) => self.begin_part_late(&mut effect),
            (Fault::X88, Effect::Serve { .. }) => self.besides.push(effect.clone()),
            (Fault::X86, Effect::Body { chunk, .. }) if chunk.size() > 1 => {
                *chunk = chunk.take(chunk.size() - 1);
            }
            (Fault::X89, Effect::Finish { .. })
            | (Fault::X90, Effect::PurgeDone { .. })
            | (Fault::X91, Effect::Body { .. })
            | (Fault::X96, Effect::Refuse { .. })
            | (Fault::X92, Effect::Discard { .. }) => return None,
            (Fault::X95, Effect::Cancel { .. }) => self.besides.push(effect.clone()),
            (Fault::X73, Effect::Release { .. }) if self.known.has_left => return None,
            (Fault::X81, Effect::Release { .. }) if has_looked_too_long(events) => return None,
            (_, Effect::Read { .. }) => return self.alter_read(fault, effect),
            (_, Effect::Durable { .. }) => return self.alter_ask(fault, effect),
            (
                _,
                Effect::Open { .. } | Effect::Write { .. } | Effect::Commit { .. } | Effect::Discard { .. },
            ) => return self.alter_writing(fault, effect, ids),
            (Fault::X93, Effect::Freshen { op, .. }) => {
                self.told.push_back(Answer::Freshened { freshening: Freshening::Done }.to(*op));
                return None;
            }
            (Fault::X50, Effect::StoreBan { op, .. }) => self.told.push_back(Answer::BanStored.to(*op)),
            (Fault::F2, Effect::Delete { op, tier: TierId::L2, name: None, .. }) => {
                self.told.push_back(Answer::Deleted { existed: false }.to(*op));
                return None;
            }
            (Fault::X19, Effect::Delete { op, tier, name: Some(name), .. })
                if self.known.failed.contains(&(*tier, *name)) =>
            {
                self.known.asked.remove(op);
                return None;
            }
            _ => {}
        }
        Some(effect)
    }

    /// A part of what arrives loses its first byte.
    fn begin_part_late(&mut self, effect: &mut Effect<C>) {
        match effect {
            Effect::Serve { request, reply } if is_part_arriving(reply) => {
                self.known.parts.insert(*request);
            }
            Effect::Body { request, chunk } if chunk.size() > 1 && self.known.parts.remove(request) => {
                *chunk = chunk.skip(1);
            }
            _ => {}
        }
    }

    /// The leader's own conditions go along, after all.
    fn restore_conditions(&self, fill: FillId, head: &mut Arc<RequestHead>) {
        let key = self.known.fetches.get(&fill).map(|fetch| fetch.key);
        let Some(asked) = key.and_then(|key| self.known.conditional.get(&key)) else { return };
        let mut plain = asked.fields.clone();
        conditional::remove_conditions(&mut plain);
        if plain == head.fields {
            *head = Arc::clone(asked);
        }
    }

    fn alter_read(&mut self, fault: Fault, mut effect: Effect<C>) -> Option<Effect<C>> {
        let Effect::Read { op, source, offset, length_max, .. } = &mut effect else { return Some(effect) };
        match (fault, *source) {
            (Fault::T4, ReadSource::Writer(_)) if *length_max > 1 => {
                (*offset, *length_max) = (*offset + 1, *length_max - 1);
            }
            (Fault::X56, ReadSource::Writer(_)) => {
                self.known.asked.remove(op);
                self.told.push_back(Answer::ReadFailed { why: ReadFailure::Unavailable }.to(*op));
                return None;
            }
            (Fault::T9, ReadSource::Record(record)) => *source = ReadSource::Record(self.newest_of(record)),
            (Fault::T10, ReadSource::Record(_)) => {
                let missing = self.known.missing.iter().position(|(missing, _)| missing == source);
                if let Some((_, missing)) = missing.map(|place| self.known.missing.swap_remove(place)) {
                    let skipped = missing.min(length_max.saturating_sub(1));
                    (*offset, *length_max) = (*offset + skipped, *length_max - skipped);
                }
            }
            (Fault::X80, ReadSource::Record(_)) if *length_max > 1 => {
                let is_twin = self.known.asked.iter().any(|(other, asked)| {
                    let Effect::Read { source: read, offset: first, .. } = asked else { return false };
                    other != op && (read, first) == (&*source, &*offset)
                });
                if is_twin {
                    (*offset, *length_max) = (*offset + 1, *length_max - 1);
                }
            }
            _ => {}
        }
        self.known.on_effect(&effect);
        Some(effect)
    }

    /// The record of the same key in the same tier that was opened last.
    fn newest_of(&self, record: RecordId) -> RecordId {
        let Some(own) = self.known.records.get(&record) else { return record };
        let alike = self.known.records.iter().filter(|(_, open)| *open == own);
        alike.map(|(record, _)| *record).next_back().unwrap_or(record)
    }

    fn alter_ask(&mut self, fault: Fault, mut effect: Effect<C>) -> Option<Effect<C>> {
        let Effect::Durable { op, ask } = &mut effect else { return Some(effect) };
        let told = match (fault, ask) {
            (Fault::T8, Ask::Delete { blob }) => {
                let manifest = self.entry(blob.key).and_then(|stored| stored.entry.manifest.as_ref());
                if let Some(winner) = manifest.map(|manifest| manifest.record.name) {
                    *blob = BlobName { name: winner, ..*blob };
                }
                return Some(effect);
            }
            (Fault::X61, Ask::Touch { expires, .. }) => {
                *expires = expires.after(FOR_EVER);
                return Some(effect);
            }
            (Fault::F6, Ask::Swap { expected: Some(_), stored }) => {
                let ran_out = |before: &Stored| {
                    before.entry.manifest.is_some() && before.expires <= self.known.index_now
                };
                let is_lease = !stored.entry.leases.is_empty() && stored.entry.manifest.is_none();
                let key = stored.entry.key;
                let is_refused = is_lease && self.entry(key).is_some_and(ran_out);
                if is_refused {
                    self.known.refused.insert(key);
                }
                is_refused.then_some(Told::Conflict)
            }
            (Fault::X59, Ask::Swap { stored, .. }) => {
                let before = self.entry(stored.entry.key);
                let was_there = before.is_some_and(|before| before.entry.manifest.is_some());
                let generation = before.map(|before| before.entry.generation).unwrap_or_default();
                let is_purge = stored.entry.generation > generation && !was_there;
                is_purge.then_some(Told::Swapped { now: self.known.index_now })
            }
            _ => None,
        };
        let Some(told) = told else { return Some(effect) };
        self.known.asked.remove(op);
        self.told.push_back(Answer::DurableTold { told }.to(*op));
        None
    }

    fn entry(&self, key: CacheKey) -> Option<&Stored> {
        self.known.entries.get(&key)
    }

    /// What is asked for a writer.
    fn alter_writing(&mut self, fault: Fault, mut effect: Effect<C>, ids: &mut Minter) -> Option<Effect<C>> {
        match (fault, &mut effect) {
            (Fault::T2, Effect::Open { tier, key, name, .. }) if *tier != TierId::L3 => {
                *name = RecordName(key.key.0);
            }
            (Fault::T2, Effect::Commit { tier, record, .. }) if *tier != TierId::L3 => {
                let name = RecordName(record.key.0);
                Arc::make_mut(record).name = name;
            }
            (Fault::T14, Effect::Commit { record, .. }) => {
                let head = &mut Arc::make_mut(record).head;
                Arc::make_mut(head).fields.remove(|name| name == "content-encoding");
            }
            (Fault::F4, Effect::Commit { tier, record, .. })
                if self.known.promoting.contains(&(*tier, record.key, Some(record.name))) =>
            {
                let (as_of, record) = (self.known.wall(), Arc::make_mut(record));
                record.freshness = StoredFreshness { as_of, age_then: NEW, ..record.freshness };
            }
            (Fault::X39, Effect::Write { op, .. }) => self.told.push_back(Answer::Written.to(*op)),
            (Fault::X94, Effect::Commit { op, tier, .. }) if *tier != TierId::L3 => {
                self.known.asked.remove(op);
                self.told.push_back(Answer::Committed.to(*op));
                return None;
            }
            (Fault::T1 | Fault::T5, Effect::Write { op, writer, .. }) if self.loses_write(fault, *writer) => {
                self.known.asked.remove(op);
                self.told.push_back(Answer::Written.to(*op));
                return None;
            }
            (Fault::T6, Effect::Discard { tier, writer }) => {
                let (tier, writer) = (*tier, *writer);
                if let Some(record) = self.short_record(writer) {
                    let op = OpId(ids.mint());
                    self.known.own.insert(op, Own::Commit(tier, writer));
                    self.known.writers.remove(&writer);
                    self.besides.push(Effect::Commit { op, tier, writer, record });
                    return None;
                }
            }
            _ => {}
        }
        Some(effect)
    }

    /// Is it the write that was just asked for which the tier never gets?
    fn loses_write(&self, fault: Fault, writer: WriterId) -> bool {
        let Some(writing) = self.known.writers.get(&writer) else { return false };
        match fault {
            Fault::T1 => self.known.lengths.get(&writing.key.key) == Some(&writing.bytes),
            _ => writing.chunks == 2,
        }
    }

    /// What was written so far of a copy that is given up, as if it were all.
    fn short_record(&self, writer: WriterId) -> Option<Arc<Record>> {
        let Writing { tier, key, name, bytes, is_over, .. } = self.known.writers.get(&writer)?;
        let is_busy = self.known.asked.values().any(|asked| match asked {
            Effect::Open { writer: other, .. } | Effect::Write { writer: other, .. } => *other == writer,
            _ => false,
        });
        if *is_over || is_busy || *tier == TierId::L3 || *bytes == 0 {
            return None;
        }
        let found = self.known.found.get(key)?.clone();
        Some(Arc::new(Record { name: *name, length: ByteCount(*bytes), ..found }))
    }
}

fn was_cancelled(events: &VecDeque<Event>, of: FillId) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::Fetch(FetchEvent::FetchEnded { fill, end: FetchEnd::Cancelled, .. }) if *fill == of))
}

fn has_looked_too_long(events: &VecDeque<Event>) -> bool {
    events.iter().any(|event| {
        matches!(
            event,
            Event::Resilience(ResilienceEvent::DeadlineMissed { what: Late::Lookup(_) | Late::Answer, .. })
        )
    })
}

fn is_part_arriving<C>(reply: &Reply<C>) -> bool {
    reply.head.status == 206 && matches!(reply.outcome, Outcome::Miss { .. })
}

/// A part that is at hand loses its last byte.
fn cut_short<C: Chunk>(reply: &mut Reply<C>) {
    let ReplyBody::Whole(body) = &mut reply.body else { return };
    if reply.head.status != 206 || body.length < ByteCount(2) {
        return;
    }
    let cut = Arc::make_mut(body);
    if let Some(last) = cut.chunks.last_mut().filter(|last| last.size() > 1) {
        *last = last.take(last.size() - 1);
        cut.length = ByteCount(cut.length.0 - 1);
    }
}
