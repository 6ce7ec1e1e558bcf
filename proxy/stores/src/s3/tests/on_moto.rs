//! A real server.

use super::{moto::Moto, *};
use crate::conformance::blob_conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_bucket_keeps_every_promise() {
    let moto = Moto::start();
    let blobs = blobs(&options(&moto.endpoint()));
    blob_conformance(&blobs).await;
    blobs.settled().await;
    assert_eq!(blobs.list(None).await, Ok(vec![]));
}

/// A key that the store does not know, a secret that is not the key's, and a bucket that is not there are
/// failures, each with its own advice; no blob is absent by them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_told() {
    let (moto, key) = Moto::start_locked();
    let right = S3Options { credentials: key.clone(), ..options(&moto.endpoint()) };
    let blobs = blobs(&right);
    assert_eq!(store(&blobs, blob(1), &body(9 << 20)).await, Ok(()));
    assert_eq!(load(&blobs, blob(1)).await, Ok(Some(body(9 << 20).to_vec())));
    let of = |access_key_id: &str, secret: &str, bucket: &str| {
        let (access_key_id, secret_access_key) = (access_key_id.to_owned(), secret.to_owned());
        let credentials = S3Credentials { access_key_id, secret_access_key, session_token: None };
        S3Options { credentials, bucket: bucket.to_owned(), ..right.clone() }
    };
    for (options, advice) in [
        (of(&key.access_key_id, "another secret", BUCKET), "correct the secret key"),
        (of("AKIANOBODYHASTHIS000", &key.secret_access_key, BUCKET), "access key is right"),
        (of(&key.access_key_id, &key.secret_access_key, "nowhere"), "create the bucket"),
    ] {
        let blobs = super::blobs(&options);
        for told in [
            blobs.open(READER, blob(1)).await.map(drop),
            blobs.open(READER, blob(2)).await.map(drop),
            blobs.list(None).await.map(drop),
            store(&blobs, blob(3), &body(10)).await,
        ] {
            let Err(TierError::Failed(text)) = told else { panic!("{advice}: {told:?}") };
            assert!(text.contains(advice), "no `{advice}` in `{text}`");
        }
    }
}
