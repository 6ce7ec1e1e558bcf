//! What each effect becomes: a message to a client, a pull for a fetch, or a tier call.

use crate::{
    ByteTier, Found, Observer, TierError, World,
    call::{Call, HandleId, InUse, Owner},
    client::Message,
    fetch::{self, Fetch, Pull},
    plant::{Fault, is_planted},
    shard::{Deferred, Shared, Turn},
    sync::mpsc,
};
use bytes::Bytes;
use std::{future::Future, sync::Arc};
use tiergate_engine::{
    Answer, Ban, Effect, FillId, Input, OpId, OriginFailure, ReadFailure, ReadSource, Record, RecordId,
    RecordName, RequestHead, RequestId, StoredKey, TierId, WriterId,
};

impl<W: World> Turn<'_, W> {
    /// Runs one effect, as far as that can be done under the lock.
    pub(crate) fn on_effect(&mut self, effect: Effect<Bytes>) {
        match effect {
            Effect::Serve { request, reply } => self.post(request, Message::Serve(reply)),
            Effect::Body { request, chunk } => self.post(request, Message::Body(chunk)),
            Effect::Finish { request, end } => self.post(request, Message::Finish(end)),
            Effect::Pass { request, bypass } => self.post(request, Message::Pass(bypass)),
            Effect::Refuse { request, refusal } => self.post(request, Message::Refuse(refusal)),
            Effect::PurgeDone { purge, report } => {
                let waiting = self.shard.purges.remove(&purge);
                self.deferred.extend(waiting.map(|waiting| Deferred::Report(waiting, report)));
            }
            Effect::Fetch { op, fill, head, leader } => self.fetch(op, fill, head, leader),
            Effect::Adopt { fill } => self.adopt(fill),
            Effect::Pull { op, fill } => self.pull(op, fill),
            Effect::Cancel { fill } => self.release_fetch(fill),
            Effect::Durable { op, ask } => self.ask_durable(op, ask),
            Effect::OpenBlob { op, record, blob } => self.open_blob(op, record, blob),
            Effect::Lookup { op, tier, record, key } => self.lookup(op, tier, record, key),
            Effect::Read { op, tier, source, offset, length_max } => {
                self.read(op, tier, source, offset, length_max)
            }
            Effect::Release { tier, record } => self.close(HandleId::Record(record), tier),
            Effect::Open { op, tier, writer, key, name } => self.open(op, tier, writer, key, name),
            Effect::Write { op, tier, writer, chunk } => self.write(op, tier, writer, chunk),
            Effect::Commit { op, tier, writer, record } => self.commit(op, tier, writer, record),
            Effect::Discard { tier, writer } => self.close(HandleId::Writer(writer), tier),
            Effect::Freshen { op, tier, record } => self.freshen(op, tier, record),
            Effect::Delete { op, tier, key, name } => self.delete(op, tier, key, name),
            Effect::StoreBan { op, tier, ban } => self.store_ban(op, tier, ban),
        }
    }

    /// Leaves a message for a client. A client that left has no inbox, and misses nothing.
    pub(crate) fn post(&mut self, request: RequestId, message: Message) {
        if let Some(inbox) = self.shard.inboxes.get_mut(&request) {
            let waker = inbox.post(message);
            self.deferred.extend(waker.map(Deferred::Wake));
        }
    }

    fn fetch(&mut self, op: OpId, fill: FillId, head: Arc<RequestHead>, leader: Option<RequestId>) {
        let (sender, pulls) = mpsc::channel(fetch::PULLS_MAX);
        self.shard.fetches.insert(fill, Fetch::Task(sender));
        let task = fetch::run(Arc::clone(self.shared), self.number, fill, op, (head, leader), pulls);
        self.deferred.push(Deferred::Spawn(Box::pin(task)));
    }

    fn adopt(&mut self, fill: FillId) {
        let offered = self.shard.offered.take();
        let body = offered.expect("the engine adopts the answer that it was just told of, once");
        self.shard.fetches.insert(fill, Fetch::Adopted(body));
    }

    fn pull(&mut self, op: OpId, fill: FillId) {
        let fetch = self.shard.fetches.get(&fill).cloned();
        let lost = Answer::PullFailed { failure: OriginFailure::Abandoned }.to(op);
        let call = Call::new(Arc::clone(self.shared), self.number, Owner::Fetch(fill), lost);
        self.deferred.push(Deferred::Pull(fetch, Pull { op, call }));
    }

    /// Releases a fetch. Unless its task has ended already, this cancels it.
    pub(crate) fn release_fetch(&mut self, fill: FillId) {
        let fetch = self.shard.fetches.remove(&fill);
        self.deferred.extend(fetch.map(Deferred::ReleaseFetch));
    }

    fn lookup(&mut self, op: OpId, tier: TierId, record: RecordId, key: StoredKey) {
        let handle = self.handle_of(record);
        let owner = Owner::Handle(HandleId::Record(record));
        self.ask(tier, owner, Answer::LookupFailed.to(op), |shared| async move {
            Ok(match shared.byte_tier(tier).lookup(handle, key).await {
                Ok(Some(Found { record, body })) => Answer::Found { record, body }.to(op),
                Ok(None) => Answer::Absent.to(op),
                Err(error @ TierError::Rotten(_)) => {
                    shared.parts.observer.tier_failed(tier, &error);
                    Answer::Absent.to(op)
                }
                Err(error @ TierError::Failed(_)) => return Err(error),
            })
        });
    }

    fn read(&mut self, op: OpId, tier: TierId, source: ReadSource, offset: u64, length_max: u64) {
        let handle = self.handle_of(source);
        let owner = Owner::Handle(HandleId::from(source));
        let lost = Answer::ReadFailed { why: ReadFailure::Unavailable }.to(op);
        self.ask(tier, owner, lost, |shared| async move {
            Ok(match shared.tier(tier).read(handle, offset, length_max).await {
                Ok(chunk) => Answer::BodyRead { chunk }.to(op),
                Err(error @ TierError::Rotten(_)) => {
                    shared.parts.observer.tier_failed(tier, &error);
                    Answer::ReadFailed { why: ReadFailure::Rotten }.to(op)
                }
                Err(error @ TierError::Failed(_)) => return Err(error),
            })
        });
    }

    fn open(&mut self, op: OpId, tier: TierId, writer: WriterId, key: StoredKey, name: RecordName) {
        let handle = self.handle_of(writer);
        let owner = Owner::Handle(HandleId::Writer(writer));
        self.ask(tier, owner, Answer::WriteFailed.to(op), |shared| async move {
            shared.tier(tier).open(handle, key, name).await?;
            Ok(Answer::Opened.to(op))
        });
    }

    fn write(&mut self, op: OpId, tier: TierId, writer: WriterId, chunk: Bytes) {
        let handle = self.handle_of(writer);
        let owner = Owner::Handle(HandleId::Writer(writer));
        self.ask(tier, owner, Answer::WriteFailed.to(op), |shared| async move {
            shared.tier(tier).write(handle, chunk).await?;
            Ok(Answer::Written.to(op))
        });
    }

    fn commit(&mut self, op: OpId, tier: TierId, writer: WriterId, record: Arc<Record>) {
        let handle = self.handle_of(writer);
        let owner = Owner::Handle(HandleId::Writer(writer));
        self.ask(tier, owner, Answer::WriteFailed.to(op), |shared| async move {
            shared.tier(tier).commit(handle, record).await?;
            Ok(Answer::Committed.to(op))
        });
    }

    fn freshen(&mut self, op: OpId, tier: TierId, record: Arc<Record>) {
        self.ask(tier, Owner::Nobody, Answer::WriteFailed.to(op), |shared| async move {
            let freshening = shared.byte_tier(tier).freshen(record).await?;
            Ok(Answer::Freshened { freshening }.to(op))
        });
    }

    fn delete(&mut self, op: OpId, tier: TierId, key: StoredKey, name: Option<RecordName>) {
        self.ask(tier, Owner::Nobody, Answer::DeleteFailed.to(op), |shared| async move {
            let existed = shared.byte_tier(tier).delete(key, name).await?;
            Ok(Answer::Deleted { existed }.to(op))
        });
    }

    fn store_ban(&mut self, op: OpId, tier: TierId, ban: Arc<Ban>) {
        self.ask(tier, Owner::Nobody, Answer::WriteFailed.to(op), |shared| async move {
            shared.byte_tier(tier).store_ban(ban).await?;
            Ok(Answer::BanStored.to(op))
        });
    }

    /// Makes a tier call and feeds its answer, or `failure`, once the turn is over.
    pub(crate) fn ask<F>(
        &mut self,
        tier: TierId,
        owner: Owner,
        failure: Input<Bytes>,
        call: impl FnOnce(Arc<Shared<W>>) -> F,
    ) where
        F: Future<Output = Result<Input<Bytes>, TierError>> + Send + 'static,
    {
        if let Owner::Handle(id) = owner {
            self.shard.in_use.entry(id).or_default().begin();
        }
        let shared = Arc::clone(self.shared);
        let answer = call(Arc::clone(self.shared));
        let shard = self.number;
        self.deferred.push(Deferred::Call(Box::pin(async move {
            let call = Call::new(shared, shard, owner, failure);
            match answer.await {
                Ok(input) => call.answer(input),
                Err(error) => call.fail(tier, &error),
            }
        })));
    }

    /// Closes a writer or record, after the last call that is under way for it.
    fn close(&mut self, id: HandleId, tier: TierId) {
        match self.shard.in_use.get_mut(&id) {
            Some(in_use) if !is_planted(Fault::ClosesAtOnce) => in_use.close_afterwards(tier),
            Some(_) | None => self.close_now(id, tier),
        }
    }

    /// A tier call for `id` is over.
    pub(crate) fn end_call(&mut self, id: HandleId) {
        let in_use = self.shard.in_use.get_mut(&id);
        let in_use = in_use.expect("an entry stays until its last call is over");
        if in_use.end() {
            let closing = self.shard.in_use.remove(&id).and_then(InUse::closing);
            if let Some(tier) = closing {
                self.close_now(id, tier);
            }
        }
    }

    fn close_now(&mut self, id: HandleId, tier: TierId) {
        let handle = self.handle_of(id);
        self.deferred.push(Deferred::Close(tier, handle));
    }
}
