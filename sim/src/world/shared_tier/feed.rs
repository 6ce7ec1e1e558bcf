//! The purge feed's log in the imitated Redis: what the two scripts do with their four keys.

use super::resp::Reply;
use bytes::Bytes;
use std::{collections::BTreeMap, time::Duration};

/// No sequence is higher: 2^53 - 1, as far as Redis counts exactly.
const SEQUENCE_MAX: u64 = (1 << 53) - 1;

/// The four keys. Each may be lost by itself.
#[derive(Debug, Default)]
pub(crate) struct FeedLog {
    newest: Option<u64>,
    log: BTreeMap<u64, Bytes>,
    seen: BTreeMap<Bytes, u64>,
    /// The last sequence that was trimmed, and a time in milliseconds.
    trimmed: Option<(u64, u64)>,
}

impl FeedLog {
    /// How many of its keys are there.
    pub(crate) fn count(&self) -> usize {
        self.keys().into_iter().filter(|is_there| *is_there).count()
    }

    fn keys(&self) -> [bool; 4] {
        [self.newest.is_some(), !self.log.is_empty(), !self.seen.is_empty(), self.trimmed.is_some()]
    }

    /// Drops those that are there and at these places among them.
    pub(crate) fn evict(&mut self, dropped: &mut impl Iterator<Item = bool>) {
        let [newest, log, seen, trimmed] =
            self.keys().map(|is_there| is_there && dropped.next() == Some(true));
        if newest {
            self.newest = None;
        }
        if log {
            self.log.clear();
        }
        if seen {
            self.seen.clear();
        }
        if trimmed {
            self.trimmed = None;
        }
    }

    /// What the script does that adds an entry. `wall` is since 1970.
    pub(crate) fn append(&mut self, wall: Duration, id: &Bytes, member: &Bytes, kept_max: u64) -> Reply {
        let last = self.found(wall, 0);
        if let Some(known) = self.seen.get(id) {
            return text(&format!("{known};"));
        }
        let sequence = last + 1;
        self.newest = Some(sequence);
        self.log.insert(sequence, Bytes::copy_from_slice(member));
        self.seen.insert(Bytes::copy_from_slice(id), sequence);
        while self.log.len() as u64 > kept_max {
            let (through, old) = self.log.pop_first().expect("there are more than none");
            let mut parts = old.splitn(4, |byte| *byte == b':');
            let (origin, ticket) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let at = parts.next().and_then(|at| std::str::from_utf8(at).ok()?.parse().ok()).unwrap_or(0);
            let before = self.trimmed.map_or(0, |(_, at)| at);
            self.trimmed = Some((through, before.max(at)));
            self.seen.remove(&[origin, b":", ticket].concat()[..]);
        }
        text(&format!("{sequence};"))
    }

    /// What the other one does, which reads on.
    pub(crate) fn read(&mut self, wall: Duration, after: u64, page_max: usize) -> Reply {
        let last = self.found(wall, after);
        let (through, at) = self.trimmed.expect("a log that is found has it");
        let mut told: Vec<Bytes> = [last, through, at].map(|number| number.to_string().into()).into();
        for (sequence, member) in self.log.range(after.saturating_add(1)..).take(page_max) {
            told.extend([member.clone(), sequence.to_string().into()]);
        }
        told.push(Bytes::from_static(b"end"));
        Reply::Array(told.into_iter().map(Some).collect())
    }

    /// The last sequence, of a new log if this one has lost anything.
    fn found(&mut self, wall: Duration, after: u64) -> u64 {
        let length = self.log.len() as u64;
        let after = if after > SEQUENCE_MAX { 0 } else { after };
        if let (Some(newest), Some((through, _))) = (self.newest, self.trimmed)
            && newest >= after
            && newest.checked_sub(through) == Some(length)
        {
            return newest;
        }
        let micros = u64::try_from(wall.as_micros()).expect("this world is not so old");
        let last = micros.max(after + 1).max(self.newest.unwrap_or(0) + 1);
        *self = Self { newest: Some(last), trimmed: Some((last, micros / 1_000)), ..Self::default() };
        last
    }
}

fn text(text: &str) -> Reply {
    Reply::Bulk(Some(Bytes::copy_from_slice(text.as_bytes())))
}
