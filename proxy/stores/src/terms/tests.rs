//! Edges agree on their terms, or do not use the index.

use super::*;
use crate::{FeedBounds, MemoryIndex, conformance::index_conformance};

fn index() -> MemoryIndex {
    MemoryIndex::new(|| WallTime::from_unix_millis(1_600_000_000_000), FeedBounds::default())
}

fn edge(index: &MemoryIndex, tier: &RawDurableTier, replacing: Replacing) -> Agreeing<MemoryIndex> {
    Agreeing::new(index.clone(), SharedTerms::of(tier), replacing)
}

fn other() -> RawDurableTier {
    RawDurableTier { idle_s: 7_000, ..RawDurableTier::default() }
}

/// The first edge's terms are everybody's: who has the same may use the index, and keeps every promise of it;
/// who has others is told which, and nothing that it asks is done.
#[tokio::test]
async fn other_terms_are_refused() {
    let index = index();
    let ours = RawDurableTier::default();
    assert!(edge(&index, &ours, Replacing::No).agree().await.is_ok());
    // How often an exchange is tried, and what is admitted, is each edge's own affair.
    let same = RawDurableTier { tries_max: 9, collect_s: 0, ..ours };
    index_conformance(&edge(&index, &same, Replacing::No)).await;
    let stranger = edge(&index, &other(), Replacing::No);
    let Err(NotAgreed::Disagreement(differs)) = stranger.agree().await else { panic!("other terms passed") };
    assert_eq!(differs, Disagreement::Other { name: "idle_s", ours: 7_000, theirs: ours.idle_s });
    let told = differs.to_string();
    assert!(told.starts_with("`cache.l3.idle_s` is 7000 here and 2592000 at the edges"), "{told}");
    let row = Row { version: Version(1), value: "row".into(), expires: FOR_EVER, droppable: FOR_EVER };
    assert!(stranger.put_new(CacheKey(1), row).await.is_err());
    assert_eq!(index.get(CacheKey(1)).await.map(|found| found.row), Ok(None));
}

/// Who is told to replaces them, and then the others are strangers.
#[tokio::test]
async fn terms_are_replaced_on_demand() {
    let index = index();
    assert!(edge(&index, &RawDurableTier::default(), Replacing::Yes).agree().await.is_ok());
    assert!(edge(&index, &other(), Replacing::Yes).agree().await.is_ok());
    assert!(edge(&index, &other(), Replacing::No).agree().await.is_ok());
    assert!(edge(&index, &RawDurableTier::default(), Replacing::No).agree().await.is_err());
}

/// What another release wrote is neither understood nor overwritten.
#[tokio::test]
async fn terms_of_another_release_are_refused() {
    let terms = SharedTerms::of(&RawDurableTier::default());
    let good = terms.encode();
    assert_eq!(terms.compare(good.as_bytes()), Ok(()));
    let bad = ["", "tiergate l3 terms 2", &good[..good.len() - 12], &format!("{good}\nmore 1")];
    for written in bad {
        assert_eq!(terms.compare(written.as_bytes()), Err(Disagreement::Unreadable), "{written}");
    }
    assert_eq!(terms.compare(&[0xff]), Err(Disagreement::Unreadable));
}

/// An index of one process has nobody to agree with.
#[tokio::test]
async fn an_index_of_its_own_asks_nobody() {
    let index = index();
    let alone = Agreeing::alone(index.clone());
    assert!(alone.agree().await.is_ok());
    assert_eq!(index.get(key()).await.map(|found| found.row), Ok(None));
}
