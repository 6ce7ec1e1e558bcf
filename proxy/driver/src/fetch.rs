//! One task for each fetch: it owns the origin's body, hands over a chunk for each pull, and stops when it is
//! cancelled.

use crate::{
    Origin, OriginBody, World,
    around::AdoptedBody,
    call::{Call, Owner},
    client::Message,
    shard::Shared,
    sync::mpsc,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tiergate_engine::{Answer, FillId, Head, OpId, OriginFailure, RequestHead, RequestId};

/// The engine has one pull open at a time for each fetch.
pub(crate) const PULLS_MAX: usize = 1;

/// Interim responses of one fetch that are passed on; an origin that says more is not listened to.
const INTERIMS_MAX: usize = 8;

/// A demand for a fetch's next chunk. One that its fetch never takes is dropped, and so answered.
pub(crate) struct Pull<W: World> {
    pub(crate) op: OpId,
    pub(crate) call: Call<W>,
}

/// Where the pulls of a fetch go.
pub(crate) enum Fetch<W: World> {
    /// To its task. Dropping the sender cancels it.
    Task(mpsc::Sender<Pull<W>>),
    /// To an answer that passes by.
    Adopted(AdoptedBody<W>),
}

impl<W: World> Clone for Fetch<W> {
    fn clone(&self) -> Self {
        match self {
            Self::Task(pulls) => Self::Task(pulls.clone()),
            Self::Adopted(body) => Self::Adopted(body.clone()),
        }
    }
}

/// Asks the origin, answers `op`, and then each pull until the body's end. When the sender of `pulls` goes,
/// the fetch is cancelled: the origin's future or body is dropped, and whatever is open is answered as
/// abandoned.
pub(crate) async fn run<W: World>(
    shared: Arc<Shared<W>>,
    shard: u32,
    fill: FillId,
    op: OpId,
    (head, leader): (Arc<RequestHead>, Option<RequestId>),
    mut pulls: mpsc::Receiver<Pull<W>>,
) {
    let lost = Answer::FetchFailed { failure: OriginFailure::Abandoned }.to(op);
    let call = Call::new(Arc::clone(&shared), shard, Owner::Fetch(fill), lost);
    let interim = interim_to(Arc::clone(&shared), shard, leader);
    let answer = tokio::select! {
        biased;
        () = cancelled(&mut pulls) => return,
        answer = shared.parts.origin.fetch(head, interim) => answer,
    };
    let mut body = match answer {
        Ok((head, body)) => {
            let head = Arc::new(head);
            call.answer_and_go_on(Answer::Head { head }.to(op));
            body
        }
        Err(failure) => return call.answer(Answer::FetchFailed { failure }.to(op)),
    };
    while let Some(Pull { op, call }) = pulls.recv().await {
        let next = tokio::select! {
            biased;
            () = cancelled(&mut pulls) => return,
            next = body.next() => next,
        };
        match next {
            Ok(Some(chunk)) => call.answer_and_go_on(Answer::Pulled { chunk }.to(op)),
            Ok(None) => return call.answer(Answer::PullEnded.to(op)),
            Err(failure) => return call.answer(Answer::PullFailed { failure }.to(op)),
        }
    }
}

/// Passes on what an origin says before its response, to the one whose request it was sent (RFC 9110 section
/// 15.2).
fn interim_to<W: World>(
    shared: Arc<Shared<W>>,
    shard: u32,
    leader: Option<RequestId>,
) -> impl Fn(Head) + Send + Sync + 'static {
    let left = AtomicUsize::new(INTERIMS_MAX);
    move |head| {
        let Some(leader) = leader else { return };
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            shared.turn(shard, |turn| turn.post(leader, Message::Interim(head)));
        }
    }
}

/// Returns when the engine has released the fetch.
async fn cancelled<W: World>(pulls: &mut mpsc::Receiver<Pull<W>>) {
    if pulls.recv().await.is_some() {
        unreachable!("the engine pulls once at a time, and not before the head came");
    }
}
