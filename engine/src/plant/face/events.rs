//! What faults make of events, and what they ask beside the engine.

use super::{
    Face, Fault,
    known::{Misread, Own},
};
use crate::language::{
    chunk::Chunk,
    effect::{Effect, StaleUse},
    event::{
        CopyEvent, Event, FetchEvent, Purpose, RequestEvent, ResidenceEvent, ResilienceEvent, TierOperation,
    },
    id::{FillId, Minter, OpId, RecordName, TierId},
    reason::Removal,
    units::ByteCount,
};
use alloc::{collections::VecDeque, sync::Arc};
use core::time::Duration;

impl<C: Chunk> Face<C> {
    pub(super) fn alter_events(&mut self, fault: Fault, events: &mut VecDeque<Event>) {
        for event in events.iter_mut() {
            match (fault, event) {
                (
                    Fault::T2,
                    Event::Copy(
                        CopyEvent::LaneOpened { tier, key, name: Some(name), .. }
                        | CopyEvent::LaneDropped { tier, key, name: Some(name), .. },
                    )
                    | Event::Residence(ResidenceEvent::Stored { tier, key, name: Some(name), .. }),
                ) if *tier != TierId::L3 => *name = RecordName(key.0),
                (Fault::X64, Event::Request(RequestEvent::Served { sent, .. })) => *sent = ByteCount::ZERO,
                (Fault::R3, Event::Fetch(FetchEvent::Retried { at, .. })) => {
                    *at = at.after(Duration::from_millis(1))
                }
                (
                    Fault::A1,
                    Event::Residence(ResidenceEvent::Removed {
                        tier: TierId::L0,
                        size,
                        why: Removal::Replaced,
                        ..
                    }),
                ) => {
                    self.known.replaced += size.0;
                }
                (Fault::A1, Event::Residence(ResidenceEvent::Resident { bytes, .. })) => {
                    *bytes = bytes.plus(self.known.replaced)
                }
                (Fault::A4 | Fault::X42, Event::Residence(ResidenceEvent::Resident { capacity, .. })) => {
                    *capacity = self.known.capacity.unwrap_or(*capacity);
                }
                _ => {}
            }
        }
        match (fault, self.known.misread) {
            (Fault::X35, Some(Misread::Absent)) => {
                events
                    .retain(|event| !matches!(event, Event::Resilience(ResilienceEvent::TierFailed { .. })));
            }
            (Fault::X84, Some(Misread::Rotten(key))) => {
                for event in events.iter_mut() {
                    if let Event::Resilience(ResilienceEvent::TierFailed {
                        tier,
                        operation: TierOperation::Read,
                    }) = *event
                    {
                        *event = Event::Resilience(ResilienceEvent::FoundRotten { tier, key });
                    }
                }
            }
            (Fault::X41, _) => show_early(events),
            _ => {}
        }
    }

    /// Asks the origin once more about a stale response that is revalidated already (failure X74).
    pub(super) fn add(
        &mut self,
        fault: Fault,
        events: &mut VecDeque<Event>,
        effects: &VecDeque<Effect<C>>,
        ids: &mut Minter,
    ) {
        let asks = |effect: &Effect<C>| matches!(effect, Effect::Fetch { .. });
        if fault != Fault::X74 || effects.iter().any(asks) {
            return;
        }
        let stale = events.iter().find_map(|event| match event {
            Event::Request(RequestEvent::ServedStale {
                request,
                key,
                why: StaleUse::WhileRevalidate,
                ..
            }) => Some((*request, *key)),
            _ => None,
        });
        let Some((request, key)) = stale else { return };
        let under_way = self.known.fetches.values().find(|fetch| fetch.key == key && fetch.awaits_head);
        let (Some(fetch), Some(asking)) = (under_way, self.known.waiting.get(&request)) else { return };
        let (variant, origin, purpose) = (fetch.variant, fetch.origin, Purpose::Shared);
        let head = Arc::clone(&asking.head);
        let (op, fill) = (OpId(ids.mint()), FillId(ids.mint()));
        self.known.own.insert(op, Own::Fetch(fill, key));
        events.push_back(Event::Fetch(FetchEvent::Fetched { fill, key, variant, origin, purpose }));
        self.besides.push(Effect::Fetch { op, fill, head, leader: None });
    }
}

/// Moves what says that a promotion is visible before what says that its reader's response has ended.
fn show_early(events: &mut VecDeque<Event>) {
    let served = events.iter().position(|event| matches!(event, Event::Request(RequestEvent::Served { .. })));
    let stored = events
        .iter()
        .position(|event| matches!(event, Event::Residence(ResidenceEvent::Stored { from: Some(_), .. })));
    if let (Some(served), Some(stored)) = (served, stored)
        && served < stored
        && let Some(event) = events.remove(stored)
    {
        events.insert(served, event);
    }
}
