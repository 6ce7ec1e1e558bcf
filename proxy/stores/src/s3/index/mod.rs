//! Rows in a bucket, changed by conditional requests.
//!
//! ```text
//! <prefix>index/<key>     one object for each row: its version, its two times, its value
//! ```
//!
//! A row is replaced by who names the tag (`ETag`) under which it was read, and put where there is none
//! (`If-None-Match: *`). Many services that speak S3 ignore such conditions, or look at them and then
//! overwrite all the same; rows there would be lost without anybody hearing of it. So a bucket is tried
//! before it is used: see `probe`. The clock is the `Date` of the responses, in whole seconds. Nothing here
//! drops rows by itself: a lifecycle rule of the bucket may. Start at [`S3Index`].

mod probe;
mod row;

use super::{S3Options, failure::Failure, locked, service::Service};
use crate::WallClock;
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
    primitives::{ByteStream, DateTime, DateTimeFormat},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tiergate_driver::{FeedPage, FoundRow, IndexStore, PurgeFeed, Row, StoreError, TierError, Written};
use tiergate_engine::{
    CacheKey, WallTime,
    durable::Version,
    feed::{FeedOrigin, Notice, Sequence, Ticket},
};
use tiergate_tiers::Connect;
use tokio::sync::OnceCell;

/// A row that changes under its reader so often is changed by somebody who does nothing else.
const ATTEMPTS_MAX: usize = 8;

/// Rows whose tags are remembered: who looks a row up is soon to replace it, and need not read it once more.
const TAGS_MAX: usize = 1_024;

/// An index in a bucket, of all processes that reach it. It keeps no purge feed.
pub struct S3Index {
    service: Arc<Service>,
    /// What was told last, in milliseconds: a service has many clocks.
    told: AtomicU64,
    /// What came of the probe; empty until the bucket was reached.
    suited: OnceCell<Result<(), String>>,
    /// Names the objects of the probe.
    chance: u128,
    /// Of rows that were read or written here, with their versions. Somebody else may have changed them
    /// since.
    tags: Mutex<BTreeMap<CacheKey, (Version, String)>>,
}

/// Why a bucket is no index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3IndexError {
    /// It does not keep conditions, and never will: choose another service, or another index.
    Unsuited(String),
    /// It could not be asked: it may be, later.
    Unreached(StoreError),
}

impl fmt::Display for S3IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsuited(why) => f.write_str(why),
            Self::Unreached(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for S3IndexError {}

impl fmt::Debug for S3Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Index").finish_non_exhaustive()
    }
}

/// A row as it lies in the bucket.
struct Found {
    row: Row,
    tag: String,
}

impl S3Index {
    /// Connects when it is asked first. `chance` is a number that no other process draws.
    pub fn new<C: Connect>(connector: C, clock: impl WallClock, options: &S3Options, chance: u128) -> Self {
        let service = Arc::new(Service::new(connector, clock, options));
        Self { service, told: AtomicU64::new(0), suited: OnceCell::new(), chance, tags: Mutex::default() }
    }

    /// Tries whether the bucket keeps conditions, if nobody has yet. All else does so first, too.
    ///
    /// # Errors
    /// It does not, or could not be asked.
    pub async fn check(&self) -> Result<(), S3IndexError> {
        let tried = self.suited.get_or_try_init(|| probe::try_bucket(&self.service, self.chance)).await;
        match tried {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(S3IndexError::Unsuited(why.clone())),
            Err(failure) => Err(S3IndexError::Unreached(failure.into())),
        }
    }

    async fn suited(&self) -> Result<(), StoreError> {
        self.check().await.map_err(|error| match error {
            S3IndexError::Unsuited(why) => TierError::Failed(why),
            S3IndexError::Unreached(error) => error,
        })
    }

    fn object(&self, key: CacheKey) -> String {
        format!("{}index/{:032x}", self.service.prefix, key.0)
    }

    /// The store's clock, as this client tells it: never back.
    fn now(&self, stamp: &Stamp, doing: &str) -> Result<WallTime, Failure> {
        let date = locked(&stamp.0).take();
        let date = date.ok_or_else(|| self.service.strange(doing, "no Date"))?;
        let before = self.told.fetch_max(date.as_unix_millis(), Ordering::Relaxed);
        Ok(date.max(WallTime::from_unix_millis(before)))
    }

    async fn read(&self, key: CacheKey) -> Result<(Option<Found>, WallTime), Failure> {
        let doing = "reading a row";
        let (service, stamp) = (&self.service, Stamp::default());
        let get = service.client.get_object().bucket(&service.bucket).key(self.object(key));
        let output = match service.call(doing, get.customize().interceptor(stamp.clone()).send()).await {
            Ok(output) => output,
            Err(failure) if failure.is_absent() => return Ok((None, self.now(&stamp, doing)?)),
            Err(failure) => return Err(failure),
        };
        let now = self.now(&stamp, doing)?;
        let tag = output.e_tag.ok_or_else(|| service.strange(doing, "no ETag"))?;
        if output.content_length.is_none_or(|length| length > row::BYTES_MAX) {
            return Err(service.strange(doing, "more bytes than a row has"));
        }
        let body = service.in_time(doing, output.body.collect()).await?;
        let body =
            body.map_err(|error| service.strange(doing, &format!("a body that broke off ({error})")))?;
        let row = row::decode(body.into_bytes());
        let row = row.ok_or_else(|| service.strange(doing, "what is no row that this build reads"))?;
        self.remember(key, row.version, tag.clone());
        Ok((Some(Found { row, tag }), now))
    }

    fn remember(&self, key: CacheKey, version: Version, tag: String) {
        let mut tags = locked(&self.tags);
        if TAGS_MAX <= tags.len() {
            tags.pop_first();
        }
        tags.insert(key, (version, tag));
    }

    /// The tag under which this version of the row was here last. Once: whoever uses it will know a newer
    /// one.
    fn recall(&self, key: CacheKey, version: Version) -> Option<String> {
        let recalled = locked(&self.tags).remove(&key);
        recalled.filter(|(of, _)| *of == version).map(|(_, tag)| tag)
    }

    /// Writes where the object has this tag, or where there is none.
    async fn write(&self, key: CacheKey, tag: Option<String>, row: &Row) -> Result<Written, Failure> {
        let doing = "writing a row";
        let (service, stamp) = (&self.service, Stamp::default());
        let put = service.client.put_object().bucket(&service.bucket).key(self.object(key));
        let put = match tag {
            Some(tag) => put.if_match(tag),
            None => put.if_none_match("*"),
        };
        let put = put.body(ByteStream::from(row::encode(row)));
        match service.call(doing, put.customize().interceptor(stamp.clone()).send()).await {
            Ok(output) => {
                if let Some(tag) = output.e_tag {
                    self.remember(key, row.version, tag);
                }
                Ok(Written::Done { now: self.now(&stamp, doing)? })
            }
            Err(failure) if failure.is_condition() => Ok(Written::Refused),
            // There is no object any more that could have the tag.
            Err(failure) if failure.is_absent() => Ok(Written::Refused),
            Err(failure) => Err(failure),
        }
    }

    fn too_busy(&self, key: CacheKey) -> StoreError {
        self.service
            .refused(&format!("the row of {key} changed {ATTEMPTS_MAX} times while it was changed"))
            .into()
    }
}

impl IndexStore for S3Index {
    async fn get(&self, key: CacheKey) -> Result<FoundRow, StoreError> {
        self.suited().await?;
        let (found, now) = self.read(key).await?;
        Ok(FoundRow { row: found.map(|found| found.row), now })
    }

    async fn put_new(&self, key: CacheKey, row: Row) -> Result<Written, StoreError> {
        self.suited().await?;
        Ok(self.write(key, None, &row).await?)
    }

    /// A touch gives the row another tag, and leaves its version: then it is read again.
    async fn cas_update(&self, key: CacheKey, expected: Version, row: Row) -> Result<Written, StoreError> {
        self.suited().await?;
        if let Some(tag) = self.recall(key, expected)
            && let done @ Written::Done { .. } = self.write(key, Some(tag), &row).await?
        {
            return Ok(done);
        }
        for _ in 0..ATTEMPTS_MAX {
            let (found, _) = self.read(key).await?;
            let Some(found) = found.filter(|found| found.row.version == expected) else {
                return Ok(Written::Refused);
            };
            if let done @ Written::Done { .. } = self.write(key, Some(found.tag), &row).await? {
                return Ok(done);
            }
        }
        Err(self.too_busy(key))
    }

    async fn touch(
        &self,
        key: CacheKey,
        version: Version,
        expires: WallTime,
        droppable: WallTime,
    ) -> Result<(), StoreError> {
        self.suited().await?;
        for _ in 0..ATTEMPTS_MAX {
            let (found, _) = self.read(key).await?;
            let Some(Found { row, tag }) = found.filter(|found| found.row.version == version) else {
                return Ok(());
            };
            let moved = Row {
                expires: row.expires.max(expires),
                droppable: row.droppable.max(droppable),
                ..row.clone()
            };
            if moved == row {
                return Ok(());
            }
            if let Written::Done { .. } = self.write(key, Some(tag), &moved).await? {
                return Ok(());
            }
        }
        Err(self.too_busy(key))
    }

    async fn delete(&self, key: CacheKey, version: Version) -> Result<(), StoreError> {
        self.suited().await?;
        let service = &self.service;
        for _ in 0..ATTEMPTS_MAX {
            let (found, now) = self.read(key).await?;
            let found = found.filter(|found| found.row.version == version && found.row.droppable <= now);
            let Some(found) = found else { return Ok(()) };
            let delete = service.client.delete_object().bucket(&service.bucket).key(self.object(key));
            match service.call("removing a row", delete.if_match(found.tag).send()).await {
                Ok(_) => return Ok(()),
                Err(failure) if failure.is_absent() => return Ok(()),
                Err(failure) if failure.is_condition() => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(self.too_busy(key))
    }
}

/// A bucket tells nobody of what was appended, and orders nothing: the feed has its own place.
impl PurgeFeed for S3Index {
    async fn append(&self, _: FeedOrigin, _: Ticket, _: Notice) -> Result<Sequence, StoreError> {
        Err(self.no_feed())
    }

    async fn read(&self, _: Sequence) -> Result<FeedPage, StoreError> {
        Err(self.no_feed())
    }
}

impl S3Index {
    fn no_feed(&self) -> StoreError {
        self.service.refused("it keeps no purge feed: name another place for that").into()
    }
}

/// When a response was sent, by its `Date`.
#[derive(Clone, Debug, Default)]
struct Stamp(Arc<Mutex<Option<WallTime>>>);

impl Intercept for Stamp {
    fn name(&self) -> &'static str {
        "Stamp"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let seconds = date.and_then(|date| u64::try_from(date.secs()).ok());
        let time = seconds.map(|seconds| WallTime::from_unix_millis(seconds.saturating_mul(1_000)));
        *locked(&self.0) = time;
        Ok(())
    }
}
