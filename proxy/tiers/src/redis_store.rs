//! A Redis that edges share, as an index of the durable tier and as the log of the purge feed.
//!
//! ```text
//! tg:{target}:row           a row: its version, its two times and its value; Redis drops it when it is droppable
//! tg:{feed}:newest          the last sequence of the feed
//! tg:{feed}:log             its entries, by sequence
//! tg:{feed}:seen            the sequence of each entry by origin and ticket, so that none is added twice
//! tg:{feed}:trimmed         the last sequence that the log holds no more, and a time that no such notice is later than
//! ```
//!
//! `tg:` is the prefix that is configured ([`RedisAddress`]). Each operation is one script, which Redis
//! carries out all or not at all.
//!
//! **A log that is lost is told as trimmed.** Redis may forget: a restart without its file, an eviction, a
//! failover to a replica that lags. Sequences begin with the time in microseconds, so those of a new log lie
//! behind those of a lost one, and whoever asks first after a loss has it written down that everything before
//! now is unknown. Each edge then trusts nothing that is older. So a loss costs hits and never undoes a purge.
//! Redis must not evict these keys all the same (`noeviction`, or a server of their own), for each time it
//! does costs all edges what they hold.

mod scripts;

pub use scripts::{
    FEED_APPEND_SCRIPT, FEED_READ_SCRIPT, ROW_DELETE_SCRIPT, ROW_GET_SCRIPT, ROW_SWAP_SCRIPT,
    ROW_TOUCH_SCRIPT,
};

use crate::{
    connect::Connect,
    redis_tier::{Link, RedisAddress},
};
use bytes::Bytes;
use std::{str::FromStr, time::Duration};
use tiergate_driver::{FeedPage, FoundRow, IndexStore, PurgeFeed, Row, StoreError, TierError, Written};
use tiergate_engine::{
    Ban, CacheKey, WallTime,
    durable::Version,
    feed::{FeedEntry, FeedOrigin, Notice, Sequence, Ticket, Trimmed},
    format::{decode_ban, encode_ban},
};

/// Entries that the log keeps: a purge is a few hundred bytes, and an edge reads once a second or so.
const ENTRIES_MAX: u32 = 100_000;
/// Entries of one answer.
const PAGE_MAX: u32 = 1_000;

/// How a Redis is used.
#[derive(Clone, Copy, Debug)]
pub struct RedisStoreOptions {
    /// How long one operation may take, with the connection that it needs.
    pub command_time_max: Duration,
    /// Entries of the feed that are kept. Older ones are trimmed.
    pub entries_max: u32,
}

impl Default for RedisStoreOptions {
    fn default() -> Self {
        Self { command_time_max: Duration::from_secs(2), entries_max: ENTRIES_MAX }
    }
}

/// Rows and the feed in one Redis.
pub struct RedisStore<C: Connect> {
    link: Link<C>,
    entries_max: u32,
}

impl<C: Connect> RedisStore<C> {
    /// Connects when it is asked first.
    pub fn new(connector: C, address: impl Into<RedisAddress>, options: RedisStoreOptions) -> Self {
        let link = Link::new(connector, address.into(), options.command_time_max);
        Self { link, entries_max: options.entries_max }
    }

    async fn swap(&self, key: CacheKey, expected: String, row: Row) -> Result<Written, StoreError> {
        let Row { version, value, expires, droppable } = row;
        let arguments = [
            expected.into(),
            text(version.0),
            text(expires.as_unix_millis()),
            text(droppable.as_unix_millis()),
            value,
        ];
        let told: Vec<Bytes> = self.link.eval(ROW_SWAP_SCRIPT, &[row_key(key)], &arguments).await?;
        let [now, done] = fixed(told)?;
        let now = WallTime::from_unix_millis(number(&now)?);
        Ok(if done == "1" { Written::Done { now } } else { Written::Refused })
    }
}

impl<C: Connect> IndexStore for RedisStore<C> {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        let told: Vec<Option<Bytes>> = self.link.eval(ROW_GET_SCRIPT, &[row_key(key)], &[]).await?;
        let [now, version, expires, droppable, value] = fixed(told)?;
        let now = WallTime::from_unix_millis(number(&now.unwrap_or_default())?);
        let row = match (version, expires, droppable, value) {
            (Some(version), Some(expires), Some(droppable), Some(value)) => Some(Row {
                version: Version(number(&version)?),
                value,
                expires: WallTime::from_unix_millis(number(&expires)?),
                droppable: WallTime::from_unix_millis(number(&droppable)?),
            }),
            (None, None, None, None) => None,
            _ => return Err(unreadable(&format!("a row of {key} lacks a part"))),
        };
        Ok(FoundRow { row, now })
    }

    async fn put_new(&self, key: CacheKey, row: Row) -> Result<Written, StoreError> {
        self.swap(key, String::new(), row).await
    }

    async fn cas_update(&self, key: CacheKey, expected: Version, row: Row) -> Result<Written, StoreError> {
        self.swap(key, expected.0.to_string(), row).await
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        let arguments = [text(version.0), text(expires.as_unix_millis()), text(droppable.as_unix_millis())];
        self.link.eval::<i64>(ROW_TOUCH_SCRIPT, &[row_key(key)], &arguments).await.map(drop)
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        self.link.eval::<i64>(ROW_DELETE_SCRIPT, &[row_key(key)], &[text(version.0)]).await.map(drop)
    }
}

impl<C: Connect> PurgeFeed for RedisStore<C> {
    async fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, StoreError> {
        let id = format!("{:032x}:{}", origin.0, ticket.0);
        let mut member = format!("{id}:{}:", notice.at.as_unix_millis()).into_bytes();
        let Notice { selector, mode, at } = notice;
        member.extend_from_slice(&encode_ban(&Ban { selector, mode, at }));
        let arguments = [id.into(), member.into(), text(self.entries_max.into())];
        let told: Bytes = self.link.eval(FEED_APPEND_SCRIPT, &feed_keys(), &arguments).await?;
        let told = told.strip_suffix(b";").ok_or_else(|| unreadable("a sequence is cut short"))?;
        Ok(Sequence(number(told)?))
    }

    async fn read(&self, after: Sequence) -> Result<FeedPage, StoreError> {
        let arguments = [text(after.0), text(PAGE_MAX.into())];
        let told: Vec<Option<Bytes>> = self.link.eval(FEED_READ_SCRIPT, &feed_keys(), &arguments).await?;
        let mut told = told.into_iter();
        if told.next_back().flatten().is_none_or(|end| end != "end") {
            return Err(unreadable("an answer of the feed is cut short"));
        }
        let mut next =
            || told.next().flatten().ok_or_else(|| unreadable("an answer of the feed is cut short"));
        let (newest, through, at) = (number(&next()?)?, number(&next()?)?, number(&next()?)?);
        let trimmed = (through > after.0)
            .then_some(Trimmed { through: Sequence(through), at: WallTime::from_unix_millis(at) });
        let rest: Vec<Bytes> = told.flatten().collect();
        let entries = rest.chunks_exact(2).map(|pair| entry(&pair[0], &pair[1])).collect::<Result<_, _>>()?;
        Ok(FeedPage { trimmed, entries, newest: Sequence(newest) })
    }
}

/// One entry, by what the script gives of it.
fn entry(member: &Bytes, sequence: &Bytes) -> Result<FeedEntry<Notice>, StoreError> {
    let wrong = || unreadable("an entry of the feed is none that this build reads");
    let mut parts = member.splitn(4, |byte| *byte == b':');
    let mut part = || parts.next().ok_or_else(wrong);
    let origin = std::str::from_utf8(part()?).ok().and_then(|hex| u128::from_str_radix(hex, 16).ok());
    let ticket = number(part()?)?;
    part()?;
    let (Ban { selector, mode, at }, _) = decode_ban(part()?).map_err(|_| wrong())?;
    Ok(FeedEntry {
        sequence: Sequence(number(sequence)?),
        origin: FeedOrigin(origin.ok_or_else(wrong)?),
        ticket: Ticket(ticket),
        notice: Notice { selector, mode, at },
    })
}

fn row_key(key: CacheKey) -> String {
    format!("{{{key}}}:row")
}

/// In the order in which the scripts take them.
fn feed_keys() -> [String; 4] {
    ["newest", "log", "seen", "trimmed"].map(|name| format!("{{feed}}:{name}"))
}

fn text(number: u64) -> Bytes {
    number.to_string().into()
}

fn number<T: FromStr>(text: &[u8]) -> Result<T, StoreError> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| unreadable(&format!("{:?} is no number", String::from_utf8_lossy(text))))
}

fn fixed<T, const N: usize>(told: Vec<T>) -> Result<[T; N], StoreError> {
    told.try_into()
        .map_err(|told: Vec<T>| unreadable(&format!("an answer has {} parts, not {N}", told.len())))
}

fn unreadable(what: &str) -> StoreError {
    TierError::Failed(format!("redis: {what}"))
}

#[cfg(test)]
mod tests;
