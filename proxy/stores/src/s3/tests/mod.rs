//! The bucket, on an imitated service and on a real server.

mod encrypted;
mod faults;
mod imitated;
mod moto;
mod on_moto;
mod requests;
mod rows;

use super::*;
use crate::SystemClock;
use tiergate_tiers::TcpConnect;

const WRITER: Handle<WriterId> = Handle { shard: 0, id: WriterId(1) };
const READER: Handle<RecordId> = Handle { shard: 0, id: RecordId(1) };
const BUCKET: &str = "bodies";

fn credentials() -> S3Credentials {
    let (access_key_id, secret_access_key) = ("AKIATEST".to_owned(), "a secret of tests".to_owned());
    S3Credentials { access_key_id, secret_access_key, session_token: None }
}

fn options(endpoint: &str) -> S3Options {
    S3Options::new(BUCKET, "us-east-1", Some(endpoint), credentials())
}

fn blobs(options: &S3Options) -> S3Blobs {
    S3Blobs::new(TcpConnect, SystemClock, options)
}

fn blob(number: u128) -> BlobName {
    BlobName { key: CacheKey(number << 64), name: RecordName(number) }
}

/// Bytes in which no two places are alike.
fn body(length: usize) -> Bytes {
    let words = (0_u64..).flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    words.take(length).collect()
}

async fn send(blobs: &S3Blobs, blob: BlobName, body: &Bytes) -> Result<(), StoreError> {
    blobs.begin(WRITER, blob).await?;
    for begin in (0..body.len()).step_by(100_000) {
        let end = body.len().min(begin + 100_000);
        blobs.append(WRITER, body.slice(begin..end)).await?;
    }
    Ok(())
}

async fn store(blobs: &S3Blobs, blob: BlobName, body: &Bytes) -> Result<(), StoreError> {
    send(blobs, blob, body).await?;
    let finished = blobs.finish(WRITER, ByteCount(body.len() as u64)).await;
    blobs.abort(WRITER);
    finished
}

/// What is open under `READER`, from byte 0 on.
async fn read(blobs: &S3Blobs, length: usize) -> Result<Vec<u8>, StoreError> {
    let mut read = Vec::new();
    while read.len() < length {
        read.extend_from_slice(&blobs.read(READER, read.len() as u64, 64 << 10).await?);
    }
    Ok(read)
}

/// Opens it and reads it to its end; `None` if there is none.
async fn load(blobs: &S3Blobs, blob: BlobName) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(length) = blobs.open(READER, blob).await? else { return Ok(None) };
    let body = read(blobs, usize::try_from(length.0).expect("it fits the memory")).await;
    blobs.release(READER);
    body.map(Some)
}
