//! What the store fails to do is a failure, and never an absence or a short body.

use super::{imitated::imitated, *};
use crate::S3Trouble;

/// It fails, in one line with these words.
#[track_caller]
fn failed<T: fmt::Debug + PartialEq>(told: Result<T, StoreError>, words: &[&str]) {
    match told {
        Err(TierError::Failed(text)) => {
            assert!(words.iter().all(|word| text.contains(word)), "no {words:?} in `{text}`");
            assert!(!text.contains('\n') && text.len() < 700, "`{text}`");
        }
        other => panic!("it was to fail: {other:?}"),
    }
}

/// Each call of a store says what is wrong and what to do.
#[tokio::test]
async fn a_store_that_refuses_or_fails_is_never_without_a_blob() {
    let (imitation, blobs) = imitated(|_| {}).await;
    assert_eq!(store(&blobs, blob(1), &body(10)).await, Ok(()));
    for (status, code, advice) in [
        (503, "SlowDown", "fewer requests"),
        (503, "ServiceUnavailable", "fewer requests"),
        (500, "InternalError", "state of the store"),
        (502, "BadGateway", "state of the store"),
        (404, "NoSuchBucket", "create the bucket"),
        (403, "AccessDenied", "ListBucket"),
        (403, "InvalidAccessKeyId", "access key"),
        (403, "SignatureDoesNotMatch", "secret key"),
        (403, "RequestTimeTooSkewed", "set the clock"),
        (400, "AuthorizationHeaderMalformed", "correct the region"),
        (301, "PermanentRedirect", "correct the region"),
        (404, "", "documentation"),
    ] {
        imitation.always(Some(S3Trouble::Refused(status, code)));
        let words = ["bucket bodies of http://127.0.0.1:", code, advice];
        failed(blobs.open(READER, blob(1)).await, &words);
        failed(blobs.open(READER, blob(2)).await, &words);
        failed(blobs.list(None).await, &words);
        failed(store(&blobs, blob(3), &body(10)).await, &words);
        failed(store(&blobs, blob(3), &body(9 << 20)).await, &words);
        failed(blobs.delete(blob(1)).await, &words);
    }
    imitation.always(None);
    blobs.settled().await;
    assert_eq!(blobs.list(None).await, Ok(vec![blob(1)]));
    assert_eq!(load(&blobs, blob(1)).await, Ok(Some(body(10).to_vec())));
}

/// A connection that ends in the middle of a body is asked for the rest of it; when nothing more comes, the
/// read fails, and the body is never taken for a shorter one.
#[tokio::test]
async fn a_body_that_breaks_off_is_no_short_body() {
    let (imitation, blobs) = imitated(|_| {}).await;
    let body = body(3 << 20);
    assert_eq!(store(&blobs, blob(1), &body).await, Ok(()));
    imitation.take_asked();
    imitation.trouble([Some(S3Trouble::CutAfter(1 << 20))]);
    assert!(load(&blobs, blob(1)).await == Ok(Some(body.to_vec())), "the rest is asked for");
    assert_eq!(imitation.take_asked().len(), 2);

    imitation.trouble([Some(S3Trouble::CutAfter(1 << 20))]);
    assert_eq!(blobs.open(READER, blob(1)).await, Ok(Some(ByteCount(3 << 20))));
    imitation.always(Some(S3Trouble::CutAfter(0)));
    failed(read(&blobs, body.len()).await, &["reading a blob"]);
    imitation.always(None);
    assert!(read(&blobs, body.len()).await == Ok(body.to_vec()), "it is asked again");
    blobs.release(READER);
}

/// A store that says nothing is given up in time, whatever it is asked.
#[tokio::test]
async fn a_silent_store_is_given_up() {
    let (imitation, blobs) = imitated(|options| options.time_max = Duration::from_millis(30)).await;
    imitation.always(Some(S3Trouble::Silent));
    let words = ["took more than 30 ms", "can be reached"];
    failed(blobs.open(READER, blob(1)).await, &words);
    failed(blobs.list(None).await, &words);
    failed(store(&blobs, blob(1), &body(10)).await, &words);
    failed(store(&blobs, blob(1), &body(9 << 20)).await, &words);
    failed(blobs.delete(blob(1)).await, &words);
    blobs.settled().await;
}

/// A body that stops coming is given up in time, and not asked for again then: the next read does that.
#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let (imitation, blobs) = imitated(|options| options.time_max = Duration::from_secs(1)).await;
    let body = body(1 << 20);
    assert_eq!(store(&blobs, blob(1), &body).await, Ok(()));
    imitation.trouble([Some(S3Trouble::SilentAfter(1 << 19))]);
    assert_eq!(blobs.open(READER, blob(1)).await, Ok(Some(ByteCount(1 << 20))));
    imitation.take_asked();
    failed(read(&blobs, body.len()).await, &["took more than 1000 ms"]);
    assert_eq!(imitation.take_asked(), Vec::<String>::new());
    assert!(read(&blobs, body.len()).await == Ok(body.to_vec()), "it is asked again by the next read");
}

/// Nobody listens.
#[tokio::test]
async fn a_store_that_is_away_is_named() {
    let bound = tokio::net::TcpSocket::new_v4().expect("a socket");
    bound.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let endpoint = format!("http://{}", bound.local_addr().expect("it is bound"));
    let blobs = blobs(&options(&endpoint));
    failed(blobs.open(READER, blob(1)).await, &[&endpoint, "refused", "can be reached"]);
}

/// A body that became an object by a request that was never answered is a failure, and the object is removed:
/// whoever uploads it again uses another name.
#[tokio::test]
async fn what_may_have_been_stored_is_removed() {
    let (imitation, blobs) = imitated(|_| {}).await;
    // The last part is well, and what joins the parts is not answered.
    let of_parts = vec![None, Some(S3Trouble::Unanswered)];
    // A PUT that was sent over an idle connection is sent once more.
    let of_one = vec![Some(S3Trouble::Unanswered); 2];
    for (length, troubles) in [(10, of_one), (9 << 20, of_parts)] {
        imitation.always(None);
        assert_eq!(send(&blobs, blob(1), &body(length)).await, Ok(()));
        // The first part is there.
        while imitation.take_asked().iter().all(|asked| !asked.contains("partNumber")) && length > 10 {
            tokio::task::yield_now().await;
        }
        imitation.trouble(troubles);
        failed(blobs.finish(WRITER, ByteCount(length as u64)).await, &["see whether"]);
        blobs.abort(WRITER);
        blobs.settled().await;
        assert_eq!((imitation.objects(), imitation.uploads_under_way()), (vec![], 0), "{length}");
        assert!(imitation.take_asked().iter().any(|asked| asked.starts_with("DELETE")), "{length}");
    }
}

/// An idle connection that the store has closed meanwhile costs nothing.
#[tokio::test]
async fn a_connection_that_was_closed_is_made_again() {
    let (imitation, blobs) = imitated(|_| {}).await;
    for number in 0..5 {
        assert_eq!(store(&blobs, blob(number), &body(10)).await, Ok(()));
        imitation.trouble([Some(S3Trouble::Lost)]);
        assert_eq!(load(&blobs, blob(number)).await, Ok(Some(body(10).to_vec())));
    }
}

/// A blob that is removed under its reader says so, and the store is well.
#[tokio::test]
async fn a_blob_that_is_removed_while_it_is_read_is_rotten() {
    let (_imitation, blobs) = imitated(|_| {}).await;
    let body = body(20 << 20);
    assert_eq!(store(&blobs, blob(1), &body).await, Ok(()));
    assert_eq!(blobs.open(READER, blob(1)).await, Ok(Some(ByteCount(20 << 20))));
    assert_eq!(blobs.delete(blob(1)).await, Ok(()));
    let read = blobs.read(READER, 10 << 20, 100).await;
    assert!(matches!(&read, Err(TierError::Rotten(why)) if why.contains("removed")), "{read:?}");
}

/// An upload takes parts up to a number, and then says so.
#[tokio::test]
async fn no_more_parts_are_sent_than_s3_takes() {
    let (_imitation, blobs) = imitated(|options| options.part_bytes = 1).await;
    assert_eq!(blobs.begin(WRITER, blob(1)).await, Ok(()));
    failed(blobs.append(WRITER, body(10_002)).await, &["10000 parts of 1 bytes at most"]);
    failed(blobs.finish(WRITER, ByteCount(10_002)).await, &["no upload is open"]);
}
