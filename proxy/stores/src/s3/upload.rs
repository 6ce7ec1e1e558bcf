//! One blob on its way into the store.
//!
//! What fits one part is sent by one `PUT` when it is finished. More is sent in parts, a few at a time, and
//! becomes an object once the last is there. An upload holds `parts_at_once` + 1 parts in memory at most.

use super::{failure::Failure, not_open, service::Service};
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use std::{future::Future, mem, sync::Arc};
use tiergate_driver::{StoreError, TierError};
use tiergate_engine::ByteCount;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinSet,
};

/// No S3 takes more parts of one object.
const PARTS_MAX: i32 = 10_000;

/// How an upload is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) part_bytes: usize,
    pub(super) parts_at_once: usize,
}

/// A blob on its way. What takes requests runs in a task of its own, under the lock, so that one whose caller
/// has left still comes before or after the others.
pub(super) struct Upload {
    service: Arc<Service>,
    object: String,
    cut: Cut,
    state: Arc<Mutex<State>>,
}

/// ```text
/// Gathering ──more than a part──▶ Sending ──finish, close, failed──▶ Closed
///     ╰───────────── finish, close, failed ─────────────────────────▶ Closed
/// ```
enum State {
    /// The store knows nothing of it.
    Gathering(Vec<u8>),
    /// Parts are there, or on their way.
    Sending(Sending),
    /// It is finished, or what there was of it is being removed.
    Closed,
}

struct Sending {
    upload_id: String,
    /// The next part.
    gathered: Vec<u8>,
    /// In the parts before it.
    bytes: u64,
    begun: i32,
    under_way: JoinSet<Result<CompletedPart, Failure>>,
    done: Vec<CompletedPart>,
}

/// Whether there may be an object by now.
#[derive(Clone, Copy)]
enum Object {
    None,
    Perhaps,
}

impl Upload {
    pub(super) fn new(service: &Arc<Service>, object: String, cut: Cut) -> Self {
        let state = Arc::new(Mutex::new(State::Gathering(Vec::new())));
        Self { service: Arc::clone(service), object, cut, state }
    }

    pub(super) async fn append(self: Arc<Self>, chunk: Bytes) -> Result<(), StoreError> {
        if let Ok(mut state) = self.state.try_lock() {
            let gathered = state.gathered().ok_or_else(|| not_open("upload"))?;
            if gathered.len() + chunk.len() <= self.cut.part_bytes {
                gathered.extend_from_slice(&chunk);
                return Ok(());
            }
        }
        let state = Arc::clone(&self.state).lock_owned().await;
        attended(async move { self.append_parts(state, chunk).await }).await
    }

    /// Makes it an object. Where that fails, nothing of it is left, or will be soon.
    pub(super) async fn finish(self: Arc<Self>, length: ByteCount) -> Result<(), StoreError> {
        let state = Arc::clone(&self.state).lock_owned().await;
        attended(async move { self.publish(state, length).await }).await
    }

    /// Removes what was not finished.
    pub(super) fn close(self: Arc<Self>) {
        let service = Arc::clone(&self.service);
        service.unattended(async move {
            let state = mem::replace(&mut *self.state.lock().await, State::Closed);
            self.remove(state, Object::None).await;
        });
    }

    async fn append_parts(
        self: Arc<Self>,
        mut state: OwnedMutexGuard<State>,
        mut chunk: Bytes,
    ) -> Result<(), StoreError> {
        loop {
            let gathered = state.gathered().ok_or_else(|| not_open("upload"))?;
            let room = self.cut.part_bytes - gathered.len();
            gathered.extend_from_slice(&chunk.split_to(chunk.len().min(room)));
            // A part is sent when something comes behind it: the last is `finish`'s.
            if chunk.is_empty() {
                return Ok(());
            }
            if let Err(failure) = self.send_gathered(&mut state).await {
                self.give_up(state, Object::None);
                return Err(failure.into());
            }
        }
    }

    async fn send_gathered(&self, state: &mut State) -> Result<(), Failure> {
        match state {
            State::Gathering(gathered) => {
                let upload_id = self.create().await?;
                let gathered = mem::take(gathered);
                let (under_way, done) = (JoinSet::new(), Vec::new());
                let mut sending = Sending { upload_id, gathered, bytes: 0, begun: 0, under_way, done };
                let begun = self.begin_part(&mut sending).await;
                *state = State::Sending(sending);
                begun
            }
            State::Sending(sending) => self.begin_part(sending).await,
            State::Closed => unreachable!("nothing is gathered of an upload that is closed"),
        }
    }

    async fn create(&self) -> Result<String, Failure> {
        let Self { service, object, .. } = self;
        let doing = "beginning an upload in parts";
        let create = service.client.create_multipart_upload().bucket(&service.bucket).key(object);
        let created = service.call(doing, create.send()).await?;
        created.upload_id.ok_or_else(|| service.strange(doing, "no id"))
    }

    /// Begins to send what was gathered, once there is room for one more part.
    async fn begin_part(&self, sending: &mut Sending) -> Result<(), Failure> {
        if sending.begun == PARTS_MAX {
            let part = self.cut.part_bytes;
            return Err(self.service.refused(&format!("it takes {PARTS_MAX} parts of {part} bytes at most")));
        }
        while self.cut.parts_at_once <= sending.under_way.len() {
            self.join_part(sending).await?;
        }
        let body = Bytes::from(mem::take(&mut sending.gathered));
        sending.bytes += body.len() as u64;
        sending.begun += 1;
        let (service, number) = (Arc::clone(&self.service), sending.begun);
        let part = service
            .client
            .upload_part()
            .bucket(&service.bucket)
            .key(&self.object)
            .upload_id(&sending.upload_id)
            .part_number(number)
            .content_length(body.len() as i64)
            .body(ByteStream::from(body));
        sending.under_way.spawn(async move {
            let sent = service.call("sending a part of a blob", part.send()).await?;
            Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
        });
        Ok(())
    }

    /// Waits for one of the parts that are under way.
    async fn join_part(&self, sending: &mut Sending) -> Result<(), Failure> {
        match sending.under_way.join_next().await {
            None => {}
            Some(Ok(part)) => sending.done.push(part?),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => return Err(self.service.refused("the process is shutting down")),
            },
        }
        Ok(())
    }

    async fn publish(
        self: Arc<Self>,
        mut state: OwnedMutexGuard<State>,
        length: ByteCount,
    ) -> Result<(), StoreError> {
        let has = state.length().ok_or_else(|| not_open("upload"))?;
        if has != length.0 {
            let (object, length) = (&self.object, length.0);
            let why = format!("{object}: the upload has {has} bytes and was to have {length}: send it again");
            self.give_up(state, Object::None);
            return Err(TierError::Failed(why));
        }
        let published = match &mut *state {
            State::Gathering(gathered) => self.put(mem::take(gathered).into()).await,
            State::Sending(sending) => self.complete(sending).await,
            State::Closed => unreachable!("an upload that is closed has no length"),
        };
        match published {
            Ok(()) => *state = State::Closed,
            Err(ref failure) if failure.is_unclear() => self.give_up(state, Object::Perhaps),
            Err(_) => self.give_up(state, Object::None),
        }
        Ok(published?)
    }

    async fn put(&self, body: Bytes) -> Result<(), Failure> {
        let Self { service, object, .. } = self;
        let put = service.client.put_object().bucket(&service.bucket).key(object);
        let put = put.content_length(body.len() as i64).body(ByteStream::from(body));
        service.call("storing a blob", put.send()).await.map(drop)
    }

    async fn complete(&self, sending: &mut Sending) -> Result<(), Failure> {
        self.begin_part(sending).await?;
        while !sending.under_way.is_empty() {
            self.join_part(sending).await?;
        }
        let Self { service, object, .. } = self;
        let mut parts = mem::take(&mut sending.done);
        parts.sort_by_key(|part| part.part_number);
        let complete = service
            .client
            .complete_multipart_upload()
            .bucket(&service.bucket)
            .key(object)
            .upload_id(&sending.upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        service.call("joining the parts of a blob", complete.send()).await.map(drop)
    }

    /// Leaves what there is of it to a task that nobody waits for.
    fn give_up(self: &Arc<Self>, mut state: OwnedMutexGuard<State>, object: Object) {
        let left = mem::replace(&mut *state, State::Closed);
        let upload = Arc::clone(self);
        self.service.unattended(async move { upload.remove(left, object).await });
    }

    /// Parts that are still under way would come after an abort and stay.
    async fn remove(&self, state: State, is_object: Object) {
        let Self { service, object, .. } = self;
        if let State::Sending(mut sending) = state {
            while sending.under_way.join_next().await.is_some() {}
            let abort = service
                .client
                .abort_multipart_upload()
                .bucket(&service.bucket)
                .key(object)
                .upload_id(&sending.upload_id);
            let aborted = service.call("calling off an upload", abort.send()).await;
            if let Err(failure) = aborted {
                tracing::debug!(%failure, "parts of an upload stay behind");
            }
        }
        match is_object {
            Object::None => {}
            Object::Perhaps => {
                let delete = service.client.delete_object().bucket(&service.bucket).key(object);
                let deleted = service.call("removing an upload that failed", delete.send()).await;
                if let Err(failure) = deleted {
                    tracing::debug!(%failure, "a blob stays behind for the collector");
                }
            }
        }
    }
}

impl State {
    fn gathered(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Gathering(gathered) => Some(gathered),
            Self::Sending(sending) => Some(&mut sending.gathered),
            Self::Closed => None,
        }
    }

    fn length(&self) -> Option<u64> {
        match self {
            Self::Gathering(gathered) => Some(gathered.len() as u64),
            Self::Sending(sending) => Some(sending.bytes + sending.gathered.len() as u64),
            Self::Closed => None,
        }
    }
}

/// Runs to its end, also when its caller has left.
async fn attended<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(TierError::Failed("the process is shutting down".to_owned())),
        },
    }
}
