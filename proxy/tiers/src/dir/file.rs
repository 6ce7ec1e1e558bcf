//! One record as a file: blocks of the body, the encoded record, and a footer that says where they are.
//!
//! ```text
//!  block 0 │ CRC │ block 1 │ CRC │ … │ encoded record │ footer
//!
//!  footer: body length (8) · sequence (8) · record length (4) · block size (4) · magic "TGDF" (4) · CRC of these (4)
//! ```
//!
//! All numbers are little endian. The file's length must be what the footer adds up to, so a file that was cut short,
//! or grew, is no record. The body's checksums are verified by each read, not at start.

use crate::blocks::{self, CHECKSUM_BYTES, Layout};
use bytes::Bytes;
use std::{fmt, fs::File, io, os::unix::fs::FileExt};
use tiergate_engine::{
    Record,
    format::{self, RecordError},
};

/// The bytes of a block in files that this build writes.
pub(super) const BLOCK_BYTES: u32 = 64 << 10;
/// The blocks that one read takes at most; it bounds the memory of a read.
const BLOCKS_PER_READ_MAX: u64 = 16;
/// The largest block that this build reads; together with the above, the most memory that a read takes.
const BLOCK_BYTES_MAX: u32 = 1 << 20;
/// The longest encoded record that this build reads. Fronts bound heads far below.
const RECORD_BYTES_MAX: u32 = 16 << 20;
/// The bytes of the footer.
const FOOTER_BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"TGDF";

const _: () = assert!(BLOCK_BYTES <= BLOCK_BYTES_MAX, "what is written can be read");

/// Why a file is not a record, or a part of it cannot be had.
#[derive(Debug)]
pub(super) enum FileError {
    /// The system said so.
    Io(io::Error),
    /// It is shorter than a footer, or not as long as its footer says.
    Length,
    /// Its footer is not one.
    Footer,
    /// What should be its record is none.
    Record(RecordError),
    /// The record's length is not that of the body.
    BodyLength,
    /// A block of the body is not what was written.
    Block(u64, blocks::BlockError),
    /// The body has no byte there.
    Offset(u64),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Length => f.write_str("the file was cut short"),
            Self::Footer => f.write_str("the file does not end like a record's"),
            Self::Record(error) => write!(f, "the file's record cannot be read: {error}"),
            Self::BodyLength => f.write_str("the file's body and record disagree about the length"),
            Self::Block(index, error) => write!(f, "block {index} cannot be read: {error}"),
            Self::Offset(offset) => write!(f, "the body has no byte {offset}"),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Length,
            _ => Self::Io(error),
        }
    }
}

/// What comes after a body of `length` bytes: the record and the footer.
pub(super) fn ending(record: &Record, sequence: u64) -> Vec<u8> {
    let mut bytes = format::encode(record);
    let record_bytes = u32::try_from(bytes.len()).expect("a front bounds heads to far less than 4 GiB");
    let footer = bytes.len();
    bytes.extend_from_slice(&record.length.0.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&record_bytes.to_le_bytes());
    bytes.extend_from_slice(&BLOCK_BYTES.to_le_bytes());
    bytes.extend_from_slice(&MAGIC);
    let checksum = crc32fast::hash(&bytes[footer..]);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The bytes of the file that holds a record and its body.
pub fn stored_bytes(record: &Record) -> u64 {
    let layout = Layout { block_bytes: BLOCK_BYTES, length: record.length.0 };
    let body = layout.begin(layout.count()).unwrap_or(u64::MAX);
    body.saturating_add((format::encoded_length(record) + FOOTER_BYTES) as u64)
}

struct Footer {
    layout: Layout,
    sequence: u64,
    record_bytes: u32,
}

impl Footer {
    fn decode(bytes: &[u8; FOOTER_BYTES]) -> Result<Self, FileError> {
        let (content, checksum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().expect("a footer is longer than its checksum");
        if crc32fast::hash(content).to_le_bytes() != *checksum || content[24..] != MAGIC {
            return Err(FileError::Footer);
        }
        let long = |at: usize| content[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let short = |at: usize| content[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let (Some(length), Some(sequence)) = (long(0), long(8)) else {
            return Err(FileError::Footer);
        };
        match (short(16), short(20)) {
            (Some(record_bytes @ 0..=RECORD_BYTES_MAX), Some(block_bytes @ 1..=BLOCK_BYTES_MAX)) => {
                Ok(Self { layout: Layout { block_bytes, length }, sequence, record_bytes })
            }
            (Some(_) | None, Some(_) | None) => Err(FileError::Footer),
        }
    }
}

/// A whole record, open. It stays readable and the same when its file is removed or replaced.
#[derive(Debug)]
pub(super) struct RecordFile {
    file: File,
    layout: Layout,
}

/// What a record file says of itself.
pub(super) struct Contents {
    pub(super) file: RecordFile,
    pub(super) record: Record,
    pub(super) sequence: u64,
}

/// Reads and checks everything but the body.
pub(super) fn read(file: File) -> Result<Contents, FileError> {
    let total = file.metadata()?.len();
    let footer_at = total.checked_sub(FOOTER_BYTES as u64).ok_or(FileError::Length)?;
    let mut bytes = [0; FOOTER_BYTES];
    file.read_exact_at(&mut bytes, footer_at)?;
    let footer = Footer::decode(&bytes)?;
    let layout = footer.layout;
    let record_at = layout.begin(layout.count()).ok_or(FileError::Length)?;
    if record_at.checked_add(footer.record_bytes.into()) != Some(footer_at) {
        return Err(FileError::Length);
    }
    let mut bytes = vec![0; footer.record_bytes as usize];
    file.read_exact_at(&mut bytes, record_at)?;
    let record = format::decode(&bytes).map_err(FileError::Record)?;
    if record.length.0 != layout.length {
        return Err(FileError::BodyLength);
    }
    Ok(Contents { file: RecordFile { file, layout }, record, sequence: footer.sequence })
}

impl RecordFile {
    /// Checked bytes of the body from `offset` on.
    pub(super) fn read(&self, offset: u64, length_max: u64) -> Result<Bytes, FileError> {
        read_blocks(&self.file, self.layout, offset, length_max)
    }
}

/// At least one and at most `length_max` bytes from `offset` on, out of the blocks at the front of `file`.
pub(super) fn read_blocks(
    file: &File,
    layout: Layout,
    offset: u64,
    length_max: u64,
) -> Result<Bytes, FileError> {
    if offset >= layout.length || length_max == 0 {
        return Err(FileError::Offset(offset));
    }
    let (first, within) = layout.position(offset);
    let (last, _) = layout.position(offset.saturating_add(length_max - 1).min(layout.length - 1));
    let last = last.min(first + BLOCKS_PER_READ_MAX - 1);
    let (Some(begin), Some(end)) = (layout.begin(first), layout.begin(last + 1)) else {
        return Err(FileError::Length);
    };
    let size = usize::try_from(end - begin).map_err(|_| FileError::Length)?;
    let mut sealed = vec![0; size];
    // A short read is an error, never zeroes (failure T10).
    file.read_exact_at(&mut sealed, begin)?;
    let mut body = Vec::with_capacity(size);
    let mut rest = &*sealed;
    for index in first..=last {
        let block_bytes = layout.size(index);
        let (block, after) = rest.split_at(block_bytes + CHECKSUM_BYTES);
        let block = blocks::unseal(block, block_bytes).map_err(|error| FileError::Block(index, error))?;
        body.extend_from_slice(block);
        rest = after;
    }
    let end = body.len().min(within.saturating_add(usize::try_from(length_max).unwrap_or(usize::MAX)));
    Ok(Bytes::from(body).slice(within..end))
}
