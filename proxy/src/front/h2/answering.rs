//! One request on a stream, and its answer.
//!
//! What leaves at once is sent by the connection's own task; everything that waits is a task of its own, so
//! that a slow stream holds nobody up. Each wait ends when the client resets the stream or the connection is
//! gone, and the engine hears of it: its question, or its body, is dropped.

use super::{head, passing};
use crate::{
    front::{
        Front,
        exchange::{self, Asked, Exchange, OwnAnswer},
        origin_date::OriginDate,
        pingora::{Passed, Proxying},
    },
    response::{Account, ErrorPage},
};
use ::h2::{Reason, RecvStream, SendStream, server::SendResponse};
use ::pingora::proxy::HttpProxy;
use bytes::Bytes;
use http::{Response, request};
use std::{future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};
use tiergate_driver::{Answer, Body, Heard, Served, World};
use tiergate_engine::{Head, Length, Resident};
use tiergate_tiers::http_head::Scheme;
use tokio::{sync::watch, time::timeout};

/// What a stream may have written that has not left; what is larger waits in pieces.
pub(super) const SEND_BUFFER_MAX: usize = 64 << 10;

/// How a stream's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Answered,
    /// The client left before its answer had ended.
    Left,
}

/// Why a response did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The client left the stream or the connection, or is too slow.
    Client,
    /// The body broke off, and the client was told.
    Broken,
}

impl From<::h2::Error> for Unsent {
    fn from(_: ::h2::Error) -> Self {
        Self::Client
    }
}

impl From<Unsent> for Ended {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Client => Self::Left,
            Unsent::Broken => Self::Answered,
        }
    }
}

/// A request that waits for its answer.
pub(super) struct Answering<W: World> {
    pub(super) front: Arc<Front<W>>,
    pub(super) exchange: Exchange,
    pub(super) respond: SendResponse<Bytes>,
}

/// What a request brought, for whoever passes it on.
pub(super) struct Brought<W: World> {
    pub(super) parts: request::Parts,
    pub(super) body: RecvStream,
    pub(super) peer: SocketAddr,
    pub(super) scheme: Scheme,
    pub(super) proxy: Arc<HttpProxy<Proxying<W>>>,
    pub(super) stop: watch::Receiver<bool>,
}

/// A head that was sent, and what is to follow it.
struct Begun {
    stream: SendStream<Bytes>,
    has_body: bool,
}

impl<W: World> Answering<W> {
    /// A fresh response from memory. What the client has no room for yet is to be sent by a task.
    pub(super) fn hit(
        mut self,
        resident: Arc<Resident<Bytes>>,
        age: Duration,
    ) -> Option<impl Future<Output = Ended> + use<W>> {
        let account = exchange::account_of_hit(&resident, age);
        let status = resident.head.status;
        let begun = self.send_head(&resident.head, Length::Known(resident.length), &account);
        let mut stream = match begun {
            Ok(Begun { stream, has_body: true }) => stream,
            Ok(Begun { has_body: false, .. }) => {
                self.end(status, &account, Ok(0));
                return None;
            }
            Err(unsent) => {
                self.end(status, &account, Err(unsent));
                return None;
            }
        };
        let length = usize::try_from(resident.length.0).unwrap_or(usize::MAX);
        if length <= SEND_BUFFER_MAX {
            stream.reserve_capacity(length);
            if stream.capacity() >= length {
                let sent = send_at_once(&mut stream, &resident);
                self.end(status, &account, sent);
                return None;
            }
        }
        Some(async move {
            let sent = send_whole(&mut stream, &resident, self.front.timeouts.write).await;
            self.end(status, &account, sent)
        })
    }

    /// An answer of our own.
    pub(super) async fn tell(mut self, answer: OwnAnswer) -> Ended {
        let sent = self.send_own(&answer).await;
        self.end(answer.status, &answer.account, sent)
    }

    /// What a purge came to.
    pub(super) async fn purge(self, asked: Box<Asked>) -> Ended {
        let answer = self.front.purge(&asked).await;
        self.tell(answer).await
    }

    /// Asks the engine, unless the client goes away before it answers.
    pub(super) async fn ask(mut self, asked: Box<Asked>, brought: Brought<W>) -> Ended {
        let Asked { key, head, framing, .. } = *asked;
        let mut asking = self.front.driver.ask(key, Arc::clone(&head));
        let answer = loop {
            let heard = tokio::select! {
                biased;
                heard = asking.next() => heard,
                _ = poll_fn(|context| self.respond.poll_reset(context)) => return Ended::Left,
            };
            match heard {
                Heard::Answer(answer) => break answer,
                Heard::Interim(interim) => self.send_interim(&interim),
            }
        };
        match answer {
            Answer::Serve(served) => self.serve(served).await,
            Answer::Refuse(refusal) => {
                let answer = OwnAnswer::page(ErrorPage::of(refusal), Account::refused(refusal));
                self.tell(answer).await
            }
            Answer::Pass(bypass) => {
                let passed = Passed {
                    account: Account::passed(bypass),
                    head,
                    protocol: "HTTP/2.0",
                    date: OriginDate::default(),
                };
                Box::pin(passing::pass(self, passed, framing, brought)).await
            }
        }
    }

    /// A response of the engine's.
    async fn serve(mut self, served: Served<W>) -> Ended {
        let Served { head, length, age, fresh_for, outcome, body } = served;
        let account = Account::served(outcome, age, fresh_for);
        let sent = self.send_served(&head, length, body, &account).await;
        self.end(head.status, &account, sent)
    }

    async fn send_served(
        &mut self,
        head: &Head,
        length: Length,
        body: Body<W>,
        account: &Account,
    ) -> Result<u64, Unsent> {
        let wait = self.front.timeouts.write;
        let resident = body.whole().cloned();
        let length = resident.as_ref().map_or(length, |resident| Length::Known(resident.length));
        let Begun { mut stream, has_body } = self.send_head(head, length, account)?;
        match (has_body, resident) {
            (false, _) => Ok(0),
            (true, Some(resident)) => send_whole(&mut stream, &resident, wait).await,
            (true, None) => send_streamed(&mut stream, body, wait).await,
        }
    }

    /// An interim response. One that cannot be sent leaves its request as it is.
    pub(super) fn send_interim(&mut self, interim: &Head) {
        let sent = head::interim(interim).map(|interim| self.respond.send_informational(interim));
        if let Some(Err(error)) = sent {
            tracing::debug!(%error, "an interim response was not sent");
        }
    }

    fn send_head(&mut self, head: &Head, length: Length, account: &Account) -> Result<Begun, Unsent> {
        let response = head::of(head.status, &head.fields, length, account);
        let has_body = head::has_body(head.status, length, self.exchange.is_head);
        self.begin(response, has_body)
    }

    /// Sends a head. One that HTTP cannot carry is no head: then the stream is reset.
    fn begin(&mut self, response: Option<Response<()>>, has_body: bool) -> Result<Begun, Unsent> {
        let Some(response) = response else {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
            return Err(Unsent::Broken);
        };
        let stream = self.respond.send_response(response, !has_body)?;
        Ok(Begun { stream, has_body })
    }

    async fn send_own(&mut self, answer: &OwnAnswer) -> Result<u64, Unsent> {
        let OwnAnswer { status, fields, body, account } = answer;
        let length = Length::Known(answer.length());
        let response = head::of(*status, fields, length, account);
        let has_body = head::has_body(*status, length, self.exchange.is_head);
        let Begun { mut stream, has_body } = self.begin(response, has_body)?;
        if !has_body {
            return Ok(0);
        }
        send(&mut stream, body.clone(), End::After, self.front.timeouts.write).await?;
        Ok(answer.length().0)
    }

    fn end(&self, status: u16, account: &Account, sent: Result<u64, Unsent>) -> Ended {
        self.front.ended(&self.exchange, status, account, &sent);
        sent.map_or_else(Ended::from, |_| Ended::Answered)
    }
}

/// Does the stream end with a piece?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    After,
    Later,
}

impl End {
    fn after(is_last: bool) -> Self {
        if is_last { Self::After } else { Self::Later }
    }
}

/// Sends a body for which there is room.
fn send_at_once(stream: &mut SendStream<Bytes>, resident: &Resident<Bytes>) -> Result<u64, Unsent> {
    let mut left = resident.length.0;
    for chunk in &resident.chunks[..] {
        left -= chunk.len() as u64;
        stream.send_data(chunk.clone(), left == 0)?;
    }
    Ok(resident.length.0)
}

async fn send_whole(
    stream: &mut SendStream<Bytes>,
    resident: &Resident<Bytes>,
    wait: Duration,
) -> Result<u64, Unsent> {
    let mut left = resident.length.0;
    for chunk in &resident.chunks[..] {
        left -= chunk.len() as u64;
        send(stream, chunk.clone(), End::after(left == 0), wait).await?;
    }
    Ok(resident.length.0)
}

/// Sends a body that comes piece by piece.
async fn send_streamed<W: World>(
    stream: &mut SendStream<Bytes>,
    mut body: Body<W>,
    wait: Duration,
) -> Result<u64, Unsent> {
    let mut sent = 0;
    loop {
        let next = tokio::select! {
            biased;
            next = body.next() => next,
            _ = poll_fn(|context| stream.poll_reset(context)) => return Err(Unsent::Client),
        };
        match next {
            Ok(Some(chunk)) => {
                sent += chunk.len() as u64;
                send(stream, chunk, End::Later, wait).await?;
            }
            Ok(None) => {
                stream.send_data(Bytes::new(), true)?;
                return Ok(sent);
            }
            Err(reason) => {
                tracing::debug!(?reason, "a body broke off");
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Err(Unsent::Broken);
            }
        }
    }
}

/// Sends a piece of a body, as the client has room for it. It must make some within each `wait`.
pub(super) async fn send(
    stream: &mut SendStream<Bytes>,
    mut piece: Bytes,
    end: End,
    wait: Duration,
) -> Result<(), Unsent> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len().min(SEND_BUFFER_MAX));
        let room = match stream.capacity() {
            0 => match timeout(wait, poll_fn(|context| stream.poll_capacity(context))).await {
                Ok(Some(room)) => room?,
                Ok(None) => return Err(Unsent::Client),
                Err(_elapsed) => {
                    stream.send_reset(Reason::CANCEL);
                    return Err(Unsent::Client);
                }
            },
            room => room,
        };
        let part = piece.split_to(room.min(piece.len()));
        stream.send_data(part, end == End::After && piece.is_empty())?;
    }
    Ok(())
}
