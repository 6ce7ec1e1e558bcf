//! What a transaction does to the purge feed.

use super::{
    Done,
    file::{APPENDED, FEED, keep_trimmed, newest, next_sequence, trimmed},
};
use crate::FeedBounds;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, WriteTransaction};
use tiergate_driver::FeedPage;
use tiergate_engine::{
    Ban, WallTime,
    feed::{FeedEntry, FeedOrigin, Notice, Sequence, Ticket},
    format::{decode_ban, encode_ban},
};

/// Entries of one page. One has at most some 8 KiB.
const PAGE_ENTRIES_MAX: usize = 256;

/// Entries that one write trims at most: more than it adds, so that they do not pile up, and few, so that it
/// stays quick.
const TRIMMED_MAX: usize = 64;

/// Only one writes at a time, so whoever sees an entry sees all before it.
pub(super) fn append(
    transaction: &WriteTransaction,
    origin: FeedOrigin,
    ticket: Ticket,
    notice: Notice,
    now: WallTime,
) -> Result<Done<Sequence>, redb::Error> {
    let mut appended = transaction.open_table(APPENDED)?;
    if let Some(known) = appended.get((origin.0, ticket.0))? {
        return Ok(Done::Looked(Sequence(known.value())));
    }
    let sequence = next_sequence(transaction)?;
    appended.insert((origin.0, ticket.0), sequence)?;
    let Notice { selector, mode, at } = notice;
    // A notice and a ban say the same, and bans have a layout with a checksum.
    let value = encode_ban(&Ban { selector, mode, at });
    let entry = (origin.0, ticket.0, now.as_unix_millis(), &value[..]);
    transaction.open_table(FEED)?.insert(sequence, entry)?;
    Ok(Done::Wrote(Sequence(sequence)))
}

pub(super) fn trim(
    transaction: &WriteTransaction,
    bounds: FeedBounds,
    now: WallTime,
) -> Result<(), redb::Error> {
    let mut feed = transaction.open_table(FEED)?;
    for _ in 0..TRIMMED_MAX {
        let entries = feed.len()?;
        let Some((sequence, origin, ticket, at)) = oldest_over(&feed, entries, bounds, now)? else { break };
        feed.remove(sequence)?;
        transaction.open_table(APPENDED)?.remove((origin, ticket))?;
        keep_trimmed(transaction, sequence, at)?;
    }
    Ok(())
}

/// The oldest entry, if it must go: sequence, origin, ticket and the time of its notice.
fn oldest_over(
    feed: &impl ReadableTable<u64, super::file::FeedValue>,
    entries: u64,
    bounds: FeedBounds,
    now: WallTime,
) -> Result<Option<(u64, u128, u64, WallTime)>, redb::Error> {
    let Some((sequence, value)) = feed.first()? else { return Ok(None) };
    let (origin, ticket, appended, notice) = value.value();
    if !bounds.is_over(entries, WallTime::from_unix_millis(appended), now) {
        return Ok(None);
    }
    // What cannot be read may have been of any time: all until now is barred.
    let at = decode_ban(notice).map_or(now, |(ban, _)| ban.at);
    Ok(Some((sequence.value(), origin, ticket, at)))
}

/// A page, all of it from one moment; or why what lies there cannot be told.
pub(super) fn page(seen: &ReadTransaction, after: Sequence) -> Result<Result<FeedPage, String>, redb::Error> {
    let mut entries = Vec::new();
    let behind = (std::ops::Bound::Excluded(after.0), std::ops::Bound::Unbounded);
    for entry in seen.open_table(FEED)?.range::<u64>(behind)?.take(PAGE_ENTRIES_MAX) {
        let (sequence, value) = entry?;
        let (origin, ticket, _, notice) = value.value();
        let (sequence, origin, ticket) = (Sequence(sequence.value()), FeedOrigin(origin), Ticket(ticket));
        match decode_ban(notice) {
            Ok((Ban { selector, mode, at }, _)) => {
                entries.push(FeedEntry { sequence, origin, ticket, notice: Notice { selector, mode, at } });
            }
            // A purge that is passed over would bring back what it removed.
            Err(error) => return Ok(Err(format!("entry {} of the purge feed: {error:?}", sequence.0))),
        }
    }
    Ok(Ok(FeedPage { trimmed: trimmed(seen)?, entries, newest: Sequence(newest(seen)?) }))
}
