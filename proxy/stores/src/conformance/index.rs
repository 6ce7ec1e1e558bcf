//! What every [`IndexStore`] promises. Rows that it may not drop stay behind.

use super::{all, bytes_of};
use bytes::Bytes;
use std::time::Duration;
use tiergate_driver::{IndexStore, Row, Written};
use tiergate_engine::{CacheKey, WallTime, durable::Version};

/// So far from now that no suite lasts until then.
const HOUR: Duration = Duration::from_secs(3_600);

/// Tasks that want to change one row at once, and how often they try.
const RIVALS: u64 = 12;
const ROUNDS: u64 = 6;

/// Runs the whole suite on an index that holds nothing of what it uses.
///
/// # Panics
/// The index breaks a promise.
pub async fn index_conformance(index: &impl IndexStore) {
    the_clock_never_goes_back(index).await;
    a_row_is_put_once(index).await;
    only_the_expected_version_is_replaced(index).await;
    what_is_not_there_is_not_replaced(index).await;
    values_come_back_byte_for_byte(index).await;
    every_key_has_a_row_of_its_own(index).await;
    a_touch_moves_both_times_and_never_back(index).await;
    a_touch_is_for_its_version_alone(index).await;
    only_droppable_rows_are_dropped(index).await;
    what_expired_is_still_told(index).await;
    one_of_many_wins_each_round(index).await;
    one_of_many_puts_a_new_row(index).await;
}

fn key(number: u64) -> CacheKey {
    CacheKey::of("index.example", &format!("/{number}"))
}

async fn now(index: &impl IndexStore) -> WallTime {
    index.get(key(0)).await.expect("the index is well").now
}

async fn found(index: &impl IndexStore, key: CacheKey) -> Option<Row> {
    index.get(key).await.expect("the index is well").row
}

fn row(version: u64, value: impl Into<Bytes>, now: WallTime) -> Row {
    let expires = now.after(HOUR);
    Row { version: Version(version), value: value.into(), expires, droppable: expires.after(HOUR) }
}

#[track_caller]
fn written(written: Result<Written, tiergate_driver::StoreError>) -> WallTime {
    match written {
        Ok(Written::Done { now }) => now,
        other => panic!("it was to be written: {other:?}"),
    }
}

/// Reads and writes tell the store's clock. It never goes back, and a real one has left 1970 behind.
pub async fn the_clock_never_goes_back(index: &impl IndexStore) {
    let key = key(1);
    let mut last = now(index).await;
    assert!(last > WallTime::default(), "a clock that was never set");
    let mut moved = |now: WallTime| {
        assert!(last <= now, "the clock went from {last:?} back to {now:?}");
        last = now;
    };
    let first = row(1, "1", now(index).await);
    moved(written(index.put_new(key, first.clone()).await));
    for version in 2..20 {
        moved(index.get(key).await.expect("the index is well").now);
        let row = Row { version: Version(version), ..first.clone() };
        moved(written(index.cas_update(key, Version(version - 1), row).await));
    }
    assert!(last.since(first.expires) == Duration::ZERO, "the clock ran an hour ahead");
}

/// A row is written where there is none, and told as it was written; where there is one, nothing is changed,
/// whatever the versions.
pub async fn a_row_is_put_once(index: &impl IndexStore) {
    let key = key(2);
    assert_eq!(found(index, key).await, None);
    let first = row(7, "first", now(index).await);
    written(index.put_new(key, first.clone()).await);
    assert_eq!(found(index, key).await, Some(first.clone()));
    for version in [6, 7, 8] {
        let other = Row { value: Bytes::from("other"), version: Version(version), ..first.clone() };
        assert_eq!(index.put_new(key, other).await, Ok(Written::Refused));
    }
    assert_eq!(found(index, key).await, Some(first));
}

/// A row is replaced, all of it, by who expects exactly its version. Who expects an older or a newer one is
/// refused and changes nothing.
pub async fn only_the_expected_version_is_replaced(index: &impl IndexStore) {
    let key = key(3);
    let first = row(u64::MAX - 9, "first", now(index).await);
    written(index.put_new(key, first.clone()).await);
    let next = Row {
        version: Version(first.version.0 + 1),
        value: Bytes::from("a longer value"),
        expires: first.expires.after(Duration::from_millis(1)),
        droppable: first.droppable.before(Duration::from_millis(1)),
    };
    for expected in [0, first.version.0 - 1, next.version.0, u64::MAX] {
        assert_eq!(index.cas_update(key, Version(expected), next.clone()).await, Ok(Written::Refused));
        assert_eq!(found(index, key).await, Some(first.clone()));
    }
    written(index.cas_update(key, first.version, next.clone()).await);
    assert_eq!(found(index, key).await, Some(next.clone()));
    assert_eq!(index.cas_update(key, first.version, first).await, Ok(Written::Refused));
    assert_eq!(found(index, key).await, Some(next));
}

/// Who expects a row where there is none is refused, and makes none.
pub async fn what_is_not_there_is_not_replaced(index: &impl IndexStore) {
    let key = key(4);
    for expected in [0, 1] {
        let row = row(2, "new", now(index).await);
        assert_eq!(index.cas_update(key, Version(expected), row).await, Ok(Written::Refused));
        assert_eq!(found(index, key).await, None);
    }
    let later = now(index).await.after(HOUR);
    assert_eq!(index.touch(key, Version(0), later, later).await, Ok(()));
    assert_eq!(index.delete(key, Version(0)).await, Ok(()));
    assert_eq!(found(index, key).await, None);
}

/// A value may have every byte, 64 KiB of them, or none.
pub async fn values_come_back_byte_for_byte(index: &impl IndexStore) {
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let values = [Bytes::new(), every.into(), bytes_of(5, 64 << 10)];
    for (number, value) in (10..).zip(values) {
        let put = row(1, value.clone(), now(index).await);
        written(index.put_new(key(number), put.clone()).await);
        assert_eq!(found(index, key(number)).await, Some(put));
        let next = row(2, bytes_of(number, 1_000), now(index).await);
        written(index.cas_update(key(number), Version(1), next.clone()).await);
        assert_eq!(found(index, key(number)).await, Some(next));
    }
}

/// Keys that hold each value of a byte do not run into each other or into anybody's syntax.
pub async fn every_key_has_a_row_of_its_own(index: &impl IndexStore) {
    let keys = (0..=u8::MAX).step_by(5).map(|byte| CacheKey(u128::from_le_bytes([byte; 16])));
    let now = now(index).await;
    let rows: Vec<_> =
        (1..).zip(keys).map(|(number, key)| (key, row(number, bytes_of(number, 9), now))).collect();
    for put in all(rows.iter().map(|(key, row)| index.put_new(*key, row.clone()))).await {
        written(put);
    }
    for (key, row) in rows {
        assert_eq!(found(index, key).await, Some(row));
    }
}

/// A touch moves both times forward, each for itself, and neither ever back; it raises no version and leaves
/// the value alone.
pub async fn a_touch_moves_both_times_and_never_back(index: &impl IndexStore) {
    let key = key(20);
    let mut wanted = row(5, "touched", now(index).await);
    written(index.put_new(key, wanted.clone()).await);
    let minute = Duration::from_secs(60);
    let Row { expires, droppable, .. } = wanted.clone();
    let moves = [
        (expires.after(minute), droppable.after(minute)),
        (expires, droppable),
        (expires.after(minute * 2), droppable),
        (expires, droppable.after(minute * 3)),
        (WallTime::default(), WallTime::default()),
    ];
    for (expires, droppable) in moves {
        assert_eq!(index.touch(key, wanted.version, expires, droppable).await, Ok(()));
        wanted.expires = wanted.expires.max(expires);
        wanted.droppable = wanted.droppable.max(droppable);
        assert_eq!(found(index, key).await, Some(wanted.clone()));
    }
}

/// A touch of another version, older or newer, moves nothing; and a touched row is still replaced by who
/// knows its version.
pub async fn a_touch_is_for_its_version_alone(index: &impl IndexStore) {
    let key = key(21);
    let row = row(5, "not touched", now(index).await);
    written(index.put_new(key, row.clone()).await);
    let later = row.droppable.after(HOUR);
    for version in [0, 4, 6] {
        assert_eq!(index.touch(key, Version(version), later, later).await, Ok(()));
        assert_eq!(found(index, key).await, Some(row.clone()));
    }
    assert_eq!(index.touch(key, row.version, later, later).await, Ok(()));
    let next = Row { version: Version(6), ..row };
    written(index.cas_update(key, Version(5), next.clone()).await);
    assert_eq!(found(index, key).await, Some(next));
}

/// A row is dropped by its version once it is droppable, and not before; then there is none, and a new one
/// may be put.
pub async fn only_droppable_rows_are_dropped(index: &impl IndexStore) {
    let [kept, dropped] = [key(30), key(31)];
    let now = now(index).await;
    let row = Row { expires: now.before(HOUR), ..row(5, "kept", now) };
    written(index.put_new(kept, row.clone()).await);
    for version in [4, 5, 6] {
        assert_eq!(index.delete(kept, Version(version)).await, Ok(()));
        assert_eq!(found(index, kept).await, Some(row.clone()));
    }
    let due = Row { droppable: now.before(Duration::from_millis(1)), ..row.clone() };
    written(index.put_new(dropped, due).await);
    assert_eq!(index.delete(dropped, Version(5)).await, Ok(()));
    assert_eq!(found(index, dropped).await, None);
    assert_eq!(index.delete(dropped, Version(5)).await, Ok(()));
    written(index.put_new(dropped, row.clone()).await);
    assert_eq!(index.delete(dropped, Version(5)).await, Ok(()));
    assert_eq!(found(index, dropped).await, Some(row));
}

/// What has expired is told, replaced and touched like all else until it is droppable.
pub async fn what_expired_is_still_told(index: &impl IndexStore) {
    let key = key(40);
    let now = now(index).await;
    let expired = Row { expires: now.before(HOUR), ..row(1, "expired", now) };
    written(index.put_new(key, expired.clone()).await);
    // What a store drops, it drops as it writes.
    for number in 41..50 {
        written(index.put_new(self::key(number), row(1, "beside it", now)).await);
    }
    assert_eq!(found(index, key).await, Some(expired.clone()));
    assert_eq!(index.put_new(key, row(2, "new", now)).await, Ok(Written::Refused));
    assert_eq!(index.touch(key, Version(1), now, expired.droppable).await, Ok(()));
    assert_eq!(found(index, key).await, Some(Row { expires: now, ..expired.clone() }));
    let next = Row { version: Version(2), ..expired };
    written(index.cas_update(key, Version(1), next.clone()).await);
    assert_eq!(found(index, key).await, Some(next));
}

/// Of many that replace one version at once, exactly one is told that it did, and its row is the one there.
pub async fn one_of_many_wins_each_round(index: &impl IndexStore) {
    let key = key(60);
    let now = now(index).await;
    written(index.put_new(key, row(0, "none", now)).await);
    for round in 1..=ROUNDS {
        let rows: Vec<Row> = (0..RIVALS).map(|rival| row(round, rival.to_string(), now)).collect();
        let told = all(rows.iter().map(|row| index.cas_update(key, Version(round - 1), row.clone()))).await;
        assert_eq!(found(index, key).await, Some(winner(&rows, &told)));
    }
}

/// Of many that put a new row at once, exactly one is told that it did, and its row is the one there.
pub async fn one_of_many_puts_a_new_row(index: &impl IndexStore) {
    let now = now(index).await;
    for number in 70..70 + ROUNDS {
        let rows: Vec<Row> = (0..RIVALS).map(|rival| row(rival, rival.to_string(), now)).collect();
        let told = all(rows.iter().map(|row| index.put_new(key(number), row.clone()))).await;
        assert_eq!(found(index, key(number)).await, Some(winner(&rows, &told)));
    }
}

fn winner(rows: &[Row], told: &[Result<Written, tiergate_driver::StoreError>]) -> Row {
    let mut winners = rows.iter().zip(told).filter(|(_, told)| matches!(told, Ok(Written::Done { .. })));
    let (row, _) = winners.next().unwrap_or_else(|| panic!("nobody won: {told:?}"));
    assert_eq!(winners.next(), None, "two won");
    let losers = told.iter().filter(|told| **told == Ok(Written::Refused)).count();
    assert_eq!(losers + 1, told.len(), "who did not win is refused: {told:?}");
    row.clone()
}
