//! What an edge hears from the purge feed, held against the log itself (failure F9).
//!
//! Each notice of another edge is heard once, in the order of the log, but for those behind a gap that was told; what counts as
//! read was heard; and no lease lasts longer than a reading that found the end of the log allows, counted from when the log
//! was read. What purges do then is C7's.

use crate::explore::{
    world::hub::Log,
    world::{Life, World},
};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{
    CacheKey, Event, Instant, PurgeMode, ResidenceEvent, Selector, WallTime,
    feed::{AskId, FeedEntry, FeedOrigin, Notice, Sequence},
};

/// What the ways over the calendar may take from an age.
const ROUNDING: Duration = Duration::from_millis(5);

/// What one life of an edge has heard.
#[derive(Debug)]
pub(in crate::explore) struct Heard {
    origin: FeedOrigin,
    /// All of the log up to here was heard, is its own, or lies behind a gap.
    through: Sequence,
    /// When the log did the latest reading that was answered.
    read_at: Option<Instant>,
    /// What had been trimmed then.
    trimmed: Sequence,
    /// When it did those whose answers may be under way, in that order, and what had been trimmed by then.
    under_way: Vec<(AskId, Instant, Sequence)>,
    /// When the purges of keys that it heard of were asked for.
    purged: BTreeMap<CacheKey, WallTime>,
}

impl Heard {
    pub(in crate::explore) const fn new(origin: FeedOrigin) -> Self {
        Self {
            origin,
            through: Sequence::START,
            read_at: None,
            trimmed: Sequence::START,
            under_way: Vec::new(),
            purged: BTreeMap::new(),
        }
    }

    /// The next entry that it should hear of.
    fn next<'l>(&self, log: &'l Log) -> Option<&'l FeedEntry<Notice>> {
        let history = log.history();
        let unheard = history.partition_point(|entry| entry.sequence <= self.through);
        history[unheard..].iter().find(|entry| entry.origin != self.origin)
    }
}

impl World {
    /// The log was read for an edge.
    pub(in crate::explore) fn on_log_read(&mut self, of: Life, id: AskId) {
        let (now, trimmed) = (self.now, self.log.trimmed_through());
        if self.life(of.edge) == of
            && let Some(heard) = &mut self.edges[of.edge as usize].heard
        {
            heard.under_way.push((id, now, trimmed));
        }
    }

    /// The answer to a reading came.
    pub(in crate::explore) fn on_reading_told(&mut self, edge: u32, id: AskId) {
        if let Some(heard) = &mut self.edges[edge as usize].heard
            && let Some(place) = heard.under_way.iter().rposition(|(read, ..)| *read == id)
        {
            // Those that the log did before say nothing new any more, whether their answers come late or were lost.
            let answered = heard.under_way.drain(..=place).next_back();
            let (_, read, trimmed) = answered.expect("it was just found");
            (heard.read_at, heard.trimmed) = (heard.read_at.max(Some(read)), heard.trimmed.max(trimmed));
        }
    }

    /// An edge hears of a purge.
    pub(in crate::explore) fn on_notice(&mut self, edge: u32, notice: &Notice) {
        let Some(heard) = &mut self.edges[edge as usize].heard else { return };
        match heard.next(&self.log) {
            Some(entry) if entry.notice == *notice => {
                heard.through = entry.sequence;
                if let (Selector::Key(key), PurgeMode::Hard) = (&notice.selector, notice.mode) {
                    heard.purged.insert(*key, notice.at);
                }
            }
            other => {
                let detail = format!("edge {edge} hears {notice:?}, but the next in the log is {other:?}");
                self.breaks("F9", detail);
            }
        }
    }

    /// An edge hears that it missed some.
    pub(in crate::explore) fn on_gap(&mut self, edge: u32) {
        if let Some(heard) = &mut self.edges[edge as usize].heard {
            heard.through = heard.through.max(heard.trimmed);
        }
    }

    /// What was made before a purge that an edge has heard of does not become visible there after it.
    pub(in crate::explore) fn check_heard_of(&mut self, edge: u32, event: &Event) {
        let Event::Residence(ResidenceEvent::Stored { tier, key, age, .. }) = event else { return };
        let Some(heard) = &self.edges[edge as usize].heard else { return };
        let Some(purged) = heard.purged.get(key).copied() else { return };
        if self.wall().before(*age) < purged.before(ROUNDING) {
            let detail =
                format!("edge {edge} stores {key} in {tier:?}, {age:?} old, though purged at {purged:?}");
            self.breaks("F9", detail);
        }
    }

    /// What an edge's feed says of itself is so.
    pub(in crate::explore) fn check_heard(&mut self, edge: u32) {
        let host = &self.edges[edge as usize];
        let (Some(heard), Some(hub)) = (&host.heard, &host.hub) else { return };
        let unheard = heard.next(&self.log).filter(|entry| entry.sequence <= hub.applied());
        let lease = self.plan.config.feed_policy().map(|policy| policy.lease()).unwrap_or_default();
        let longest = heard.read_at.map(|read| read.after(lease));
        let broken = match (unheard, hub.lease_until()) {
            (Some(entry), _) => Some(format!("edge {edge} counts {entry:?} as read and has not heard of it")),
            (None, until @ Some(_)) if until > longest => {
                Some(format!("edge {edge} has a lease until {until:?}, and may have one until {longest:?}"))
            }
            (None, _) => None,
        };
        if let Some(detail) = broken {
            self.breaks("F9", detail);
        }
    }
}
