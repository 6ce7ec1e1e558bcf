//! Answers to requests that the engine passed: what of them an engine is told, and the way of a body that it
//! adopts.
//!
//! The body goes to its client anyhow, and each piece is shown here before it does. No task takes part: a
//! piece answers the engine's pull at once, so whoever has read the last one finds what was stored. What
//! comes while the engine does not pull is held, and that is no more than the head announced.

use crate::{
    Clock, ORIGIN, World,
    fetch::Pull,
    shard::{Shared, Turn},
    sync::{Mutex, MutexGuard},
};
use bytes::{Bytes, BytesMut};
use std::{cmp::Ordering, mem, sync::Arc};
use tiergate_engine::{
    Answer, CacheKey, Head, Input, Instant, Length, OriginFailure, PurgeMode, RequestHead, Selector,
    WallTime, invalidated_keys, may_answer_gets,
};

/// The longest body of a passed request's answer that an engine is offered. All of it may be held for a
/// while, once for each that is adopted at one time (`collapse.fills_max`), and what answers a POST is seldom
/// larger.
pub const OFFERED_BYTES_MAX: u64 = 1 << 20;

/// When a request was about to be sent, on the driver's clock and on the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    at: Instant,
    wall: WallTime,
}

/// A body that an engine has adopted, on the side of whoever passes it on. Dropped before the last byte, it
/// breaks the body off.
pub struct Adopted<W: World> {
    body: AdoptedBody<W>,
    /// What the head announced and has not come.
    left: u64,
}

/// The same body on the engine's side.
pub(crate) struct AdoptedBody<W: World>(Arc<Mutex<Bypassing<W>>>);

/// What is between the two sides.
struct Bypassing<W: World> {
    /// What came while nobody pulled.
    held: BytesMut,
    /// How the body ended; nothing comes after that.
    end: Option<Result<(), OriginFailure>>,
    /// What the next piece answers.
    pull: Option<Pull<W>>,
}

impl<W: World> Clone for AdoptedBody<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: World> Adopted<W> {
    /// Of a body that is so long.
    fn new(length: u64) -> Self {
        let end = (length == 0).then_some(Ok(()));
        let bypassing = Bypassing { held: BytesMut::new(), end, pull: None };
        Self { body: AdoptedBody(Arc::new(Mutex::new(bypassing))), left: length }
    }

    /// A piece passes by.
    pub fn passes(&mut self, piece: &Bytes) {
        let size = piece.len() as u64;
        let end = match size.cmp(&self.left) {
            _ if piece.is_empty() => return,
            Ordering::Less => None,
            Ordering::Equal => Some(Ok(())),
            Ordering::Greater => Some(Err(OriginFailure::TooLong)),
        };
        self.left = self.left.saturating_sub(size);
        let pull = {
            let mut bypassing = self.body.lock();
            if bypassing.end.is_some() {
                return;
            }
            bypassing.end = end;
            let pull = bypassing.pull.take();
            if pull.is_none() && end != Some(Err(OriginFailure::TooLong)) {
                bypassing.held.extend_from_slice(piece);
            }
            pull
        };
        match (pull, end) {
            (None, _) => {}
            (Some(Pull { op, call }), Some(Err(failure))) => {
                call.answer(Answer::PullFailed { failure }.to(op));
            }
            (Some(Pull { op, call }), Some(Ok(())) | None) => {
                call.answer_and_go_on(Answer::Pulled { chunk: piece.clone() }.to(op));
            }
        }
    }
}

impl<W: World> Drop for Adopted<W> {
    fn drop(&mut self) {
        self.body.end(OriginFailure::Abandoned);
    }
}

impl<W: World> AdoptedBody<W> {
    fn lock(&self) -> MutexGuard<'_, Bypassing<W>> {
        self.0.lock().expect("nothing that is done under this lock panics")
    }

    /// The engine wants the next piece.
    pub(crate) fn pull(&self, pull: Pull<W>) {
        let (Pull { op, call }, held, end) = {
            let mut bypassing = self.lock();
            if bypassing.held.is_empty() && bypassing.end.is_none() {
                bypassing.pull = Some(pull);
                return;
            }
            (pull, mem::take(&mut bypassing.held), bypassing.end)
        };
        match end {
            Some(Err(failure)) => call.answer(Answer::PullFailed { failure }.to(op)),
            Some(Ok(())) | None if !held.is_empty() => {
                call.answer_and_go_on(Answer::Pulled { chunk: held.freeze() }.to(op));
            }
            Some(Ok(())) | None => call.answer(Answer::PullEnded.to(op)),
        }
    }

    /// The engine wants no more.
    pub(crate) fn release(&self) {
        self.end(OriginFailure::Abandoned);
        self.lock().held = BytesMut::new();
    }

    /// Nothing more comes, unless all of it has come. A pull that waits answers itself.
    fn end(&self, failure: OriginFailure) {
        let pull = {
            let mut bypassing = self.lock();
            bypassing.end.get_or_insert(Err(failure));
            bypassing.pull.take()
        };
        drop(pull);
    }
}

/// How long the body of an answer is that an engine may want: all it is asked about is known, and it is
/// short.
fn offered_length(request: &RequestHead, response: &Head) -> Option<u64> {
    match response.length() {
        Length::Known(length) if length.0 <= OFFERED_BYTES_MAX => {
            may_answer_gets(request, response).then_some(length.0)
        }
        Length::Known(_) | Length::Unknown => None,
    }
}

impl<W: World> Shared<W> {
    /// When a request was sent that is sent now.
    pub(crate) fn sent_now(&self) -> Sent {
        Sent { at: self.parts.clock.now(), wall: self.parts.clock.wall() }
    }

    /// Purges what the answer to a passed request makes stale, and offers the answer itself to the engine of
    /// its key, if that may want it.
    pub(crate) fn answered_around(
        self: &Arc<Self>,
        request: &Arc<RequestHead>,
        sent: Sent,
        response: Head,
    ) -> Option<Adopted<W>> {
        let offered = offered_length(request, &response);
        let own = offered.map(|_| CacheKey::of(&request.authority, &request.target));
        for key in invalidated_keys(request, &response) {
            if Some(key) != own {
                // Nobody waits for the report; the purge is done all the same.
                let purge =
                    |selector| self.turn(self.shard_of(key), |turn| turn.purge(selector, PurgeMode::Hard));
                drop(purge(Selector::Key(key)));
            }
        }
        let (own, length) = (own?, offered?);
        let adopted = Adopted::new(length);
        let (request, response) = (Arc::clone(request), Arc::new(response));
        let is_adopted =
            self.turn(self.shard_of(own), |turn| turn.offer(&adopted.body, own, sent, (request, response)));
        is_adopted.then_some(adopted)
    }
}

impl<W: World> Turn<'_, W> {
    /// Purges the key and offers an answer. Does the engine adopt it?
    fn offer(
        &mut self,
        body: &AdoptedBody<W>,
        key: CacheKey,
        sent: Sent,
        (request, response): (Arc<RequestHead>, Arc<Head>),
    ) -> bool {
        self.shard.offered = Some(body.clone());
        // Nobody waits for the report; the purge is done all the same.
        let (purge, _) = self.open_purge();
        let (origin, sent) = (ORIGIN, (sent.at, sent.wall));
        self.handle(Input::AnsweredAround { purge, key, origin, request, response, sent });
        self.shard.offered.take().is_none()
    }
}
