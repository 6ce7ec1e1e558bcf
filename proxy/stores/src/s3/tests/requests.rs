//! How many requests things cost, and what they carry.

use super::{imitated::imitated, *};

/// Method, whether it is about parts, and the range.
fn kinds(asked: &[String]) -> Vec<String> {
    let kind = |line: &String| {
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let range = words.next().map(|range| format!(" {range}")).unwrap_or_default();
        let about = match target {
            _ if target.contains("uploads") => " begin",
            _ if target.contains("partNumber") => " part",
            _ if target.contains("uploadId") => " parts",
            _ => "",
        };
        format!("{method}{about}{range}")
    };
    asked.iter().map(kind).collect()
}

/// One PUT and one GET for what fits a part.
#[tokio::test]
async fn a_small_body_costs_one_request_each_way() {
    let (imitation, blobs) = imitated(|_| {}).await;
    for length in [1, 1_000, 8 << 20] {
        let body = body(length);
        assert_eq!(store(&blobs, blob(1), &body).await, Ok(()));
        blobs.settled().await;
        assert_eq!(kinds(&imitation.take_asked()), ["PUT"], "{length}");
        assert!(load(&blobs, blob(1)).await == Ok(Some(body.to_vec())));
        assert_eq!(kinds(&imitation.take_asked()), ["GET bytes=0-8388607"], "{length}");
    }
}

/// An empty body has no first byte, and costs one request more.
#[tokio::test]
async fn an_empty_body_costs_two_requests_to_read() {
    let (imitation, blobs) = imitated(|_| {}).await;
    assert_eq!(store(&blobs, blob(1), &Bytes::new()).await, Ok(()));
    assert_eq!(load(&blobs, blob(1)).await, Ok(Some(Vec::new())));
    assert_eq!(kinds(&imitation.take_asked()), ["PUT", "GET bytes=0-8388607", "HEAD"]);
}

/// Two requests beside one for each part; two to read it, however long it is.
#[tokio::test]
async fn a_large_body_costs_a_request_for_each_part() {
    let (imitation, blobs) = imitated(|_| {}).await;
    let body = body((20 << 20) + 5);
    assert_eq!(store(&blobs, blob(1), &body).await, Ok(()));
    blobs.settled().await;
    let mut asked = kinds(&imitation.take_asked());
    asked[1..4].sort();
    assert_eq!(asked, ["POST begin", "PUT part", "PUT part", "PUT part", "POST parts"]);
    assert!(load(&blobs, blob(1)).await == Ok(Some(body.to_vec())));
    assert_eq!(kinds(&imitation.take_asked()), ["GET bytes=0-8388607", "GET bytes=8388608-20971524"]);
}

/// Who begins in the middle is sent a window from there, and then the rest.
#[tokio::test]
async fn a_range_costs_a_request_where_it_begins() {
    let (imitation, blobs) = imitated(|_| {}).await;
    let body = body(30 << 20);
    assert_eq!(store(&blobs, blob(1), &body).await, Ok(()));
    imitation.take_asked();
    assert_eq!(blobs.open(READER, blob(1)).await, Ok(Some(ByteCount(30 << 20))));
    let mut at = 10 << 20;
    while at < body.len() {
        let piece = blobs.read(READER, at as u64, 1 << 20).await.expect("it is there");
        assert!(body[at..].starts_with(&piece), "other bytes at {at}");
        at += piece.len();
    }
    blobs.release(READER);
    let asked = kinds(&imitation.take_asked());
    assert_eq!(asked, ["GET bytes=0-8388607", "GET bytes=10485760-18874367", "GET bytes=18874368-31457279"]);
}

/// An upload that is called off leaves neither parts nor an object, wherever it is.
#[tokio::test]
async fn an_upload_that_is_called_off_leaves_no_parts() {
    let (imitation, blobs) = imitated(|_| {}).await;
    for length in [0, 1_000, 9 << 20, 40 << 20] {
        assert_eq!(send(&blobs, blob(1), &body(length)).await, Ok(()));
        let is_in_parts = length > 8 << 20;
        assert_eq!(imitation.uploads_under_way(), usize::from(is_in_parts), "{length}");
        blobs.abort(WRITER);
        blobs.settled().await;
        assert_eq!((imitation.objects(), imitation.uploads_under_way()), (vec![], 0), "{length}");
    }
    // Also while its caller has left in the middle of a call.
    assert_eq!(send(&blobs, blob(1), &body(9 << 20)).await, Ok(()));
    drop(tokio::time::timeout(Duration::ZERO, blobs.append(WRITER, body(30 << 20))).await);
    blobs.abort(WRITER);
    blobs.settled().await;
    assert_eq!((imitation.objects(), imitation.uploads_under_way()), (vec![], 0));
}

/// No more connections are made than are in use at once.
#[tokio::test]
async fn connections_are_used_again() {
    let (imitation, blobs) = imitated(|_| {}).await;
    for number in 0..20 {
        assert_eq!(store(&blobs, blob(number), &body(100)).await, Ok(()));
        assert!(load(&blobs, blob(number)).await.is_ok_and(|read| read.is_some()));
    }
    assert_eq!(imitation.connections(), 1);
}
