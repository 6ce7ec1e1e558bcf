//! The imitated service over TCP.

use super::*;
use crate::{S3Imitation, conformance::blob_conformance};
use tokio::net::TcpListener;

/// A service and its endpoint.
pub(super) async fn serve() -> (S3Imitation, String) {
    let imitation = S3Imitation::new(BUCKET, SystemClock);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let service = imitation.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move { service.serve(stream).await });
        }
    });
    (imitation, format!("http://{address}"))
}

/// A service and a client of it.
pub(super) async fn imitated(adjust: impl FnOnce(&mut S3Options)) -> (S3Imitation, S3Blobs) {
    let (imitation, endpoint) = serve().await;
    let mut options = options(&endpoint);
    adjust(&mut options);
    (imitation, blobs(&options))
}

#[tokio::test]
async fn a_bucket_keeps_every_promise() {
    let (imitation, blobs) = imitated(|_| {}).await;
    blob_conformance(&blobs).await;
    blobs.settled().await;
    assert_eq!((imitation.objects(), imitation.uploads_under_way()), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_keeps_every_promise_on_many_threads() {
    let (imitation, blobs) = imitated(|options| options.parts_at_once = 4).await;
    blob_conformance(&crate::AnyBlobs::S3(blobs)).await;
    assert_eq!(imitation.objects(), Vec::<String>::new());
}

/// Objects of others below the prefix are no blobs, and a page of nothing but those does not end a listing.
#[tokio::test]
async fn what_others_put_there_is_passed_over() {
    let (imitation, blobs) = imitated(|_| {}).await;
    for number in 0..2_500 {
        imitation.put(&format!("tiergate/blobs/!{number:08}"), "");
    }
    for name in ["", "tiergate/blobs/x", "tiergate/blobs/0-0", "tiergate/blobsx", "other"] {
        imitation.put(name, "");
    }
    assert_eq!(store(&blobs, blob(7), &body(10)).await, Ok(()));
    assert_eq!(blobs.list(None).await, Ok(vec![blob(7)]));
    assert_eq!(blobs.list(Some(blob(7))).await, Ok(vec![]));
}
