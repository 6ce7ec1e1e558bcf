//! A row as an object.
//!
//! ```text
//! "tgrow\0\0\1"  8 bytes: this layout
//! version        8 bytes, the lowest first, as all numbers here
//! expires        8 bytes: milliseconds since 1970
//! droppable      8 bytes: milliseconds since 1970
//! value          the rest
//! ```

use bytes::Bytes;
use tiergate_driver::Row;
use tiergate_engine::{WallTime, durable::Version};

const LAYOUT: [u8; 8] = *b"tgrow\0\0\x01";
const HEAD_BYTES: usize = 32;

/// Far more than the engine writes.
pub(super) const BYTES_MAX: i64 = 4 << 20;

pub(super) fn encode(row: &Row) -> Bytes {
    let Row { version, value, expires, droppable } = row;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + value.len());
    bytes.extend_from_slice(&LAYOUT);
    for number in [version.0, expires.as_unix_millis(), droppable.as_unix_millis()] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(value);
    bytes.into()
}

/// `None` for what another build wrote, or somebody else.
pub(super) fn decode(mut bytes: Bytes) -> Option<Row> {
    let head = bytes.get(..HEAD_BYTES)?;
    let (numbers, _) = head.strip_prefix(&LAYOUT)?.as_chunks::<8>();
    let [version, expires, droppable] = *<&[[u8; 8]; 3]>::try_from(numbers).ok()?;
    let time = |bytes| WallTime::from_unix_millis(u64::from_le_bytes(bytes));
    Some(Row {
        version: Version(u64::from_le_bytes(version)),
        value: bytes.split_off(HEAD_BYTES),
        expires: time(expires),
        droppable: time(droppable),
    })
}
