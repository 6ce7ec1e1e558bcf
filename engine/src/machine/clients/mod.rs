//! Clients: what each request that is being answered reads, and which stored records are open for them.
//!
//! A client is told a response, its chunks and its end. A request that still waits for an answer is in
//! `fetching`; it comes here with its response head. `replies` says what a request gets of a stored response,
//! `reading` reads records for it.

mod races;
mod reading;
mod replies;

pub(super) use reading::{
    BodyRead, Demanded, Left, ReadEnded, ReadFailed, give_up_read_back, read_back, told,
};
pub(super) use replies::{Portion, serve_resident};

use super::{
    Audit,
    context::Context,
    durable::OpenedManifest,
    stored::{OpenRecord, Stored},
};
use crate::{
    config::ByteTier,
    language::{
        chunk::Chunk,
        effect::{Effect, Reply},
        event::RequestEvent,
        id::{FillId, RecordId, RecordName, RequestId},
        key::{CacheKey, StoredKey},
        reason::End,
        units::ByteCount,
    },
    parts::table::Table,
};
use alloc::sync::Arc;
use reading::Reading;

/// A client's request that is being answered.
#[derive(Debug)]
struct Request<C: Chunk> {
    key: CacheKey,
    /// Body bytes handed over.
    sent: u64,
    source: BodySource<C>,
}

/// ```text
/// Following ──end──▶ done        Reading ──end──▶ done
/// ```
#[derive(Debug)]
enum BodySource<C: Chunk> {
    /// A body that is arriving.
    Following(FillId),
    /// Pieces of a stored record.
    Reading(Reading<C>),
}

/// A stored record that is open for reading.
#[derive(Debug)]
struct Holding {
    tier: ByteTier,
    at: StoredKey,
    name: RecordName,
    /// How many hold it: requests that read it, and a fill that keeps it while the origin is asked.
    holders: usize,
    manifest: Option<Arc<OpenedManifest>>,
}

/// Every request that is being answered, and every record that is open.
#[derive(Debug)]
pub(super) struct Clients<C: Chunk> {
    requests: Table<RequestId, Request<C>>,
    records: Table<RecordId, Holding>,
}

impl<C: Chunk> Default for Clients<C> {
    fn default() -> Self {
        Self { requests: Table::default(), records: Table::default() }
    }
}

impl<C: Chunk> Clients<C> {
    /// Is nobody being answered?
    pub(super) fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn contains(&self, request: RequestId) -> bool {
        self.requests.contains_key(&request)
    }

    /// A fill keeps this record open.
    pub(super) fn open(&mut self, open: &OpenRecord<C>) {
        let OpenRecord { tier, id, record, manifest, .. } = open;
        let manifest = manifest.clone();
        let open = Holding { tier: *tier, at: record.stored_key(), name: record.name, holders: 1, manifest };
        self.records.insert(*id, open);
    }

    /// One holder fewer. If that was the last, its tier is to close the record.
    pub(super) fn close(&mut self, cx: &mut Context<C>, record: RecordId) {
        let open = &mut self.records[&record];
        open.holders -= 1;
        if open.holders == 0 {
            let tier = open.tier.id;
            let is_open = open.manifest.as_ref().is_none_or(|manifest| manifest.is_open());
            self.records.remove(&record);
            if is_open {
                cx.effect(Effect::Release { tier, record });
            }
        }
    }

    /// A fill is done with what it has found.
    pub(super) fn release(&mut self, cx: &mut Context<C>, stored: Option<Stored<C>>) {
        match stored {
            Some(Stored::Record(open)) => self.close(cx, open.id),
            Some(Stored::Resident(_)) | None => {}
        }
    }

    /// Answers a request with a body that is arriving.
    pub(super) fn follow(
        &mut self,
        cx: &mut Context<C>,
        (request, key): (RequestId, CacheKey),
        fill: FillId,
        reply: Reply<C>,
    ) {
        self.enter(request, key, BodySource::Following(fill));
        cx.effect(Effect::Serve { request, reply });
    }

    /// A request's response has begun.
    fn enter(&mut self, request: RequestId, key: CacheKey, source: BodySource<C>) {
        let before = self.requests.insert(request, Request { key, sent: 0, source });
        assert!(before.is_none(), "the driver used {request:?} twice");
    }

    /// Hands a chunk to a client that waits for one. The caller has closed the demand.
    pub(super) fn hand_over(&mut self, cx: &mut Context<C>, request: RequestId, chunk: C) {
        let served = &mut self.requests[&request];
        served.sent = served.sent.saturating_add(chunk.size());
        cx.effect(Effect::Body { request, chunk });
    }

    /// Ends a client's response and forgets the request.
    pub(super) fn finish(&mut self, cx: &mut Context<C>, request: RequestId, end: End) {
        let finished = self.requests.take(&request);
        cx.event(RequestEvent::Served { request, key: finished.key, sent: ByteCount(finished.sent), end });
        cx.effect(Effect::Finish { request, end });
    }

    /// Counts what is open, and asserts that records are held by who reads them, and by as many fills as
    /// keep one.
    pub(super) fn audit(&self, keepers: usize) -> Audit {
        let holders: usize = self.records.values().map(|record| record.holders).sum();
        let reads = |request: &&Request<C>| matches!(request.source, BodySource::Reading(_));
        let readers = self.requests.values().filter(reads).count();
        assert_eq!(
            holders,
            readers + keepers,
            "records are held {readers} times by readers and {keepers} by fills"
        );
        Audit { requests: self.requests.len(), records: self.records.len(), ..Audit::default() }
    }
}
