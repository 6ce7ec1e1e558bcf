//! Asking the durable tier for a response.
//!
//! The index decides: a manifest whose time is up is a miss, and one that has its body itself a hit. One
//! whose blob is not there as it says is a miss, which is repaired on the way (failure R1). Whether a
//! response is still fresh is not judged here; its bytes are checked by who reads them. A lookup deletes no
//! blob.

use super::{Ask, Manifest, Stored, Terms, Told};
use crate::language::{key::CacheKey, record::Record, time::WallTime};
use alloc::sync::Arc;
use core::time::Duration;

/// One lookup under way.
///
/// ```text
/// Reading ──manifest, not expired──▶ Opening ──its length──▶ hit
///    ├──manifest with its body────────────────────────────────▲
///    ╰──absent, expired, failed──▶ miss ◀──gone, other length, failed──╯
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lookup {
    key: CacheKey,
    state: LookupState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LookupState {
    /// The index was asked for the entry.
    Reading,
    /// The store was asked for the blob that the manifest names.
    Opening { seen: Seen, manifest: Manifest },
}

/// What a lookup saw: from here a later [`Publish`](super::Publish) goes on. Take it before the fetch begins,
/// not after: it is what tells an upload that a purge came in between (failure F1).
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    pub key: CacheKey,
    /// The entry, if there was one.
    pub stored: Option<Stored>,
    /// The index's clock when it answered.
    pub now: WallTime,
}

impl Seen {
    /// To take back the manifest that was seen, because its blob is not what it says. The rest of the entry
    /// stays: it knows of purges and leases.
    pub fn repair(&self) -> Option<Ask> {
        let before = self.stored.as_ref()?;
        Some(Ask::Swap { expected: Some(before.entry.version), stored: before.emptied(self.now) })
    }

    /// To give the manifest that was seen, `elapsed` ago, the head that a 304 has made of its own. It counts
    /// as an access. Whoever changed the entry since, in whatever way, knows better.
    pub fn freshen(&self, record: Arc<Record>, elapsed: Duration, terms: &Terms) -> Option<Ask> {
        let before = self.stored.as_ref()?;
        let manifest = before.entry.manifest.as_ref()?;
        let now = self.now.after(elapsed);
        let expires = wanted(manifest, now, terms).max(before.expires);
        let stored = before.freshened(record, now, expires)?;
        Some(Ask::Swap { expected: Some(before.entry.version), stored })
    }
}

/// How a lookup goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LookupStep {
    /// One more question.
    Ask(Ask),
    /// It is over.
    Done(Looked),
}

/// What came of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Looked {
    /// Hit or miss.
    pub outcome: LookedFor,
    /// What a fill may go on from. Absent when the index failed: then nothing is stored here.
    pub seen: Option<Seen>,
    /// To be asked besides, whatever comes of it: a touch after a hit, a repair after a lost blob.
    pub besides: Option<Ask>,
}

/// Hit or miss.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LookedFor {
    /// The blob is open and as long as the manifest says; or the body is in the row, and nothing is open.
    Hit(Manifest),
    /// There is nothing to read.
    Miss(DurableMiss),
}

/// Why the durable tier does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DurableMiss {
    /// The index names nothing.
    Absent,
    /// The index's time for it is up (D3). It can be replaced.
    Expired,
    /// The blob that the manifest names does not exist.
    Lost,
    /// The blob has another length than the manifest says.
    Torn,
    /// The index did not answer.
    IndexFailed,
    /// The blob store did not answer.
    BlobFailed,
    /// The blob store has failed too often of late to be asked.
    BlobSkipped,
}

impl Lookup {
    /// Begins.
    pub const fn begin(key: CacheKey) -> (Self, Ask) {
        (Self { key, state: LookupState::Reading }, Ask::Read { key })
    }

    /// Takes the answer to the last question.
    pub fn on_told(&mut self, told: Told, terms: &Terms) -> LookupStep {
        match (core::mem::replace(&mut self.state, LookupState::Reading), told) {
            (LookupState::Reading, Told::Entry { found, now }) => self.on_entry(found, now, terms),
            (LookupState::Reading, Told::Unknown) => miss(DurableMiss::IndexFailed, None, None),
            (LookupState::Opening { seen, manifest }, Told::Opened { length })
                if length == manifest.record.length =>
            {
                hit(seen, manifest, terms)
            }
            (LookupState::Opening { seen, .. }, Told::Opened { .. }) => lost(DurableMiss::Torn, seen),
            (LookupState::Opening { seen, .. }, Told::NoBlob) => lost(DurableMiss::Lost, seen),
            (LookupState::Opening { seen, .. }, Told::Unknown) => {
                miss(DurableMiss::BlobFailed, Some(seen), None)
            }
            (state, told) => unreachable!("a lookup that is {state:?} was told {told:?}"),
        }
    }

    /// The blob store is not asked what was to be asked of it: the lookup is over.
    pub fn on_blob_skipped(self) -> Looked {
        let LookupState::Opening { seen, .. } = self.state else {
            unreachable!("no blob was to be opened: {:?}", self.state)
        };
        Looked { outcome: LookedFor::Miss(DurableMiss::BlobSkipped), seen: Some(seen), besides: None }
    }

    fn on_entry(&mut self, found: Option<Stored>, now: WallTime, terms: &Terms) -> LookupStep {
        let seen = Seen { key: self.key, stored: found, now };
        let Some(Stored { entry, expires }) = &seen.stored else {
            return miss(DurableMiss::Absent, Some(seen), None);
        };
        assert_eq!(entry.key, self.key, "the index answered for another key");
        match entry.manifest.clone() {
            None => miss(DurableMiss::Absent, Some(seen), None),
            Some(_) if *expires <= now => miss(DurableMiss::Expired, Some(seen), None),
            Some(manifest) => match manifest.blob() {
                None => hit(seen, manifest, terms),
                Some(blob) => {
                    self.state = LookupState::Opening { seen, manifest };
                    LookupStep::Ask(Ask::Open { blob })
                }
            },
        }
    }
}

fn hit(seen: Seen, manifest: Manifest, terms: &Terms) -> LookupStep {
    let besides = touch(&seen, &manifest, terms);
    LookupStep::Done(Looked { outcome: LookedFor::Hit(manifest), seen: Some(seen), besides })
}

fn miss(reason: DurableMiss, seen: Option<Seen>, besides: Option<Ask>) -> LookupStep {
    LookupStep::Done(Looked { outcome: LookedFor::Miss(reason), seen, besides })
}

/// A miss whose manifest goes, if it is still the same one.
fn lost(reason: DurableMiss, seen: Seen) -> LookupStep {
    let repair = seen.repair();
    miss(reason, Some(seen), repair)
}

/// Moves the expiry by `idle`, but not past `total`, and not for a gain so small that every hit would write.
fn touch(seen: &Seen, manifest: &Manifest, terms: &Terms) -> Option<Ask> {
    let Stored { entry, expires } = seen.stored.as_ref().expect("a hit has an entry");
    let wanted = wanted(manifest, seen.now, terms);
    let gained = wanted.since(*expires);
    let is_worth_it = wanted > *expires && gained >= terms.idle() / 8;
    is_worth_it.then_some(Ask::Touch { key: seen.key, version: entry.version, expires: wanted })
}

/// Until when an access at `now` lets a manifest stay.
fn wanted(manifest: &Manifest, now: WallTime, terms: &Terms) -> WallTime {
    now.after(terms.idle()).min(manifest.stored_at.after(terms.total()))
}

#[cfg(test)]
mod tests;
