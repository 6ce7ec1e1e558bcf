//! The stores in memory keep every promise.

use super::*;
use crate::{
    AnyBlobs, AnyIndex, FeedBounds,
    conformance::{blob_conformance, feed, feed_conformance, index_conformance},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tiergate_driver::{IndexStore, Row};
use tiergate_engine::{CacheKey, WallTime, durable::Version};

/// An index and the milliseconds of its clock.
fn index() -> (MemoryIndex, Arc<AtomicU64>) {
    let millis = Arc::new(AtomicU64::new(1_600_000_000_000));
    let clock = Arc::clone(&millis);
    let now = move || WallTime::from_unix_millis(clock.load(Ordering::Relaxed));
    (MemoryIndex::new(now, FeedBounds::default()), millis)
}

#[tokio::test]
async fn blobs_keep_every_promise() {
    blob_conformance(&AnyBlobs::Memory(MemoryBlobs::new())).await;
}

#[tokio::test]
async fn the_index_keeps_every_promise() {
    let index = AnyIndex::<tiergate_tiers::TcpConnect>::Memory(index().0);
    index_conformance(&index).await;
    feed_conformance(&index).await;
}

#[tokio::test]
async fn the_feed_keeps_every_promise() {
    let (index, millis) = index();
    feed_conformance(&index).await;
    let age = async || {
        millis.fetch_add(24 * 60 * 60 * 1_000, Ordering::Relaxed);
    };
    feed::what_was_trimmed_is_told(&index, age).await;
}

/// Clones share what is stored, and each has handles of its own.
#[tokio::test]
async fn clones_share_what_is_stored() {
    let (index, _) = index();
    let row = Row {
        version: Version(1),
        value: "row".into(),
        expires: WallTime::from_unix_millis(u64::MAX),
        droppable: WallTime::from_unix_millis(u64::MAX),
    };
    assert!(index.clone().put_new(CacheKey(1), row.clone()).await.is_ok());
    assert_eq!(index.get(CacheKey(1)).await.map(|found| found.row), Ok(Some(row)));
    let blobs = MemoryBlobs::new();
    blob_conformance(&blobs.clone()).await;
    blob_conformance(&blobs).await;
}

/// A clock that is set back stands still meanwhile, and what is droppable goes by the next write.
#[tokio::test]
async fn the_clock_stands_still_and_rows_are_dropped() {
    let (index, millis) = index();
    let told = async || index.get(CacheKey(9)).await.expect("it is in memory").now.as_unix_millis();
    let began = told().await;
    millis.store(began - 1_000, Ordering::Relaxed);
    assert_eq!(told().await, began);
    let at = |after| WallTime::from_unix_millis(began).after(Duration::from_millis(after));
    for (key, droppable) in [(1, at(10)), (2, at(20))] {
        let row = Row { version: Version(1), value: "row".into(), expires: at(5), droppable };
        assert!(index.put_new(CacheKey(key), row).await.is_ok());
    }
    millis.store(began + 10, Ordering::Relaxed);
    assert!(index.touch(CacheKey(9), Version(1), at(0), at(0)).await.is_ok());
    let is_there = async |key| index.get(CacheKey(key)).await.expect("it is in memory").row.is_some();
    assert_eq!((is_there(1).await, is_there(2).await), (false, true));
}
