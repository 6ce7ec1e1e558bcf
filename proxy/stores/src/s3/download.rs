//! One blob under its readers.
//!
//! Opening it is the first `GET`, of a window from its beginning: a small blob costs one request. Who reads
//! on behind the window is sent all the rest by one more, as slowly as it reads. Who begins elsewhere is sent
//! a window from there.

use super::{failure::Failure, service::Service};
use aws_sdk_s3::{operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use std::{
    future::poll_fn,
    ops::Range,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};
use tiergate_driver::{StoreError, TierError};

/// Bytes of one read: what is read at once is held in memory for a client that may be slow.
const READ_BYTES_MAX: u64 = 256 << 10;

const READING: &str = "reading a blob";

/// A blob that was found.
pub(super) struct Download {
    service: Arc<Service>,
    object: String,
    length: u64,
    window: u64,
    /// The body on its way. A read that is beside another, or elsewhere, asks for one of its own.
    incoming: Mutex<Option<Incoming>>,
}

/// A body on its way, of so many bytes from so many on.
struct Incoming {
    body: ByteStream,
    /// What came of it and was more than its reader wanted.
    kept: Bytes,
    rest: Range<u64>,
}

impl Download {
    /// `None` if the store is sure that there is none.
    pub(super) async fn open(
        service: &Arc<Service>,
        object: String,
        window: u64,
    ) -> Result<Option<Self>, StoreError> {
        let found = match ask(service, &object, 0..window).await {
            Ok(output) => Some(Incoming::new(service, output, 0..window)?),
            // There is no first byte, so it is empty, or was: ask for its length.
            Err(failure) if failure.is_no_range() => None,
            Err(failure) if failure.is_absent() => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let (length, incoming) = match found {
            Some((length, incoming)) => (length, Some(incoming)),
            None => match length_of(service, &object).await {
                Ok(length) => (length, None),
                Err(failure) if failure.is_absent() => return Ok(None),
                Err(failure) => return Err(failure.into()),
            },
        };
        let incoming = Mutex::new(incoming);
        Ok(Some(Self { service: Arc::clone(service), object, length, window, incoming }))
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Goes on with what is on its way, where it is at `offset`. Where that breaks off, as when its reader
    /// was slow and the store tired of it, the rest of it is asked for once more; when no byte of that comes,
    /// the read fails.
    pub(super) async fn read(&self, offset: u64, length_max: u64) -> Result<Bytes, StoreError> {
        let Self { service, object, length, .. } = self;
        if *length <= offset || length_max == 0 {
            let why = format!("{object}: no byte can be read at {offset} of {length}, {length_max} at most");
            return Err(TierError::Failed(why));
        }
        let bytes_max = length_max.min(READ_BYTES_MAX);
        let mut wanted = offset..offset.saturating_add(self.window).min(*length);
        let before = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut incoming) = before.filter(|incoming| incoming.rest.start == offset) {
            if incoming.rest.is_empty() {
                wanted.end = *length;
            } else {
                wanted.end = incoming.rest.end;
                match incoming.next(service, bytes_max).await {
                    Ok(bytes) => {
                        self.keep(incoming);
                        return Ok(bytes);
                    }
                    // It had its time.
                    Err(failure) if failure.is_late() => return Err(failure.into()),
                    Err(_broke_off) => {}
                }
            }
        }
        let output = match ask(service, object, wanted.clone()).await {
            Ok(output) => output,
            Err(failure) if failure.is_absent() || failure.is_no_range() => {
                return Err(TierError::Rotten(format!("{object}: was removed while it was read")));
            }
            Err(failure) => return Err(failure.into()),
        };
        let (found, mut incoming) = Incoming::new(service, output, wanted)?;
        if found != *length {
            let why = format!("{object}: had {length} bytes and has {found} now");
            return Err(TierError::Rotten(why));
        }
        let bytes = incoming.next(service, bytes_max).await?;
        self.keep(incoming);
        Ok(bytes)
    }

    fn keep(&self, incoming: Incoming) {
        *self.incoming.lock().unwrap_or_else(PoisonError::into_inner) = Some(incoming);
    }
}

async fn ask(service: &Service, object: &str, wanted: Range<u64>) -> Result<GetObjectOutput, Failure> {
    let range = format!("bytes={}-{}", wanted.start, wanted.end - 1);
    let get = service.client.get_object().bucket(&service.bucket).key(object).range(range);
    service.call(READING, get.send()).await
}

async fn length_of(service: &Service, object: &str) -> Result<u64, Failure> {
    let doing = "looking at a blob";
    let head = service.client.head_object().bucket(&service.bucket).key(object);
    let output = service.call(doing, head.send()).await?;
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    length.ok_or_else(|| service.strange(doing, "no length"))
}

impl Incoming {
    /// How long the whole object is, and the body that was answered. A store that ignores ranges sends all of
    /// it.
    fn new(service: &Service, output: GetObjectOutput, wanted: Range<u64>) -> Result<(u64, Self), Failure> {
        let sent = output.content_length().and_then(|length| u64::try_from(length).ok());
        let sent = sent.ok_or_else(|| service.strange(READING, "no length"))?;
        let (start, length) = match output.content_range() {
            None => (0, sent),
            Some(range) => {
                let read = content_range(range);
                read.ok_or_else(|| service.strange(READING, &format!("the range `{range}`")))?
            }
        };
        if start != wanted.start {
            let what = format!("bytes from {start} on, and not from {}", wanted.start);
            return Err(service.strange(READING, &what));
        }
        let rest = start..start.saturating_add(sent);
        if rest.is_empty() && start < length {
            return Err(service.strange(READING, "no byte"));
        }
        Ok((length, Self { body: output.body, kept: Bytes::new(), rest }))
    }

    /// At least one byte; more when they are here already.
    async fn next(&mut self, service: &Service, bytes_max: u64) -> Result<Bytes, Failure> {
        while self.kept.is_empty() {
            let piece = service.in_time(READING, self.body.next()).await?;
            self.kept = match piece {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    return Err(service.strange(READING, &format!("a body that broke off ({error})")));
                }
                None => return Err(service.strange(READING, "a body that is too short")),
            };
        }
        let bytes_max = usize::try_from(bytes_max).expect("it is at most READ_BYTES_MAX");
        let bytes = self.gather(bytes_max).await;
        let after = self.rest.start.saturating_add(bytes.len() as u64);
        if self.rest.end < after.saturating_add(self.kept.len() as u64) {
            return Err(service.strange(READING, "more bytes than it said"));
        }
        self.rest.start = after;
        Ok(bytes)
    }

    /// What is kept, and what can be put behind it without waiting.
    async fn gather(&mut self, bytes_max: usize) -> Bytes {
        let first = self.kept.split_to(self.kept.len().min(bytes_max));
        if first.len() == bytes_max {
            return first;
        }
        let mut more = self.at_hand().await;
        if more.is_none() {
            return first;
        }
        let mut gathered = BytesMut::from(first);
        while let Some(piece) = more {
            self.kept = piece;
            let taken = self.kept.len().min(bytes_max - gathered.len());
            gathered.extend_from_slice(&self.kept.split_to(taken));
            more = if gathered.len() < bytes_max { self.at_hand().await } else { None };
        }
        gathered.freeze()
    }

    /// A piece that is here already. That the body has broken off shows at the next read.
    async fn at_hand(&mut self) -> Option<Bytes> {
        let mut next = pin!(self.body.next());
        poll_fn(|context| {
            Poll::Ready(match Pin::as_mut(&mut next).poll(context) {
                Poll::Ready(Some(Ok(piece))) => Some(piece),
                Poll::Ready(Some(Err(_)) | None) | Poll::Pending => None,
            })
        })
        .await
    }
}

/// The first byte, and how many there are in all, of `bytes 0-9/20`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _end) = range.split_once('-')?;
    Some((start.parse().ok()?, length.parse().ok()?))
}
