//! The collector of orphans: blobs that nothing names.
//!
//! It takes a lease that ran out before it deletes the blob, by a swap on the entry, so that a slow upload
//! finds its lease gone instead of publishing what is deleted. What is live it leaves alone, and what it
//! cannot find out it leaves for the next sweep. What nothing names it leaves for `grace`, for those who are
//! still reading it.

use super::{Ask, BlobName, Stored, Terms, Told, Version};
use crate::{language::time::WallTime, plant::Fault};
use alloc::{collections::BTreeMap, vec::Vec};

/// Orphans whose grace is running. More wait for a later sweep: a grace costs memory, a late deletion only
/// space.
pub const SUSPECTS_MAX: usize = 65_536;

/// The collector: sweep after sweep, one blob at a time. What it remembers between sweeps may be lost: then a
/// grace begins anew.
///
/// ```text
/// Idle ──begin──▶ Listing ──page──▶ Reading ──named, leased, in grace, failed──▶ next blob
///   ▲               │ ▲                │ ╰──ran out──▶ Taking ──taken──▶╮
///   ╰──no more──────╯ ╰──page done──   ╰──orphan───────────────────▶ Deleting ──▶ next blob
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Collector {
    terms: Terms,
    /// Since when each was seen without a name.
    suspects: BTreeMap<BlobName, WallTime>,
    collected: Collected,
    state: CollectorState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CollectorState {
    /// No sweep.
    Idle,
    /// The store was asked for the blobs behind this one.
    Listing(Option<BlobName>),
    /// The index was asked for a blob's entry.
    Reading(Page),
    /// The index was asked to let go of what ran out.
    Taking(Page),
    /// The store was asked to delete a blob.
    Deleting(Page),
}

/// Blobs yet to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Page {
    /// The one that is being looked at.
    blob: BlobName,
    /// Those behind it, the next one last.
    rest: Vec<BlobName>,
}

/// How a sweep goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CollectStep {
    /// One question.
    Ask(Ask),
    /// The sweep is over.
    Ended(Collected),
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Collected {
    /// Blobs seen.
    pub seen: u64,
    /// Blobs deleted.
    pub deleted: u64,
    /// Orphans left for later: their grace runs.
    pub in_grace: u64,
    /// Blobs of which nothing could be found out, or that could not be deleted, and listings that failed.
    pub failed: u64,
}

/// What an entry means for a blob.
enum Verdict {
    /// It is named, or leased to an upload.
    Live,
    /// Its lease or its manifest ran out, in this version.
    RanOut(Version),
    /// Nothing names it, and nothing ever will.
    Orphan,
}

impl Collector {
    /// Nothing is known of any orphan.
    pub const fn new(terms: Terms) -> Self {
        let collected = Collected { seen: 0, deleted: 0, in_grace: 0, failed: 0 };
        Self { terms, suspects: BTreeMap::new(), collected, state: CollectorState::Idle }
    }

    /// Begins a sweep. The one before has ended.
    pub fn begin(&mut self) -> Ask {
        assert_eq!(self.state, CollectorState::Idle, "one sweep at a time");
        self.collected = Collected::default();
        self.state = CollectorState::Listing(None);
        Ask::List { after: None }
    }

    /// Takes the answer to the last question.
    pub fn on_told(&mut self, told: Told) -> CollectStep {
        match (core::mem::replace(&mut self.state, CollectorState::Idle), told) {
            (CollectorState::Listing(after), Told::Listed { blobs }) => self.on_listed(after, blobs),
            (CollectorState::Listing(_), Told::Unknown) => {
                self.collected.failed += 1;
                CollectStep::Ended(self.collected)
            }
            (CollectorState::Reading(page), Told::Entry { found, now }) => {
                self.on_entry(page, found.as_ref(), now)
            }
            (CollectorState::Taking(page), Told::Swapped { now }) => self.on_orphan(page, now),
            (CollectorState::Taking(page), Told::Conflict)
            | (
                CollectorState::Reading(page) | CollectorState::Taking(page) | CollectorState::Deleting(page),
                Told::Unknown,
            ) => {
                self.collected.failed += 1;
                self.next(page)
            }
            (CollectorState::Deleting(page), Told::Deleted) => {
                self.suspects.remove(&page.blob);
                self.collected.deleted += 1;
                self.next(page)
            }
            (state, told) => unreachable!("a collector that is {state:?} was told {told:?}"),
        }
    }

    fn on_listed(&mut self, after: Option<BlobName>, mut blobs: Vec<BlobName>) -> CollectStep {
        // Blobs that others deleted are suspects no more.
        let last = blobs.last().copied();
        self.suspects.retain(|blob, _| {
            Some(*blob) <= after || last.is_some_and(|last| last < *blob) || blobs.binary_search(blob).is_ok()
        });
        blobs.reverse();
        match blobs.pop() {
            Some(blob) => self.read(Page { blob, rest: blobs }),
            None => CollectStep::Ended(self.collected),
        }
    }

    fn read(&mut self, page: Page) -> CollectStep {
        self.collected.seen += 1;
        let key = page.blob.key;
        self.state = CollectorState::Reading(page);
        CollectStep::Ask(Ask::Read { key })
    }

    fn next(&mut self, Page { blob, mut rest }: Page) -> CollectStep {
        match rest.pop() {
            Some(blob) => self.read(Page { blob, rest }),
            None => {
                self.state = CollectorState::Listing(Some(blob));
                CollectStep::Ask(Ask::List { after: Some(blob) })
            }
        }
    }

    fn on_entry(&mut self, page: Page, found: Option<&Stored>, now: WallTime) -> CollectStep {
        let Some(stored) = found else {
            return self.on_orphan(page, now);
        };
        let heeds_leases = !self.terms.is_planted(Fault::X57);
        match judge(page.blob, stored, now) {
            Verdict::Live if !heeds_leases && !stored.entry.names(page.blob.name) => {
                self.on_orphan(page, now)
            }
            Verdict::Live => {
                self.suspects.remove(&page.blob);
                self.next(page)
            }
            Verdict::RanOut(version) => {
                self.state = CollectorState::Taking(page);
                CollectStep::Ask(Ask::Swap { expected: Some(version), stored: stored.swept(now) })
            }
            Verdict::Orphan => self.on_orphan(page, now),
        }
    }

    /// Deletes it, or leaves it for its grace.
    fn on_orphan(&mut self, page: Page, now: WallTime) -> CollectStep {
        let blob = page.blob;
        let is_known = self.suspects.contains_key(&blob);
        if is_known || self.suspects.len() < SUSPECTS_MAX {
            let since = *self.suspects.entry(blob).or_insert(now);
            if self.terms.grace() <= now.since(since) {
                self.state = CollectorState::Deleting(page);
                return CollectStep::Ask(Ask::Delete { blob });
            }
        }
        self.collected.in_grace += 1;
        self.next(page)
    }
}

fn judge(blob: BlobName, stored: &Stored, now: WallTime) -> Verdict {
    let Stored { entry, expires } = stored;
    let runs_until = match entry.lease(blob.name) {
        Some(lease) => lease.until,
        None if entry.names(blob.name) => *expires,
        None => return Verdict::Orphan,
    };
    if now < runs_until { Verdict::Live } else { Verdict::RanOut(entry.version) }
}

#[cfg(test)]
mod tests;
