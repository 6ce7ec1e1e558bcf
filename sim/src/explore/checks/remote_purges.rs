//! The remote purges that an edge applies from the purge feed, held against the log itself (failure F9).
//!
//! Each notice of another edge is applied once, in the order of the log, but for those behind a gap that was
//! told; what counts as read was applied; and no lease lasts longer than a reading that found the end of the
//! log allows, counted from when the log was read. What purges do then is C7's.

use crate::explore::{
    world::feed_log::Log,
    world::{Life, World},
};
use std::{collections::BTreeMap, time::Duration};
use tiergate_engine::{
    CacheKey, Event, Instant, PurgeMode, ResidenceEvent, Selector, WallTime,
    feed::{AskId, FeedEntry, FeedOrigin, Notice, Sequence},
};

/// What the ways over the calendar may take from an age.
const ROUNDING: Duration = Duration::from_millis(5);

/// What one life of an edge has applied of the log.
#[derive(Debug)]
pub(in crate::explore) struct RemotePurges {
    origin: FeedOrigin,
    /// All of the log up to here was applied, is its own, or lies behind a gap.
    through: Sequence,
    /// When the log did the latest reading that was answered.
    read_at: Option<Instant>,
    /// What had been trimmed then.
    trimmed: Sequence,
    /// When it did those whose answers may be under way, in that order, and what had been trimmed by then.
    under_way: Vec<(AskId, Instant, Sequence)>,
    /// When the purges of keys that it applied were asked for.
    purged: BTreeMap<CacheKey, WallTime>,
}

impl RemotePurges {
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

    /// The next entry that it should apply.
    fn next<'l>(&self, log: &'l Log) -> Option<&'l FeedEntry<Notice>> {
        let history = log.history();
        let next = history.partition_point(|entry| entry.sequence <= self.through);
        history[next..].iter().find(|entry| entry.origin != self.origin)
    }
}

impl World {
    /// The log was read for an edge.
    pub(in crate::explore) fn on_log_read(&mut self, of: Life, id: AskId) {
        let (now, trimmed) = (self.now, self.log.trimmed_through());
        if self.life(of.edge) == of
            && let Some(remote) = &mut self.edges[of.edge as usize].remote_purges
        {
            remote.under_way.push((id, now, trimmed));
        }
    }

    /// The answer to a reading came.
    pub(in crate::explore) fn on_reading_told(&mut self, edge: u32, id: AskId) {
        if let Some(remote) = &mut self.edges[edge as usize].remote_purges
            && let Some(place) = remote.under_way.iter().rposition(|(read, ..)| *read == id)
        {
            // Those that the log did before say nothing new any more, whether their answers come late or were
            // lost.
            let answered = remote.under_way.drain(..=place).next_back();
            let (_, read, trimmed) = answered.expect("it was just found");
            (remote.read_at, remote.trimmed) = (remote.read_at.max(Some(read)), remote.trimmed.max(trimmed));
        }
    }

    /// An edge is told of a remote purge.
    pub(in crate::explore) fn on_notice(&mut self, edge: u32, notice: &Notice) {
        let Some(remote) = &mut self.edges[edge as usize].remote_purges else { return };
        match remote.next(&self.log) {
            Some(entry) if entry.notice == *notice => {
                remote.through = entry.sequence;
                if let (Selector::Key(key), PurgeMode::Hard) = (&notice.selector, notice.mode) {
                    remote.purged.insert(*key, notice.at);
                }
            }
            other => {
                let detail = format!("edge {edge} is told {notice:?}, but the next in the log is {other:?}");
                self.breaks("F9", detail);
            }
        }
    }

    /// An edge is told that it missed some.
    pub(in crate::explore) fn on_gap(&mut self, edge: u32) {
        if let Some(remote) = &mut self.edges[edge as usize].remote_purges {
            remote.through = remote.through.max(remote.trimmed);
        }
    }

    /// What was made before a remote purge that an edge has applied does not become visible there after it.
    pub(in crate::explore) fn check_after_remote_purge(&mut self, edge: u32, event: &Event) {
        let Event::Residence(ResidenceEvent::Stored { tier, key, age, .. }) = event else { return };
        let Some(remote) = &self.edges[edge as usize].remote_purges else { return };
        let Some(purged) = remote.purged.get(key).copied() else { return };
        if self.wall().before(*age) < purged.before(ROUNDING) {
            let detail =
                format!("edge {edge} stores {key} in {tier:?}, {age:?} old, though purged at {purged:?}");
            self.breaks("F9", detail);
        }
    }

    /// What an edge's feed says of itself is so.
    pub(in crate::explore) fn check_remote_purges(&mut self, edge: u32) {
        let host = &self.edges[edge as usize];
        let (Some(remote), Some(feed_client)) = (&host.remote_purges, &host.feed_client) else { return };
        let next = remote.next(&self.log).filter(|entry| entry.sequence <= feed_client.applied());
        let lease = self.plan.config.feed_policy().map(|policy| policy.lease()).unwrap_or_default();
        let longest = remote.read_at.map(|read| read.after(lease));
        let broken = match (next, feed_client.lease_until()) {
            (Some(entry), _) => Some(format!("edge {edge} counts {entry:?} as read and has not applied it")),
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
