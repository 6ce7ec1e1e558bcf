//! The byte layout of a log of bans: one after the other, oldest first, each whole in itself.
//!
//! ```text
//! offset  size  field                          all numbers little endian
//!      0     4  magic "TGBN"
//!      4     2  version, now 1
//!      6     4  bytes of this ban, from its magic to its checksum
//!     10     8  at, milliseconds since 1970
//!     18     1  mode: 0 hard, 1 soft
//!     19     1  what is covered: 0 a key, 1 a tag, 2 a prefix, 3 everything
//!     20     …  the key (16); or the tag; or the authority's length (2), authority, path
//!   last     8  the first 8 bytes of BLAKE3 over all before
//! ```
//!
//! Magic, size and checksum stand where they stand in every version, so that a whole ban of another version
//! is not taken for a torn one: what it purged would be served again.

use super::{CHECKSUM, checksum};
use crate::{
    language::{
        key::CacheKey,
        selector::{Prefix, PurgeMode, Selector, Tag},
        time::WallTime,
    },
    parts::bans::Ban,
};
use alloc::vec::Vec;
use core::fmt;

/// What an encoded ban begins with.
const MAGIC: [u8; 4] = *b"TGBN";
/// Raised with every change of the layout.
const VERSION: u16 = 1;
/// The bytes before `at`.
const PREAMBLE: usize = 10;

/// Why bytes do not begin with a ban.
#[expect(missing_docs, reason = "a field without a line is what its name and type say")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanError {
    /// They end before the ban does.
    TooShort,
    /// They begin otherwise than bans do.
    Magic,
    /// Their size is less than that of any ban.
    Size,
    /// They are not what was written.
    Checksum,
    /// They are a whole ban of a version that this build does not read. Start the build that wrote it.
    Version { found: u16 },
    /// A field of a whole ban has a value that no ban has.
    Field { field: BanField },
}

/// A field of a stored ban that can hold more than is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanField {
    /// Neither hard nor soft.
    Mode,
    /// No kind of selector.
    Kind,
    /// What no selector of its kind has.
    Selector,
}

impl fmt::Display for BanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("it ends before a ban does"),
            Self::Magic => f.write_str("it does not begin like a ban"),
            Self::Size => f.write_str("its size is less than that of any ban"),
            Self::Checksum => f.write_str("its checksum is wrong"),
            Self::Version { found } => write!(f, "it has version {found} and this build reads {VERSION}"),
            Self::Field { field } => write!(f, "its field {field:?} has an impossible value"),
        }
    }
}

impl core::error::Error for BanError {}

/// What a log of bans holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanLog {
    /// The bans, oldest first.
    pub bans: Vec<Ban>,
    /// May more be appended as it is?
    pub ending: LogEnding,
}

/// Is a log whole?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnding {
    /// It ends with a whole ban.
    Clean,
    /// Something in it is no ban: it must be written anew before the next one is appended.
    Torn,
}

/// The ban as bytes.
pub fn encode_ban(ban: &Ban) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&ban.at.as_unix_millis().to_le_bytes());
    bytes.push(match ban.mode {
        PurgeMode::Hard => 0,
        PurgeMode::Soft => 1,
    });
    match &ban.selector {
        Selector::Key(key) => {
            bytes.push(0);
            bytes.extend_from_slice(&key.0.to_le_bytes());
        }
        Selector::Tag(tag) => {
            bytes.push(1);
            bytes.extend_from_slice(tag.as_str().as_bytes());
        }
        Selector::Prefix(prefix) => {
            bytes.push(2);
            let (authority, path) = prefix.parts();
            let length = u16::try_from(authority.len()).expect("a prefix has at most PREFIX_BYTES_MAX bytes");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(authority.as_bytes());
            bytes.extend_from_slice(path.as_bytes());
        }
        Selector::All => bytes.push(3),
    }
    let size = u32::try_from(bytes.len() + CHECKSUM).expect("selectors are short");
    bytes[6..PREAMBLE].copy_from_slice(&size.to_le_bytes());
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The ban that `bytes` begin with, and how many of them it is.
///
/// # Errors
/// They begin with nothing that [`encode_ban`] makes.
pub fn decode_ban(bytes: &[u8]) -> Result<(Ban, usize), BanError> {
    let mut rest = bytes;
    if take::<4>(&mut rest)? != MAGIC {
        return Err(BanError::Magic);
    }
    let version = u16::from_le_bytes(take(&mut rest)?);
    let size = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).map_err(|_| BanError::TooShort)?;
    if size < PREAMBLE + CHECKSUM {
        return Err(BanError::Size);
    }
    let whole = bytes.get(..size).ok_or(BanError::TooShort)?;
    let (content, written) = whole.split_at(size - CHECKSUM);
    if checksum(content) != *written {
        return Err(BanError::Checksum);
    }
    if version != VERSION {
        return Err(BanError::Version { found: version });
    }
    let wrong = |field| BanError::Field { field };
    let mut rest = &content[PREAMBLE..];
    let at = WallTime::from_unix_millis(u64::from_le_bytes(take(&mut rest)?));
    let [mode, kind] = take(&mut rest)?;
    let mode = match mode {
        0 => PurgeMode::Hard,
        1 => PurgeMode::Soft,
        2.. => return Err(wrong(BanField::Mode)),
    };
    let selector = selector(kind, rest)?.ok_or(wrong(BanField::Selector))?;
    Ok((Ban { selector, mode, at }, size))
}

/// What is covered; nothing when no selector of that kind is written so.
fn selector(kind: u8, mut rest: &[u8]) -> Result<Option<Selector>, BanError> {
    let text = |bytes| core::str::from_utf8(bytes).ok();
    Ok(match kind {
        0 => <[u8; 16]>::try_from(rest).ok().map(|key| Selector::Key(CacheKey(u128::from_le_bytes(key)))),
        // What was written was checked, and in lower case.
        1 => text(rest)
            .and_then(|text| Some(Selector::Tag(Tag::new(text).ok().filter(|tag| tag.as_str() == text)?))),
        2 => {
            let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
            rest.split_at_checked(length).and_then(|(authority, path)| {
                let parts = (text(authority)?, text(path)?);
                let prefix = Prefix::new(parts.0, parts.1).ok()?;
                (prefix.parts() == parts).then_some(Selector::Prefix(prefix))
            })
        }
        3 => rest.is_empty().then_some(Selector::All),
        4.. => return Err(BanError::Field { field: BanField::Kind }),
    })
}

/// The bans of a log. What a crash left of the last one was never acknowledged, and is passed over. Where
/// something else is no ban, one that was acknowledged is lost, and everything counts as purged until the
/// last that is left.
///
/// # Errors
/// A whole ban is one that this build does not read.
pub fn decode_bans(bytes: &[u8]) -> Result<BanLog, BanError> {
    let mut log = BanLog { bans: Vec::new(), ending: LogEnding::Clean };
    let (mut rest, mut is_lost, mut is_between) = (bytes, false, false);
    while !rest.is_empty() {
        match decode_ban(rest) {
            Ok((ban, size)) => {
                is_lost |= is_between;
                is_between = false;
                log.bans.push(ban);
                rest = &rest[size..];
            }
            Err(error @ (BanError::Version { .. } | BanError::Field { .. })) => return Err(error),
            Err(BanError::TooShort | BanError::Magic | BanError::Size | BanError::Checksum) => {
                is_between = true;
                log.ending = LogEnding::Torn;
                let next = rest[1..].windows(MAGIC.len()).position(|window| window == MAGIC);
                rest = next.map_or(&[], |next| &rest[1 + next..]);
            }
        }
    }
    if is_lost && let Some(at) = log.bans.iter().map(|ban| ban.at).max() {
        log.bans.push(Ban { selector: Selector::All, mode: PurgeMode::Hard, at });
    }
    Ok(log)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BanError> {
    let (taken, left) = rest.split_first_chunk().ok_or(BanError::TooShort)?;
    *rest = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests;
