//! The byte layout of a stored [`Record`], the same in every tier that outlives this process; that of bans is
//! in `bans`.
//!
//! [`encode`] and [`decode`] do no I/O and know of no body: where that lies is the tier's business. Whatever
//! bytes come in, `decode` answers with a record that [`encode`] could have written or says what is wrong; it
//! never panics, and it allocates no more than the input holds.
//!
//! ```text
//! offset  size  field                          all numbers little endian
//!      0     4  magic "TGRC"
//!      4     2  version, now 2
//!      6    16  key
//!     22    16  target: what was asked for; the key again, unless this is a variant
//!     38    16  name
//!     54     8  length of the body, bytes
//!     62     8  as_of, milliseconds since 1970
//!     70    12  age_then: seconds (8), nanoseconds (4)
//!     82    12  lifetime: seconds (8), nanoseconds (4)
//!     94     2  status
//!     96     4  number of field lines
//!    100     …  per line: name length (4), name, value length (4), value
//!   last     8  the first 8 bytes of BLAKE3 over all before
//! ```

mod bans;

pub use bans::{BanError, BanField, BanLog, LogEnding, decode_ban, decode_bans, encode_ban};

use crate::language::{
    head::{Fields, Head},
    id::RecordName,
    key::CacheKey,
    record::{Record, StoredFreshness},
    time::WallTime,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

/// What an encoded record begins with.
const MAGIC: [u8; 4] = *b"TGRC";
/// Raised with every change of the layout: an older or newer record is refused, which makes it a miss.
const VERSION: u16 = 2;
/// The bytes of the checksum.
pub(crate) const CHECKSUM: usize = 8;
/// The shortest record: one without field lines.
const SHORTEST: usize = 100 + CHECKSUM;
/// Nanoseconds in a second; a duration's nanoseconds lie below.
const NANOS: u32 = 1_000_000_000;

/// Why bytes are no record. The reader treats what they were to describe as absent.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// They end before the record does.
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// They begin otherwise than records do.
    Magic,
    /// They are of a version that this build does not read.
    Version { found: u16 },
    /// They are not what was written.
    Checksum,
    /// A field has a value that no record has.
    Field { field: RecordField },
    /// They go on after the record's end.
    TooLong {
        /// How many bytes too many.
        surplus: usize,
    },
}

/// A field of a stored record that can hold more than is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordField {
    /// `age_then`: its nanoseconds are a second or more.
    AgeThen,
    /// `lifetime`: its nanoseconds are a second or more.
    Lifetime,
    /// A field line's length, or their number, is more than the bytes that are left.
    LineLength,
    /// A field line's name is not lower-case UTF-8.
    LineName,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bytes } => write!(f, "{bytes} bytes are too few for a record"),
            Self::Magic => write!(f, "it does not begin like a record"),
            Self::Version { found } => {
                write!(f, "it has version {found} and this build reads {VERSION}")
            }
            Self::Checksum => write!(f, "its checksum is wrong"),
            Self::Field { field } => write!(f, "its field {field:?} has an impossible value"),
            Self::TooLong { surplus } => write!(f, "{surplus} bytes follow its end"),
        }
    }
}

impl core::error::Error for RecordError {}

/// The record as bytes.
pub fn encode(record: &Record) -> Vec<u8> {
    let lines = record.head.fields.iter().count();
    let mut bytes = Vec::with_capacity(encoded_length(record));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&record.key.0.to_le_bytes());
    bytes.extend_from_slice(&record.target.0.to_le_bytes());
    bytes.extend_from_slice(&record.name.0.to_le_bytes());
    bytes.extend_from_slice(&record.length.0.to_le_bytes());
    bytes.extend_from_slice(&record.freshness.as_of.as_unix_millis().to_le_bytes());
    for span in [record.freshness.age_then, record.freshness.lifetime] {
        bytes.extend_from_slice(&span.as_secs().to_le_bytes());
        bytes.extend_from_slice(&span.subsec_nanos().to_le_bytes());
    }
    bytes.extend_from_slice(&record.head.status.to_le_bytes());
    bytes.extend_from_slice(&count(lines));
    for (name, value) in record.head.fields.iter() {
        for part in [name.as_bytes(), value] {
            bytes.extend_from_slice(&count(part.len()));
            bytes.extend_from_slice(part);
        }
    }
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// How many bytes [`encode`] makes of a record.
pub fn encoded_length(record: &Record) -> usize {
    let lengths = record.head.fields.iter().map(|(name, value)| COUNT + name.len() + COUNT + value.len());
    SHORTEST + lengths.sum::<usize>()
}

/// Bytes of a count as it is written.
const COUNT: usize = size_of::<u32>();

/// A count as it is written.
fn count(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("a front bounds heads to far less than 4 GiB").to_le_bytes()
}

/// The record that `bytes` are, all of them.
///
/// # Errors
/// They are not what [`encode`] makes of any record.
pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    // Magic and version come first: what another version checks, and where, is not ours to say.
    let mut cursor = Cursor { total: bytes.len(), rest: bytes };
    if cursor.take::<4>()? != MAGIC {
        return Err(RecordError::Magic);
    }
    let version = u16::from_le_bytes(cursor.take()?);
    if version != VERSION {
        return Err(RecordError::Version { found: version });
    }
    if bytes.len() < SHORTEST {
        return Err(RecordError::TooShort { bytes: bytes.len() });
    }
    let (content, written) = bytes.split_at(bytes.len() - CHECKSUM);
    if checksum(content) != *written {
        return Err(RecordError::Checksum);
    }
    cursor.rest = &cursor.rest[..cursor.rest.len() - CHECKSUM];
    let key = CacheKey(u128::from_le_bytes(cursor.take()?));
    let target = CacheKey(u128::from_le_bytes(cursor.take()?));
    let name = RecordName(u128::from_le_bytes(cursor.take()?));
    let length = ByteCount(u64::from_le_bytes(cursor.take()?));
    let as_of = WallTime::from_unix_millis(u64::from_le_bytes(cursor.take()?));
    let age_then = cursor.span(RecordField::AgeThen)?;
    let lifetime = cursor.span(RecordField::Lifetime)?;
    let status = u16::from_le_bytes(cursor.take()?);
    let lines = u32::from_le_bytes(cursor.take()?);
    // However many there are said to be: each takes two counts.
    let lines_max = cursor.rest.len() / (2 * COUNT);
    let mut fields = Fields::with_capacity(lines_max.min(lines as usize));
    for _ in 0..lines {
        let name = core::str::from_utf8(cursor.part()?)
            .ok()
            .filter(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase()))
            .ok_or(RecordError::Field { field: RecordField::LineName })?;
        let value = cursor.part()?;
        fields.push(name, value);
    }
    if !cursor.rest.is_empty() {
        return Err(RecordError::TooLong { surplus: cursor.rest.len() });
    }
    Ok(Record {
        key,
        target,
        name,
        head: Arc::new(Head { status, fields }),
        length,
        freshness: StoredFreshness { as_of, age_then, lifetime },
    })
}

/// What stands behind whatever we store: wrong for all but the bytes that were written.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = blake3::hash(bytes);
    *digest.as_bytes().first_chunk().expect("a digest has 32 bytes, of which 8 are taken")
}

/// What is left to read.
pub(crate) struct Cursor<'b> {
    pub(crate) total: usize,
    pub(crate) rest: &'b [u8],
}

impl<'b> Cursor<'b> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) =
            self.rest.split_first_chunk().ok_or(RecordError::TooShort { bytes: self.total })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A duration. `Duration::new` would panic on nanoseconds that carry over.
    fn span(&mut self, field: RecordField) -> Result<Duration, RecordError> {
        let seconds = u64::from_le_bytes(self.take()?);
        let nanos = u32::from_le_bytes(self.take()?);
        if nanos >= NANOS {
            return Err(RecordError::Field { field });
        }
        Ok(Duration::new(seconds, nanos))
    }

    /// Bytes with their length before them.
    fn part(&mut self) -> Result<&'b [u8], RecordError> {
        let wrong = RecordError::Field { field: RecordField::LineLength };
        let length = self.take().map_err(|_| wrong)?;
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| wrong)?;
        let (part, rest) = self.rest.split_at_checked(length).ok_or(wrong)?;
        self.rest = rest;
        Ok(part)
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
