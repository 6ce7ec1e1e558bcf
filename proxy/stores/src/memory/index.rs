//! Rows and the purge feed in memory.

use super::locked;
use crate::{FeedBounds, WallClock};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex},
};
use tiergate_driver::{FeedPage, FoundRow, IndexStore, PurgeFeed, Row, StoreError, Written};
use tiergate_engine::{
    CacheKey, WallTime,
    durable::Version,
    feed::{FeedEntry, FeedOrigin, Notice, Sequence, Ticket, Trimmed},
};

/// Entries of one page: few, so that who reads meets more than one.
const PAGE_ENTRIES_MAX: usize = 16;

/// An index and a feed in memory. Cloning shares them.
#[derive(Clone)]
pub struct MemoryIndex(Arc<Inner>);

struct Inner {
    clock: Arc<dyn WallClock>,
    bounds: FeedBounds,
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    /// What was told last: the clock that is handed in may be set back.
    now: WallTime,
    rows: BTreeMap<CacheKey, Row>,
    /// When each row may go.
    droppable: BTreeSet<(WallTime, CacheKey)>,
    feed: FeedLog,
}

#[derive(Default)]
struct FeedLog {
    /// With the time of each append.
    entries: VecDeque<(WallTime, FeedEntry<Notice>)>,
    known: BTreeMap<(FeedOrigin, Ticket), Sequence>,
    trimmed: Option<Trimmed>,
    newest: u64,
}

impl fmt::Debug for MemoryIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryIndex").finish_non_exhaustive()
    }
}

impl MemoryIndex {
    /// An index without a row, and a feed without an entry.
    pub fn new(clock: impl WallClock, bounds: FeedBounds) -> Self {
        Self(Arc::new(Inner { clock: Arc::new(clock), bounds, contents: Mutex::default() }))
    }

    /// One visit at the time it is.
    fn visit<T>(&self, work: impl FnOnce(&mut Contents, WallTime) -> T) -> T {
        let mut contents = locked(&self.0.contents);
        contents.now = contents.now.max(self.0.clock.now());
        let now = contents.now;
        work(&mut contents, now)
    }

    fn swap(&self, key: CacheKey, expected: Option<Version>, row: Row) -> Written {
        self.visit(|contents, now| {
            if contents.rows.get(&key).map(|row| row.version) != expected {
                return Written::Refused;
            }
            contents.put(key, row);
            contents.sweep(now);
            Written::Done { now }
        })
    }
}

impl Contents {
    fn put(&mut self, key: CacheKey, row: Row) {
        self.droppable.insert((row.droppable, key));
        let before = self.rows.insert(key, row);
        if let Some(before) = before.filter(|before| before.droppable != self.rows[&key].droppable) {
            self.droppable.remove(&(before.droppable, key));
        }
    }

    fn sweep(&mut self, now: WallTime) {
        while let Some((droppable, key)) = self.droppable.first().copied()
            && droppable <= now
        {
            self.droppable.remove(&(droppable, key));
            self.rows.remove(&key);
        }
    }
}

impl FeedLog {
    fn append(&mut self, now: WallTime, origin: FeedOrigin, ticket: Ticket, notice: Notice) -> Sequence {
        if let Some(sequence) = self.known.get(&(origin, ticket)) {
            return *sequence;
        }
        self.newest += 1;
        let sequence = Sequence(self.newest);
        self.known.insert((origin, ticket), sequence);
        self.entries.push_back((now, FeedEntry { sequence, origin, ticket, notice }));
        sequence
    }

    fn trim(&mut self, now: WallTime, bounds: FeedBounds) {
        while let Some((appended, _)) = self.entries.front()
            && bounds.is_over(self.entries.len() as u64, *appended, now)
            && let Some((_, FeedEntry { sequence, origin, ticket, notice })) = self.entries.pop_front()
        {
            self.known.remove(&(origin, ticket));
            let at = self.trimmed.map_or(notice.at, |trimmed| trimmed.at.max(notice.at));
            self.trimmed = Some(Trimmed { through: sequence, at });
        }
    }

    fn page(&self, after: Sequence) -> FeedPage {
        let behind = self.entries.iter().filter(|(_, entry)| entry.sequence > after);
        let entries = behind.map(|(_, entry)| entry.clone()).take(PAGE_ENTRIES_MAX).collect();
        FeedPage { trimmed: self.trimmed, entries, newest: Sequence(self.newest) }
    }
}

impl IndexStore for MemoryIndex {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        Ok(self.visit(|contents, now| FoundRow { row: contents.rows.get(&key).cloned(), now }))
    }

    async fn put_new(&self, key: CacheKey, row: Row) -> Result<Written, StoreError> {
        Ok(self.swap(key, None, row))
    }

    async fn cas_update(&self, key: CacheKey, expected: Version, row: Row) -> Result<Written, StoreError> {
        Ok(self.swap(key, Some(expected), row))
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        self.visit(|contents, now| {
            let row = contents.rows.get(&key).filter(|row| row.version == version).cloned();
            if let Some(row) = row {
                let (expires, droppable) = (row.expires.max(expires), row.droppable.max(droppable));
                contents.put(key, Row { expires, droppable, ..row });
            }
            contents.sweep(now);
        });
        Ok(())
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        self.visit(|contents, now| {
            let row = contents.rows.get(&key).filter(|row| row.version == version && row.droppable <= now);
            if let Some(droppable) = row.map(|row| row.droppable) {
                contents.droppable.remove(&(droppable, key));
                contents.rows.remove(&key);
            }
        });
        Ok(())
    }
}

impl PurgeFeed for MemoryIndex {
    async fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, StoreError> {
        let bounds = self.0.bounds;
        Ok(self.visit(|contents, now| {
            let sequence = contents.feed.append(now, origin, ticket, notice);
            contents.feed.trim(now, bounds);
            sequence
        }))
    }

    async fn read(&self, after: Sequence) -> Result<FeedPage, StoreError> {
        Ok(self.visit(|contents, _| contents.feed.page(after)))
    }
}
