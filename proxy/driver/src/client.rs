//! The client's side: an [`Inbox`] where the engine's answers wait, and the futures that empty it.
//!
//! An inbox never holds more than two messages (the engine tells one thing for each request or demand, and an
//! end) and a few interim responses, and only its own client is woken by what comes in.

use crate::{
    World,
    plant::{Fault, is_planted},
    shard::Shared,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tiergate_engine::{
    AbortReason, Bypass, CacheKey, End, Head, Input, Length, OriginId, Outcome, Refusal, Reply, ReplyBody,
    RequestHead, RequestId, Resident,
};

/// How a request is to be answered.
pub enum Answer<W: World> {
    /// With this response.
    Serve(Served<W>),
    /// By proxying it; nothing of it is stored.
    Pass(Bypass),
    /// With an error.
    Refuse(Refusal),
}

/// A request that the engine works on. Dropping it tells the engine that the client left.
pub struct Asking<W: World> {
    client: Option<Client<W>>,
}

/// What a request hears.
pub enum Heard<W: World> {
    /// An interim response (1xx) of the origin's, which is for this request alone. More may come.
    Interim(Head),
    /// Its answer. Nothing comes after it.
    Answer(Answer<W>),
}

impl<W: World> Asking<W> {
    pub(crate) const fn new(client: Client<W>) -> Self {
        Self { client: Some(client) }
    }

    /// What comes next. Dropping the future loses nothing.
    ///
    /// # Panics
    /// After the answer.
    pub async fn next(&mut self) -> Heard<W> {
        let client = self.client.as_mut().expect("a request is answered once");
        match client.message(Awaited::Answer).await {
            Message::Interim(head) => Heard::Interim(head),
            message => {
                let client = self.client.take().expect("it was there a moment ago");
                Heard::Answer(client.answered(message))
            }
        }
    }

    /// The answer, whatever comes before it.
    pub async fn answer(mut self) -> Answer<W> {
        loop {
            if let Heard::Answer(answer) = self.next().await {
                return answer;
            }
        }
    }
}

/// A response.
pub struct Served<W: World> {
    /// The head as stored or arriving; `Age`, `Via` and `Cache-Status` are the front's to add.
    pub head: Arc<Head>,
    /// What is known of the body's length.
    pub length: Length,
    /// Its age.
    pub age: Duration,
    /// How long it stays fresh.
    pub fresh_for: Duration,
    /// Where it comes from.
    pub outcome: Outcome,
    /// The body.
    pub body: Body<W>,
}

/// A response's body. Dropping it before its end tells the engine that the client left.
pub struct Body<W: World> {
    state: BodyState<W>,
}

/// ```text
///   Whole ──(hands out what it holds, for ever)
///   Streamed ──Finish──▶ Ended
/// ```
enum BodyState<W: World> {
    /// All of it is here; the request is over for the engine.
    Whole {
        resident: Arc<Resident<Bytes>>,
        /// Chunks handed out.
        taken: usize,
    },
    /// It comes chunk by chunk, on demand.
    Streamed(Client<W>),
    /// It is over, and this is how.
    Ended(End),
}

impl<W: World> Body<W> {
    /// All of it, if it is here: then the request is over for the engine. What was handed out already is in
    /// it again.
    pub fn whole(&self) -> Option<&Arc<Resident<Bytes>>> {
        match &self.state {
            BodyState::Whole { resident, .. } => Some(resident),
            BodyState::Streamed(_) | BodyState::Ended(_) => None,
        }
    }

    /// The next chunk; `None` at the end. After an error the client's connection must be broken. Once it is
    /// over it stays over, and the same answer comes again. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Why the body broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AbortReason> {
        let end = match &mut self.state {
            BodyState::Whole { resident, taken } => {
                let chunk = resident.chunks.get(*taken).cloned();
                *taken += usize::from(chunk.is_some());
                return Ok(chunk);
            }
            BodyState::Streamed(client) => match client.chunk().await {
                Ok(chunk) => return Ok(Some(chunk)),
                Err(end) => end,
            },
            BodyState::Ended(end) => *end,
        };
        self.state = BodyState::Ended(end);
        match end {
            End::Complete => Ok(None),
            End::Aborted(why) => Err(why),
        }
    }
}

/// One request as the engine's counterpart: who drops it before its end has left.
pub(crate) struct Client<W: World> {
    shared: Arc<Shared<W>>,
    shard: u32,
    request: RequestId,
    state: ClientState,
}

enum ClientState {
    /// Something is still to come; nothing was demanded.
    Idle,
    /// A chunk or the end was asked for, and the engine works on it.
    Demanded,
    /// The last message was taken, and the inbox is gone.
    Over,
}

/// What a client waits for at its inbox.
#[derive(Clone, Copy)]
enum Awaited {
    /// The answer to its request, which is under way.
    Answer,
    /// A chunk, which must be demanded.
    Chunk,
}

impl<W: World> Client<W> {
    /// Opens an inbox and tells the engine of the request.
    pub(crate) fn enter(
        shared: &Arc<Shared<W>>,
        key: CacheKey,
        origin: OriginId,
        head: Arc<RequestHead>,
    ) -> Self {
        let shard = shared.shard_of(key);
        let request = shared.turn(shard, |turn| {
            let request = turn.open_inbox();
            turn.handle(Input::Request { request, key, origin, head });
            if is_planted(Fault::LateInbox) {
                turn.shard.inboxes.remove(&request);
            }
            request
        });
        if is_planted(Fault::LateInbox) {
            shared.turn(shard, |turn| turn.shard.inboxes.insert(request, Inbox::default()));
        }
        Self { shared: Arc::clone(shared), shard, request, state: ClientState::Idle }
    }

    /// The answer to the request, which this message is.
    fn answered(self, message: Message) -> Answer<W> {
        let reply = match message {
            Message::Serve(reply) => reply,
            Message::Pass(bypass) => return Answer::Pass(bypass),
            Message::Refuse(refusal) => return Answer::Refuse(refusal),
            message @ (Message::Interim(_) | Message::Body(_) | Message::Finish(_)) => {
                unreachable!("{message:?} came before the answer to request {:?}", self.request)
            }
        };
        let state = match reply.body {
            ReplyBody::Whole(resident) => BodyState::Whole { resident, taken: 0 },
            ReplyBody::Streamed => BodyState::Streamed(self),
        };
        Answer::Serve(Served {
            head: reply.head,
            length: reply.length,
            age: reply.age,
            fresh_for: reply.fresh_for,
            outcome: reply.outcome,
            body: Body { state },
        })
    }

    /// The next chunk, or how the body ended.
    async fn chunk(&mut self) -> Result<Bytes, End> {
        match self.message(Awaited::Chunk).await {
            Message::Body(chunk) => Ok(chunk),
            Message::Finish(end) => Err(end),
            message @ (Message::Interim(_) | Message::Serve(_) | Message::Pass(_) | Message::Refuse(_)) => {
                unreachable!("{message:?} answered a demand of request {:?}", self.request)
            }
        }
    }

    async fn message(&mut self, awaited: Awaited) -> Message {
        poll_fn(|context| self.poll_message(context, awaited)).await
    }

    fn poll_message(&mut self, context: &Context<'_>, awaited: Awaited) -> Poll<Message> {
        // Dropped after the turn: an executor may drop a whole task with its last waker, and a body in it
        // takes a turn.
        let mut stale = None;
        let (request, state) = (self.request, &mut self.state);
        let message = self.shared.turn(self.shard, |turn| {
            let waiting = turn.shard.inboxes.get(&request);
            let is_interim = |message: &Message| matches!(message, Message::Interim(_));
            let is_empty = waiting.is_none_or(|inbox| inbox.messages.iter().all(is_interim));
            // An end may wait that nobody demanded; after it the engine takes no demand.
            if is_empty && matches!((awaited, &*state), (Awaited::Chunk, ClientState::Idle)) {
                *state = ClientState::Demanded;
                turn.handle(Input::Demand { request });
            }
            let inboxes = &mut turn.shard.inboxes;
            let inbox = inboxes.get_mut(&request).expect(
                "an inbox stays until its last message is taken, and no message is awaited after that",
            );
            // Who has its answer by now has no use for what was said before another one.
            while matches!((awaited, inbox.messages.front()), (Awaited::Chunk, Some(Message::Interim(_)))) {
                inbox.messages.pop_front();
            }
            let Some(message) = inbox.messages.pop_front() else {
                if !is_planted(Fault::LateWaker) {
                    stale = inbox.waker.replace(context.waker().clone());
                }
                return Poll::Pending;
            };
            *state = ClientState::Idle;
            if message.is_last() {
                *state = ClientState::Over;
                inboxes.remove(&request);
            }
            Poll::Ready(message)
        });
        if message.is_pending() && is_planted(Fault::LateWaker) {
            self.shared.turn(self.shard, |turn| {
                let inbox = turn.shard.inboxes.get_mut(&request).expect("nothing was taken out of it");
                inbox.waker = Some(context.waker().clone());
            });
        }
        message
    }
}

impl<W: World> Drop for Client<W> {
    fn drop(&mut self) {
        let leaves = match self.state {
            ClientState::Idle | ClientState::Demanded => !self.shared.is_lost(self.shard),
            ClientState::Over => false,
        };
        if leaves {
            let inbox = self.shared.turn_with_tasks(self.shard, |turn| {
                let inbox = turn.shard.inboxes.remove(&self.request);
                turn.handle(Input::Leave { request: self.request });
                inbox
            });
            // Its waker goes after the turn, for the same reason as in `poll_message`.
            drop(inbox);
        }
    }
}

/// What the engine tells a client.
#[derive(Debug)]
pub(crate) enum Message {
    Interim(Head),
    Serve(Reply<Bytes>),
    Pass(Bypass),
    Refuse(Refusal),
    Body(Bytes),
    Finish(End),
}

impl Message {
    /// Is the request over for the engine after this?
    fn is_last(&self) -> bool {
        match self {
            Self::Serve(reply) => match reply.body {
                ReplyBody::Whole(_) => true,
                ReplyBody::Streamed => false,
            },
            Self::Interim(_) | Self::Body(_) => false,
            Self::Pass(_) | Self::Refuse(_) | Self::Finish(_) => true,
        }
    }
}

/// Where a client's messages wait, under its shard's lock.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    messages: VecDeque<Message>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Puts a message in; hands out the waker to call for it.
    pub(crate) fn post(&mut self, message: Message) -> Option<Waker> {
        self.messages.push_back(message);
        self.waker.take()
    }
}
