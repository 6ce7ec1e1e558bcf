//! Blobs in a bucket of a service that speaks S3, through Amazon's own SDK.
//!
//! ```text
//! <prefix>blobs/<key>-<name>     one object for each blob, 32 hex digits each, so that S3 lists them in
//! order
//! ```
//!
//! The SDK signs and parses; how it is used is ours. It does not retry, for the engine does. It reaches the
//! store through [`Connect`], so a simulator may stand in its place, and tells the time by a [`WallClock`].
//! Each request and each piece of a body has a time limit. What the store does not answer, refuses or breaks
//! off is a failure, and never an absence. No credentials are looked for here: whoever opens a store has
//! them. Start at [`S3Blobs`].

mod download;
mod failure;
mod index;
mod service;
#[cfg(test)]
mod tests;
mod transport;
mod upload;

pub use index::{S3Index, S3IndexError};

use crate::WallClock;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use bytes::Bytes;
use download::Download;
use service::Service;
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tiergate_driver::{BlobStore, Handle, StoreError, TierError};
use tiergate_engine::{ByteCount, CacheKey, RecordId, RecordName, WriterId, durable::BlobName};
use tiergate_tiers::Connect;
use tokio_rustls::rustls::ClientConfig;
use upload::{Cut, Upload};

/// Pages of one listing that hold nothing but objects of others.
const FOREIGN_PAGES_MAX: usize = 16;

/// How a bucket is reached and used.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket. It must exist.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// `http://` or `https://`, host, port. Default: Amazon's own for the region.
    pub endpoint: Option<String>,
    /// Where the bucket is named.
    pub addressing: S3Addressing,
    /// What the names of all objects begin with. Nobody else writes below it.
    pub prefix: String,
    /// Who asks.
    pub credentials: S3Credentials,
    /// Whose certificates are trusted. Needed for an endpoint of `https`, and for Amazon's own.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long each request may take to the head of its response, with the connection that it needs, and
    /// each piece of a body after it. Default 20 s, in which a part must be sent.
    pub time_max: Duration,
    /// Bytes of a part, and of what one GET asks for first. Default 8 MiB. S3 takes no less than 5 MiB.
    pub part_bytes: usize,
    /// Parts of one upload that are sent at once. Default 2. One more is held in memory.
    pub parts_at_once: usize,
}

/// Where requests name the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Addressing {
    /// In the path. Every service takes it.
    Path,
    /// In the name of the host.
    Host,
}

/// Keys that do not change while the process runs.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    /// Names the key. No secret.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// What temporary credentials bring along.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl S3Options {
    /// With defaults: addressed in the path if there is an `endpoint`, below `tiergate/`.
    pub fn new(bucket: &str, region: &str, endpoint: Option<&str>, credentials: S3Credentials) -> Self {
        Self {
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            addressing: if endpoint.is_some() { S3Addressing::Path } else { S3Addressing::Host },
            prefix: "tiergate/".to_owned(),
            credentials,
            tls: None,
            time_max: Duration::from_secs(20),
            part_bytes: 8 << 20,
            parts_at_once: 2,
        }
    }
}

/// Blobs in a bucket, of all processes that reach it. Nothing is asked before the first call.
///
/// A process that ends in the middle of an upload in parts leaves those in the bucket, invisible and paid
/// for. Let a lifecycle rule of the bucket (`AbortIncompleteMultipartUpload`) remove them after a day.
pub struct S3Blobs {
    service: Arc<Service>,
    cut: Cut,
    open: Mutex<BTreeMap<Handle<RecordId>, Arc<Download>>>,
    uploads: Mutex<BTreeMap<Handle<WriterId>, Arc<Upload>>>,
}

impl fmt::Debug for S3Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Blobs").finish_non_exhaustive()
    }
}

impl S3Blobs {
    /// Connects when it is asked first.
    ///
    /// # Panics
    /// A part has no bytes, or none may be sent.
    pub fn new<C: Connect>(connector: C, clock: impl WallClock, options: &S3Options) -> Self {
        let cut = Cut { part_bytes: options.part_bytes, parts_at_once: options.parts_at_once };
        assert!(cut.part_bytes > 0 && cut.parts_at_once > 0, "nothing could be sent by {cut:?}");
        let service = Arc::new(Service::new(connector, clock, options));
        Self { service, cut, open: Mutex::default(), uploads: Mutex::default() }
    }

    /// Says whether the bucket can be listed, and if it cannot, why and what to do.
    pub fn probe(&self) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let (service, folder) = (Arc::clone(&self.service), self.folder());
        async move {
            let list = service.client.list_objects_v2().bucket(&service.bucket);
            let list = list.prefix(folder).max_keys(1);
            Ok(service.call("listing blobs", list.send()).await.map(drop)?)
        }
    }

    /// Returns once everything that calls to `abort` started has ended.
    pub async fn settled(&self) {
        self.service.settled().await;
    }

    /// What the names of all blobs begin with.
    fn folder(&self) -> String {
        format!("{}blobs/", self.service.prefix)
    }

    fn object(&self, BlobName { key, name }: BlobName) -> String {
        format!("{}{:032x}-{:032x}", self.folder(), key.0, name.0)
    }

    fn upload(&self, handle: Handle<WriterId>) -> Result<Arc<Upload>, StoreError> {
        locked(&self.uploads).get(&handle).cloned().ok_or_else(|| not_open("upload"))
    }

    async fn page(&self, folder: &str, after: String) -> Result<ListObjectsV2Output, StoreError> {
        let list = self.service.client.list_objects_v2().bucket(&self.service.bucket);
        let list = list.prefix(folder).start_after(after);
        Ok(self.service.call("listing blobs", list.send()).await?)
    }
}

impl BlobStore for S3Blobs {
    async fn open(&self, handle: Handle<RecordId>, blob: BlobName) -> Result<Option<ByteCount>, StoreError> {
        let window = self.cut.part_bytes as u64;
        let opened = Download::open(&self.service, self.object(blob), window).await?;
        let Some(opened) = opened else { return Ok(None) };
        let length = ByteCount(opened.length());
        locked(&self.open).insert(handle, Arc::new(opened));
        Ok(Some(length))
    }

    async fn read(
        &self,
        handle: Handle<RecordId>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, StoreError> {
        let opened = locked(&self.open).get(&handle).cloned().ok_or_else(|| not_open("blob"))?;
        opened.read(offset, length_max).await
    }

    fn release(&self, handle: Handle<RecordId>) {
        locked(&self.open).remove(&handle);
    }

    async fn begin(&self, handle: Handle<WriterId>, blob: BlobName) -> Result<(), StoreError> {
        let upload = Upload::new(&self.service, self.object(blob), self.cut);
        locked(&self.uploads).insert(handle, Arc::new(upload));
        Ok(())
    }

    async fn append(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), StoreError> {
        self.upload(handle)?.append(chunk).await
    }

    async fn finish(&self, handle: Handle<WriterId>, length: ByteCount) -> Result<(), StoreError> {
        self.upload(handle)?.finish(length).await
    }

    fn abort(&self, handle: Handle<WriterId>) {
        let upload = locked(&self.uploads).remove(&handle);
        if let Some(upload) = upload {
            upload.close();
        }
    }

    async fn delete(&self, blob: BlobName) -> Result<(), StoreError> {
        let delete = self.service.client.delete_object().bucket(&self.service.bucket).key(self.object(blob));
        match self.service.call("removing a blob", delete.send()).await {
            Err(failure) if !failure.is_absent() => Err(failure.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Objects of others below the prefix are passed over.
    async fn list(&self, after: Option<BlobName>) -> Result<Vec<BlobName>, StoreError> {
        let folder = self.folder();
        let mut begin = after.map_or_else(|| folder.clone(), |after| self.object(after));
        for _ in 0..FOREIGN_PAGES_MAX {
            let page = self.page(&folder, begin).await?;
            let objects: Vec<&str> = page.contents().iter().filter_map(|object| object.key()).collect();
            let ours = objects.iter().filter_map(|object| blob_name(object.strip_prefix(&folder)?));
            let blobs: Vec<BlobName> = ours.collect();
            match objects.last() {
                Some(last) if blobs.is_empty() && page.is_truncated() == Some(true) => {
                    begin = (*last).to_owned();
                }
                Some(_) | None => return Ok(blobs),
            }
        }
        let why = format!(
            "{folder} holds too many objects that are no blobs: remove them, or choose another prefix"
        );
        Err(TierError::Failed(why))
    }
}

/// The blob that an object is called after.
fn blob_name(text: &str) -> Option<BlobName> {
    let number = |hex: &str| {
        let is_ours = hex.len() == 32 && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        is_ours.then(|| u128::from_str_radix(hex, 16).ok()).flatten()
    };
    let (key, name) = text.split_once('-')?;
    Some(BlobName { key: CacheKey(number(key)?), name: RecordName(number(name)?) })
}

fn not_open(what: &str) -> StoreError {
    TierError::Failed(format!("no {what} is open under this handle"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
