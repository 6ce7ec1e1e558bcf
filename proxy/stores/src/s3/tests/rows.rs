//! Rows in a bucket.

use super::{imitated::serve, moto::Moto, *};
use crate::{S3Imitation, S3Lack, S3Trouble, conformance::index_conformance};
use tiergate_driver::{IndexStore, Row, Written};
use tiergate_engine::{WallTime, durable::Version};

fn index(options: &S3Options) -> S3Index {
    S3Index::new(TcpConnect, SystemClock, options, 7)
}

async fn imitated() -> (S3Imitation, S3Index) {
    let (imitation, endpoint) = serve().await;
    (imitation, index(&options(&endpoint)))
}

fn row(version: u64, value: &'static str) -> Row {
    let [expires, droppable] = [2_000_000_000_000, 2_100_000_000_000].map(WallTime::from_unix_millis);
    Row { version: Version(version), value: value.into(), expires, droppable }
}

/// Many threads: the writers of the probe and of the suite are truly at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_keeps_every_promise_of_an_index() {
    let (imitation, index) = imitated().await;
    assert_eq!(index.check().await, Ok(()));
    index_conformance(&crate::AnyIndex::<TcpConnect>::S3(Arc::new(index))).await;
    assert!(imitation.objects().iter().all(|object| object.starts_with("tiergate/index/")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_bucket_keeps_every_promise_of_an_index() {
    let moto = Moto::start();
    let index = index(&options(&moto.endpoint()));
    assert_eq!(index.check().await, Ok(()));
    index_conformance(&index).await;
}

/// A bucket that ignores a condition is refused, with what it did, and never used.
#[tokio::test]
async fn a_bucket_that_ignores_conditions_is_no_index() {
    for (lack, words) in [
        (S3Lack::PutIfNone, "If-None-Match: *, 24 were told that they won"),
        (S3Lack::PutIfMatch, "the same If-Match, 24 were told that they won"),
        (S3Lack::DeleteIfMatch, "deletes what has another tag"),
    ] {
        let (imitation, index) = imitated().await;
        imitation.lacks(lack);
        let Err(S3IndexError::Unsuited(why)) = index.check().await else {
            panic!("{lack:?} was not noticed")
        };
        assert!(why.contains(words) && why.contains("choose another index"), "{why}");
        assert_eq!(imitation.objects(), Vec::<String>::new(), "the probe leaves nothing");
        imitation.take_asked();
        assert_eq!(index.put_new(CacheKey(1), row(1, "")).await, Err(TierError::Failed(why.clone())));
        assert_eq!(index.get(CacheKey(1)).await, Err(TierError::Failed(why)));
        assert_eq!(imitation.take_asked(), Vec::<String>::new());
    }
}

/// A bucket that is away is tried again by who needs it, once it is back, and not for ever.
#[tokio::test]
async fn a_bucket_that_is_away_is_tried_again() {
    let (imitation, index) = imitated().await;
    imitation.always(Some(S3Trouble::Refused(503, "SlowDown")));
    assert!(matches!(index.check().await, Err(S3IndexError::Unreached(_))));
    let told = index.get(CacheKey(1)).await;
    assert!(matches!(&told, Err(TierError::Failed(why)) if why.contains("SlowDown")), "{told:?}");
    imitation.always(None);
    assert!(matches!(index.put_new(CacheKey(1), row(1, "one")).await, Ok(Written::Done { .. })));
    imitation.take_asked();
    assert_eq!(index.get(CacheKey(1)).await.map(|found| found.row), Ok(Some(row(1, "one"))));
    assert_eq!(imitation.take_asked().len(), 1);
}

/// A failure is no answer: neither that there is no row, nor that a condition did not hold.
#[tokio::test]
async fn a_failure_is_neither_an_absence_nor_a_refusal() {
    let (imitation, index) = imitated().await;
    assert!(matches!(index.put_new(CacheKey(1), row(1, "one")).await, Ok(Written::Done { .. })));
    for trouble in [
        S3Trouble::Refused(503, "SlowDown"),
        S3Trouble::Refused(500, "InternalError"),
        S3Trouble::Refused(404, "NoSuchBucket"),
        S3Trouble::Refused(403, "AccessDenied"),
        S3Trouble::Lost,
        S3Trouble::Unanswered,
    ] {
        imitation.always(Some(trouble));
        assert!(index.get(CacheKey(1)).await.is_err(), "{trouble:?}");
        assert!(index.put_new(CacheKey(2), row(1, "two")).await.is_err(), "{trouble:?}");
        assert!(index.cas_update(CacheKey(1), Version(1), row(2, "two")).await.is_err(), "{trouble:?}");
    }
    imitation.always(None);
    assert_eq!(index.get(CacheKey(1)).await.map(|found| found.row), Ok(Some(row(1, "one"))));
}

/// A write that was carried out and not answered over a connection that had been idle is not sent again: it
/// would be refused by its own first sending.
#[tokio::test]
async fn a_conditional_write_is_sent_once() {
    let (imitation, index) = imitated().await;
    assert_eq!(index.get(CacheKey(1)).await.map(|found| found.row), Ok(None));
    imitation.take_asked();
    imitation.trouble([Some(S3Trouble::Unanswered)]);
    assert!(index.put_new(CacheKey(1), row(1, "one")).await.is_err());
    assert_eq!(imitation.take_asked().len(), 1);
    assert_eq!(index.get(CacheKey(1)).await.map(|found| found.row), Ok(Some(row(1, "one"))));
}

/// An object that is no row of ours is neither read nor overwritten.
#[tokio::test]
async fn what_is_no_row_is_left_alone() {
    let (imitation, index) = imitated().await;
    let object = format!("tiergate/index/{:032x}", 1);
    for body in [
        "",
        "short",
        "tgrow\0\0\u{2}and far more than thirty-two bytes of it",
        "another's, and long enough for a row",
    ] {
        imitation.put(&object, body);
        let told = index.get(CacheKey(1)).await;
        assert!(matches!(&told, Err(TierError::Failed(why)) if why.contains("no row")), "{told:?}");
        assert!(index.cas_update(CacheKey(1), Version(1), row(2, "")).await.is_err());
        assert_eq!(index.put_new(CacheKey(1), row(1, "")).await, Ok(Written::Refused));
    }
}

/// What a lookup and a publication cost.
#[tokio::test]
async fn requests_are_few() {
    let (imitation, index) = imitated().await;
    assert_eq!(index.check().await, Ok(()));
    let cost = async |what: &str, wanted: &[&str]| {
        let asked: Vec<String> = imitation.take_asked();
        let methods: Vec<&str> = asked.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(methods, wanted, "{what}");
    };
    imitation.take_asked();
    index.get(CacheKey(1)).await.expect("it is well");
    cost("a lookup", &["GET"]).await;
    index.put_new(CacheKey(1), row(1, "one")).await.expect("it is well");
    cost("a new row", &["PUT"]).await;
    index.cas_update(CacheKey(1), Version(1), row(2, "two")).await.expect("it is well");
    cost("another version", &["PUT"]).await;
    index.cas_update(CacheKey(1), Version(1), row(2, "two")).await.expect("it is well");
    cost("another version that is refused", &["GET"]).await;
    index.cas_update(CacheKey(1), Version(2), row(3, "three")).await.expect("it is well");
    cost("a version that was just read", &["PUT"]).await;
    index.touch(CacheKey(1), Version(3), WallTime::default(), WallTime::default()).await.expect("it is well");
    cost("a touch that moves nothing", &["GET"]).await;
}

/// What is remembered of a row never decides: who has read a row that another changed since is refused, and
/// who has read one that another only touched replaces it.
#[tokio::test]
async fn another_clients_change_is_noticed() {
    let (_imitation, endpoint) = serve().await;
    let [one, two] = [(); 2].map(|()| index(&options(&endpoint)));
    assert!(matches!(one.put_new(CacheKey(1), row(1, "one")).await, Ok(Written::Done { .. })));
    assert!(matches!(two.cas_update(CacheKey(1), Version(1), row(2, "two")).await, Ok(Written::Done { .. })));
    assert_eq!(one.cas_update(CacheKey(1), Version(1), row(2, "other")).await, Ok(Written::Refused));
    assert_eq!(one.get(CacheKey(1)).await.map(|found| found.row), Ok(Some(row(2, "two"))));
    let later = WallTime::from_unix_millis(2_200_000_000_000);
    assert_eq!(two.touch(CacheKey(1), Version(2), later, later).await, Ok(()));
    assert!(matches!(
        one.cas_update(CacheKey(1), Version(2), row(3, "three")).await,
        Ok(Written::Done { .. })
    ));
    assert_eq!(two.get(CacheKey(1)).await.map(|found| found.row), Ok(Some(row(3, "three"))));
}
