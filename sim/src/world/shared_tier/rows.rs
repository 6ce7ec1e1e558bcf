//! The rows of the durable tier's index in the imitated Redis: what the four scripts do with one key.

use super::resp::Reply;
use bytes::Bytes;
use std::{collections::BTreeMap, time::Duration};

/// The rows, by their keys. Times are in milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Rows(BTreeMap<Bytes, Row>);

#[derive(Debug)]
struct Row {
    version: Bytes,
    expires: u64,
    droppable: u64,
    value: Bytes,
}

impl Rows {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Drops those at these places, in their order.
    pub(crate) fn evict(&mut self, dropped: &mut impl Iterator<Item = bool>) {
        self.0.retain(|_, _| dropped.next() != Some(true));
    }

    fn found(&mut self, now: u64, key: &Bytes) -> Option<&mut Row> {
        if self.0.get(key).is_some_and(|row| row.droppable <= now) {
            self.0.remove(key);
        }
        self.0.get_mut(key)
    }

    /// The store's clock, and the row.
    pub(crate) fn get(&mut self, wall: Duration, key: &Bytes) -> Reply {
        let now = millis(wall);
        let row = self.found(now, key).map(|row| {
            [row.version.clone(), text(row.expires), text(row.droppable), row.value.clone()].map(Some)
        });
        Reply::Array([Some(text(now))].into_iter().chain(row.unwrap_or_default()).collect())
    }

    /// A row in place of the one of the version `expected`.
    pub(crate) fn swap(&mut self, wall: Duration, key: &Bytes, expected: &Bytes, row: [&Bytes; 4]) -> Reply {
        let now = millis(wall);
        let has = self.found(now, key).map(|row| row.version.clone()).unwrap_or_default();
        let [version, expires, droppable, value] = row;
        let (Some(expires), Some(droppable)) = (number(expires), number(droppable)) else {
            return Reply::Error("ERR value is not an integer or out of range".to_owned());
        };
        let is_right = has == *expected;
        if is_right {
            let [version, value] = [version, value].map(|bytes| Bytes::copy_from_slice(bytes));
            self.0.insert(Bytes::copy_from_slice(key), Row { version, expires, droppable, value });
        }
        let done = Bytes::from_static(if is_right { b"1" } else { b"0" });
        Reply::Array(vec![Some(text(now)), Some(done)])
    }

    /// Moves both times on, of exactly this version.
    pub(crate) fn touch(
        &mut self,
        wall: Duration,
        key: &Bytes,
        version: &Bytes,
        times: [&Bytes; 2],
    ) -> Reply {
        let [Some(expires), Some(droppable)] = times.map(number) else {
            return Reply::Error("ERR value is not an integer or out of range".to_owned());
        };
        match self.found(millis(wall), key) {
            Some(row) if row.version == *version => {
                row.expires = row.expires.max(expires);
                row.droppable = row.droppable.max(droppable);
                Reply::Integer(1)
            }
            Some(_) | None => Reply::Integer(0),
        }
    }

    /// Drops the row of exactly this version, if it is droppable.
    pub(crate) fn delete(&mut self, wall: Duration, key: &Bytes, version: &Bytes) -> Reply {
        // One that is droppable is dropped by whoever looks.
        let before = self.0.get(key).is_some_and(|row| row.version == *version);
        let is_there = self.found(millis(wall), key).is_some();
        Reply::Integer(i64::from(before && !is_there))
    }
}

fn millis(wall: Duration) -> u64 {
    u64::try_from(wall.as_millis()).expect("this world is not so old")
}

fn text(number: u64) -> Bytes {
    number.to_string().into()
}

fn number(text: &Bytes) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
