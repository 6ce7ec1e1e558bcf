//! What the index holds for one key, and its byte layout.
//!
//! Here are all the changes that an [`Entry`] can undergo, each a pure function to the next one; which of
//! them to ask the index for is the machines' business. The layout builds on the record's: see
//! [`crate::format`].
//!
//! ```text
//! offset  size  field                          all numbers little endian
//!      0     4  magic "TGIE"
//!      4     2  layout, now 2
//!      6    16  key
//!     22     8  version
//!     30     8  generation
//!     38     1  number of leases, at most 8
//!     39     …  per lease: name (16), until, milliseconds since 1970 (8)
//!      …     1  0: no manifest follows; 1: one does, whose body is a blob; 2: one does, and then its body
//!      …     8  the manifest's version
//!      …     8  stored_at, milliseconds since 1970
//!      …    16  digest of the body
//!      …     …  with mark 2: length of the body (4), the body
//!      …     …  the record, as format.rs writes it
//!   last     8  the first 8 bytes of BLAKE3 over all before
//! ```

use super::{BlobName, Completed};
use crate::{
    format::{self, CHECKSUM, Cursor, RecordError, checksum},
    language::{id::RecordName, key::CacheKey, record::Record, time::WallTime},
};
use alloc::{sync::Arc, vec::Vec};
use bytes::Bytes;
use core::fmt;

/// What an encoded entry begins with.
const MAGIC: [u8; 4] = *b"TGIE";
/// Raised with every change of the layout.
const LAYOUT: u16 = 2;
/// The shortest entry: no lease, no manifest.
const SHORTEST: usize = 40 + CHECKSUM;

/// Uploads of one key at a time, over all edges that share the index. Collapse leaves one per edge; more than
/// a few edges that store the same object at once only cost the loser's traffic.
pub const UPLOADS_MAX: usize = 8;

/// Raised with every change of an entry, and what a swap compares. Never used twice for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version after `before`. The index's clock counts too, so that a key whose entry expired and was
    /// dropped does not begin anew with versions that somebody still remembers.
    fn next(before: Option<Self>, now: WallTime) -> Self {
        let after = before.map_or(0, |version| version.0.saturating_add(1));
        Self(after.max(now.as_unix_millis()))
    }
}

/// Raised by every purge of a key. Zero for a key that was never purged, or so long ago that no fetch from
/// before is still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// A digest of a body, made by whoever uploads it: compared, never computed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyDigest(pub u128);

/// The permission to upload a blob and to publish it later. While an entry holds it, nobody else deletes the
/// blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The blob's name.
    pub name: RecordName,
    /// From when on the collector may take it, by the index's clock.
    pub until: WallTime,
}

/// The durable record of one stored response. It makes its blob real, which is the one of the record's name;
/// or it has the body itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Manifest {
    /// The response without its body.
    pub record: Arc<Record>,
    /// The version of the entry that it was published with.
    pub version: Version,
    /// When it was published, by the index's clock.
    pub stored_at: WallTime,
    /// The body's digest.
    pub digest: BodyDigest,
    /// All of the body, as [`Chunk::to_row`](crate::Chunk::to_row) writes it, where there is no blob.
    pub in_row: Option<Bytes>,
}

impl Manifest {
    /// The blob that holds the body, unless it is in the row.
    pub fn blob(&self) -> Option<BlobName> {
        self.in_row.is_none().then_some(BlobName { key: self.record.key, name: self.record.name })
    }
}

/// All that the index holds for one key.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub key: CacheKey,
    /// Which of all that there were.
    pub version: Version,
    /// How often the key was purged.
    pub generation: Generation,
    /// Uploads under way, oldest first.
    pub leases: Vec<Lease>,
    /// What is stored, if anything is.
    pub manifest: Option<Manifest>,
}

impl Entry {
    /// The lease of that name.
    pub fn lease(&self, name: RecordName) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.name == name)
    }

    /// Does the manifest name this blob?
    pub fn names(&self, name: RecordName) -> bool {
        let blob = self.manifest.as_ref().and_then(Manifest::blob);
        blob.is_some_and(|blob| blob.name == name)
    }

    /// The entry after `before`: the same but for its version, and without what ran out.
    fn after(before: Option<&Stored>, key: CacheKey, now: WallTime) -> Self {
        let Some(Stored { entry, expires }) = before else {
            let version = Version::next(None, now);
            return Self {
                key,
                version,
                generation: Generation::default(),
                leases: Vec::new(),
                manifest: None,
            };
        };
        let mut next = Self::clone(entry);
        next.version = Version::next(Some(entry.version), now);
        next.leases.retain(|lease| now < lease.until);
        if *expires <= now {
            next.manifest = None;
        }
        next
    }

    /// With its expiry, when it holds nothing new: a manifest keeps the time that it had (D3), and an entry
    /// without one stays for its leases, and for what it remembers of a purge.
    fn kept(self, before: Option<&Stored>) -> Stored {
        let expires = before.map(|stored| stored.expires);
        let leased = self.leases.iter().map(|lease| lease.until).filter(|_| self.manifest.is_none());
        let expires = leased.chain(expires).max().unwrap_or_default();
        Stored { entry: Arc::new(self), expires }
    }
}

/// An entry with the time from which on the index counts it as gone.
///
/// That time is no part of the entry: a touch moves it and raises no version, so that readers never make a
/// writer's swap fail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// The entry.
    pub entry: Arc<Entry>,
    /// From then on readers count what it names as absent. The index keeps it for
    /// [`Terms::droppable_at`](super::Terms::droppable_at), at least.
    pub expires: WallTime,
}

impl Stored {
    /// With a lease more, or with the one of that name prolonged. `None` when there are too many.
    pub(super) fn leased(before: Option<&Self>, key: CacheKey, lease: Lease, now: WallTime) -> Option<Self> {
        let mut next = Entry::after(before, key, now);
        next.leases.retain(|other| other.name != lease.name);
        next.leases.push(lease);
        (next.leases.len() <= UPLOADS_MAX).then(|| next.kept(before))
    }

    /// With what is whole published until `expires`, in place of its lease, if its body is a blob, and of
    /// what was published before.
    pub(super) fn published(
        before: Option<&Self>,
        Completed { record, digest, in_row }: Completed,
        now: WallTime,
        expires: WallTime,
    ) -> Self {
        let is_leased = before.is_some_and(|stored| stored.entry.lease(record.name).is_some());
        assert!(is_leased != in_row.is_some(), "a blob is leased before it is published: {before:?}");
        let mut next = Entry::after(before, record.key, now);
        next.leases.retain(|lease| lease.name != record.name);
        next.manifest = Some(Manifest { record, version: next.version, stored_at: now, digest, in_row });
        Self { entry: Arc::new(next), expires }
    }

    /// With another head beside the same blob, until `expires`. `None` when its time is up, or nothing is
    /// published.
    pub(super) fn freshened(&self, record: Arc<Record>, now: WallTime, expires: WallTime) -> Option<Self> {
        let mut next = Entry::after(Some(self), self.entry.key, now);
        let manifest = next.manifest.as_mut()?;
        let blob = |record: &Record| (record.name, record.length);
        assert_eq!(blob(&manifest.record), blob(&record), "the blob stays");
        manifest.record = record;
        Some(Self { entry: Arc::new(next), expires })
    }

    /// Without the lease of that name, whose blob is gone.
    pub(super) fn unleased(&self, name: RecordName, now: WallTime) -> Self {
        let mut next = Entry::after(Some(self), self.entry.key, now);
        next.leases.retain(|lease| lease.name != name);
        next.kept(Some(self))
    }

    /// Purged: nothing stored, nothing leased, a generation more, to be remembered until `expires`.
    pub(super) fn purged(before: Option<&Self>, key: CacheKey, now: WallTime, expires: WallTime) -> Self {
        let mut next = Entry::after(before, key, now);
        next.generation.0 = next.generation.0.saturating_add(1);
        next.leases.clear();
        next.manifest = None;
        Self { entry: Arc::new(next), expires }
    }

    /// Without the manifest: its blob is lost.
    pub(super) fn emptied(&self, now: WallTime) -> Self {
        let mut next = Entry::after(Some(self), self.entry.key, now);
        next.manifest = None;
        next.kept(Some(self))
    }

    /// Without what ran out: leases, and the manifest.
    pub(super) fn swept(&self, now: WallTime) -> Self {
        Entry::after(Some(self), self.entry.key, now).kept(Some(self))
    }
}

/// Why bytes are no entry. The reader counts it as an index that failed: an entry of a newer build is not
/// overwritten.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// They end before the entry does.
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// They begin otherwise than entries do.
    Magic,
    /// They are of a layout that this build does not read.
    Layout { found: u16 },
    /// They are not what was written.
    Checksum,
    /// More leases than an entry has.
    Leases {
        /// How many; [`UPLOADS_MAX`] is the bound.
        found: u8,
    },
    /// The mark for a manifest is none of 0, 1 and 2.
    Mark {
        /// What it is.
        found: u8,
    },
    /// The manifest's record is none.
    Record(RecordError),
    /// The manifest's record is of another key (failure T13).
    Key,
    /// They go on after the entry's end.
    TooLong {
        /// How many bytes too many.
        surplus: usize,
    },
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bytes } => write!(f, "{bytes} bytes are too few for an index entry"),
            Self::Magic => write!(f, "it does not begin like an index entry"),
            Self::Layout { found } => write!(f, "it has layout {found} and this build reads {LAYOUT}"),
            Self::Checksum => write!(f, "its checksum is wrong"),
            Self::Leases { found } => write!(f, "it has {found} leases and at most {UPLOADS_MAX} can be"),
            Self::Mark { found } => write!(f, "its mark for a manifest is {found}, none of 0, 1 and 2"),
            Self::Record(error) => write!(f, "its record cannot be read: {error}"),
            Self::Key => write!(f, "its record is of another key"),
            Self::TooLong { surplus } => write!(f, "{surplus} bytes follow its end"),
        }
    }
}

impl core::error::Error for EntryError {}

/// The entry as bytes.
pub fn encode(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&LAYOUT.to_le_bytes());
    bytes.extend_from_slice(&entry.key.0.to_le_bytes());
    bytes.extend_from_slice(&entry.version.0.to_le_bytes());
    bytes.extend_from_slice(&entry.generation.0.to_le_bytes());
    bytes.push(u8::try_from(entry.leases.len()).expect("no change of an entry makes more than UPLOADS_MAX"));
    for lease in &entry.leases {
        bytes.extend_from_slice(&lease.name.0.to_le_bytes());
        bytes.extend_from_slice(&lease.until.as_unix_millis().to_le_bytes());
    }
    bytes.push(match &entry.manifest {
        None => 0,
        Some(Manifest { in_row: None, .. }) => 1,
        Some(Manifest { in_row: Some(_), .. }) => 2,
    });
    if let Some(manifest) = &entry.manifest {
        bytes.extend_from_slice(&manifest.version.0.to_le_bytes());
        bytes.extend_from_slice(&manifest.stored_at.as_unix_millis().to_le_bytes());
        bytes.extend_from_slice(&manifest.digest.0.to_le_bytes());
        if let Some(body) = &manifest.in_row {
            let length = u32::try_from(body.len()).expect("what is kept in a row is bounded far below that");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(body);
        }
        bytes.extend_from_slice(&format::encode(&manifest.record));
    }
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The entry that `bytes` are, all of them.
///
/// # Errors
/// They are not what [`encode`] makes of any entry.
pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
    let mut cursor = Cursor { total: bytes.len(), rest: bytes };
    if take::<4>(&mut cursor)? != MAGIC {
        return Err(EntryError::Magic);
    }
    let layout = u16::from_le_bytes(take(&mut cursor)?);
    if layout != LAYOUT {
        return Err(EntryError::Layout { found: layout });
    }
    if bytes.len() < SHORTEST {
        return Err(EntryError::TooShort { bytes: bytes.len() });
    }
    let (content, written) = bytes.split_at(bytes.len() - CHECKSUM);
    if checksum(content) != *written {
        return Err(EntryError::Checksum);
    }
    cursor.rest = &cursor.rest[..cursor.rest.len() - CHECKSUM];
    let key = CacheKey(u128::from_le_bytes(take(&mut cursor)?));
    let version = Version(u64::from_le_bytes(take(&mut cursor)?));
    let generation = Generation(u64::from_le_bytes(take(&mut cursor)?));
    let leases = leases(&mut cursor)?;
    let manifest = match take(&mut cursor)? {
        [0] if cursor.rest.is_empty() => None,
        [0] => return Err(EntryError::TooLong { surplus: cursor.rest.len() }),
        [mark @ (1 | 2)] => Some(manifest(key, mark == 2, &mut cursor)?),
        [found] => return Err(EntryError::Mark { found }),
    };
    Ok(Entry { key, version, generation, leases, manifest })
}

fn take<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u8; N], EntryError> {
    cursor.take().map_err(|_| EntryError::TooShort { bytes: cursor.total })
}

fn leases(cursor: &mut Cursor<'_>) -> Result<Vec<Lease>, EntryError> {
    let [found] = take(cursor)?;
    if usize::from(found) > UPLOADS_MAX {
        return Err(EntryError::Leases { found });
    }
    let mut leases = Vec::with_capacity(usize::from(found));
    for _ in 0..found {
        leases.push(Lease {
            name: RecordName(u128::from_le_bytes(take(cursor)?)),
            until: WallTime::from_unix_millis(u64::from_le_bytes(take(cursor)?)),
        });
    }
    Ok(leases)
}

fn manifest(key: CacheKey, is_in_row: bool, cursor: &mut Cursor<'_>) -> Result<Manifest, EntryError> {
    let version = Version(u64::from_le_bytes(take(cursor)?));
    let stored_at = WallTime::from_unix_millis(u64::from_le_bytes(take(cursor)?));
    let digest = BodyDigest(u128::from_le_bytes(take(cursor)?));
    let in_row = if is_in_row { Some(body(cursor)?) } else { None };
    let record = format::decode(cursor.rest).map_err(EntryError::Record)?;
    if record.key != key {
        return Err(EntryError::Key);
    }
    Ok(Manifest { record: Arc::new(record), version, stored_at, digest, in_row })
}

fn body(cursor: &mut Cursor<'_>) -> Result<Bytes, EntryError> {
    let length = u32::from_le_bytes(take(cursor)?);
    let split = usize::try_from(length).ok().and_then(|length| cursor.rest.split_at_checked(length));
    let (body, rest) = split.ok_or(EntryError::TooShort { bytes: cursor.total })?;
    cursor.rest = rest;
    Ok(Bytes::copy_from_slice(body))
}

#[cfg(test)]
mod tests;
