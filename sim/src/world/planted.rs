//! Faults that are put into an edge on purpose, to see that the net catches them: into its engine, or into
//! the clients that speak to the origin and the shared tier.
//!
//! Those of the wire are planted at a seam: around the client, which is the real one, a wrapper says to the
//! driver what a client with that fault would say. Without a planted fault the wrappers pass everything on.

use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use tiergate_driver::{ByteTier, Contents, Found, Handle, Origin, OriginBody, TierError};
use tiergate_engine::{
    Ban, Fault, Freshening, Head, OriginFailure, ReadSource, Record, RecordId, RecordName, RequestHead,
    StoredKey, WriterId,
};

/// A fault that is put into an edge on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Into its engine.
    Engine(Fault),
    /// Into a client.
    Wire(WireFault),
}

/// A fault in a client of the origin or of the shared tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFault {
    /// A body that breaks off is taken for one that ends.
    W1,
    /// A reply that came too late is taken for the answer to the next command: a read gets the bytes that one
    /// before it asked for.
    W2,
    /// A delete that nobody answered is taken for done.
    W3,
}

impl WireFault {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::W1, Self::W2, Self::W3];

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::W1 => "W1",
            Self::W2 => "W2",
            Self::W3 => "W3",
        }
    }

    /// What it is.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::W1 => "the client of the origin takes a body that broke off for one that ended",
            Self::W2 => {
                "the client of the shared tier takes a reply that came too late for that to the next read"
            }
            Self::W3 => "the client of the shared tier takes a delete that nobody answered for done",
        }
    }
}

impl Planted {
    /// The fault with this name.
    ///
    /// # Errors
    /// There is none, or this build plants none.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        if !cfg!(feature = "plant") {
            return Err("this build plants no faults: build it with `--features plant`".to_owned());
        }
        let engine = Fault::ALL.into_iter().map(Self::Engine);
        let all: Vec<Self> = engine.chain(WireFault::ALL.map(Self::Wire)).collect();
        let known = || all.iter().map(|fault| fault.as_str()).collect::<Vec<_>>().join(", ");
        let found = all.iter().copied().find(|fault| fault.as_str() == name);
        found.ok_or_else(|| format!("no such fault; there are {}", known()))
    }

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Engine(fault) => fault.as_str(),
            Self::Wire(fault) => fault.as_str(),
        }
    }

    /// What it is.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Engine(fault) => fault.describe(),
            Self::Wire(fault) => fault.describe(),
        }
    }

    /// What is planted in the engine.
    pub(crate) const fn in_engine(self) -> Option<Fault> {
        match self {
            Self::Engine(fault) => Some(fault),
            Self::Wire(_) => None,
        }
    }
}

/// An origin's client, perhaps with a fault.
pub(crate) struct PlantedOrigin<O> {
    pub origin: O,
    pub fault: Option<Planted>,
}

impl<O: Origin> Origin for PlantedOrigin<O> {
    type Body = PlantedBody<O::Body>;

    async fn fetch(
        &self,
        head: Arc<RequestHead>,
        interim: impl Fn(Head) + Send + Sync + 'static,
    ) -> Result<(Head, Self::Body), OriginFailure> {
        let (head, body) = self.origin.fetch(head, interim).await?;
        Ok((head, PlantedBody { body, fault: self.fault }))
    }
}

/// A body, perhaps with a fault.
pub(crate) struct PlantedBody<B> {
    body: B,
    fault: Option<Planted>,
}

impl<B: OriginBody> OriginBody for PlantedBody<B> {
    async fn next(&mut self) -> Result<Option<Bytes>, OriginFailure> {
        match self.body.next().await {
            Err(_) if self.fault == Some(Planted::Wire(WireFault::W1)) => Ok(None),
            next => next,
        }
    }
}

/// A tier, perhaps with a fault.
pub(crate) struct PlantedTier<T> {
    pub tier: T,
    pub fault: Option<Planted>,
    replies: Mutex<Replies>,
}

/// The replies to reads.
#[derive(Default)]
struct Replies {
    /// The last one.
    last: Bytes,
    /// One came too late, and is still to be taken for another.
    is_late: bool,
}

impl<T> PlantedTier<T> {
    pub(crate) fn new(tier: T, fault: Option<Planted>) -> Self {
        Self { tier, fault, replies: Mutex::default() }
    }

    fn has(&self, fault: WireFault) -> bool {
        self.fault == Some(Planted::Wire(fault))
    }
}

/// A command whose reply has not come: it fails, or whoever waits gives up.
struct Waiting<'a>(Option<&'a Mutex<Replies>>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(replies) = self.0 {
            replies.lock().unwrap_or_else(PoisonError::into_inner).is_late = true;
        }
    }
}

impl<T: ByteTier> ByteTier for PlantedTier<T> {
    async fn join(&self) -> Contents {
        self.tier.join().await
    }

    async fn recover_bans(&self) -> Result<Vec<Ban>, TierError> {
        self.tier.recover_bans().await
    }

    async fn store_ban(&self, ban: Arc<Ban>) -> Result<(), TierError> {
        self.tier.store_ban(ban).await
    }

    async fn lookup(&self, handle: Handle<RecordId>, key: StoredKey) -> Result<Option<Found>, TierError> {
        let mut waiting = Waiting(Some(&self.replies));
        let found = self.tier.lookup(handle, key).await;
        if found.is_ok() {
            waiting.0 = None;
        }
        found
    }

    async fn read(
        &self,
        source: Handle<ReadSource>,
        offset: u64,
        length_max: u64,
    ) -> Result<Bytes, TierError> {
        let bytes = self.tier.read(source, offset, length_max).await?;
        if !self.has(WireFault::W2) {
            return Ok(bytes);
        }
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut replies.last, bytes.clone());
        let is_late = std::mem::take(&mut replies.is_late) && !before.is_empty();
        let most = usize::try_from(length_max).unwrap_or(usize::MAX);
        Ok(if is_late { before.slice(..before.len().min(most)) } else { bytes })
    }

    fn release(&self, handle: Handle<RecordId>) {
        self.tier.release(handle);
    }

    async fn open(
        &self,
        handle: Handle<WriterId>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<(), TierError> {
        self.tier.open(handle, key, name).await
    }

    async fn write(&self, handle: Handle<WriterId>, chunk: Bytes) -> Result<(), TierError> {
        self.tier.write(handle, chunk).await
    }

    async fn commit(&self, handle: Handle<WriterId>, record: Arc<Record>) -> Result<(), TierError> {
        self.tier.commit(handle, record).await
    }

    fn discard(&self, handle: Handle<WriterId>) {
        self.tier.discard(handle);
    }

    async fn freshen(&self, record: Arc<Record>) -> Result<Freshening, TierError> {
        self.tier.freshen(record).await
    }

    async fn delete(&self, key: StoredKey, name: Option<RecordName>) -> Result<bool, TierError> {
        match self.tier.delete(key, name).await {
            Err(_) if self.has(WireFault::W3) => Ok(true),
            done => done,
        }
    }
}
