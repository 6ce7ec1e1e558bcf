//! One HTTP/1 connection: requests are read, judged, answered, one after the other.
//!
//! What is fresh in memory is answered before anything is built: the key is made of the head's own text, and
//! the response goes out in one write. Everything else is asked of the engine. What that passes around the
//! cache is proxied by Pingora, which is lent the connection for that one request. Start at [`serve`].

mod sending;

use super::{
    Front, Timeouts,
    exchange::{self, Asked, Exchange, OwnAnswer, Request},
    forwarding,
    handover::HandedOver,
    origin_date::OriginDate,
    pace::Pace,
    pingora::{Passed, Proxying},
    request_head::{self, Fault, Framing},
    response_head::{self, BodyFraming},
    wire::{Wire, WireError},
};
use crate::{
    config::FIELD_LINES_MOST,
    response::{Account, ErrorPage},
};
use bytes::{Bytes, BytesMut};
use pingora::{apps::HttpServerApp, protocols::http::ServerSession, proxy::HttpProxy};
use sending::Unsent;
use std::{mem::MaybeUninit, sync::Arc, time::Duration};
use tiergate_driver::{Answer, Heard, Served, World};
use tiergate_engine::Resident;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

/// Buffers that have grown beyond this are not kept while the client is idle.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// Answers all requests of a connection. `stop` becomes true when the server drains.
pub(super) async fn serve<W: World>(
    front: Arc<Front<W>>,
    proxy: Arc<HttpProxy<Proxying<W>>>,
    mut wire: Wire,
    stop: watch::Receiver<bool>,
) {
    wire.expect(Pace::of_taking(&front.timeouts));
    let mut connection = Connection {
        front,
        proxy,
        wire,
        stop,
        requests: 0,
        out: BytesMut::new(),
        lowered: Vec::new(),
        raw: Vec::new(),
    };
    loop {
        match connection.exchange().await {
            Next::Request => {}
            Next::HandOver(handed) => match connection.hand_over(*handed).await {
                Some(back) => connection = back,
                None => return,
            },
            Next::Close => return,
            Next::Linger => return connection.wire.linger().await,
            Next::Reset => return connection.wire.reset(),
        }
    }
}

struct Connection<W: World> {
    front: Arc<Front<W>>,
    proxy: Arc<HttpProxy<Proxying<W>>>,
    wire: Wire,
    stop: watch::Receiver<bool>,
    /// How many have come.
    requests: u32,
    /// What is written next.
    out: BytesMut,
    /// The head that is being answered, names in lower case.
    lowered: Vec<u8>,
    /// The same as it came, where memory has not answered it.
    raw: Vec<u8>,
}

/// What comes after an exchange.
enum Next {
    /// Another request.
    Request,
    /// The same request, answered by Pingora.
    HandOver(Box<Handed>),
    /// The end of the connection.
    Close,
    /// The same, once the client has had time to read what it was told.
    Linger,
    /// The end that tells the client that something broke off.
    Reset,
}

/// A request for Pingora.
struct Handed {
    head: Bytes,
    framing: Framing,
    upgrades: bool,
    keeps_open: bool,
    passed: Passed,
    exchange: Exchange,
}

/// What a request asks of the connection.
#[derive(Clone, Copy)]
struct Manner {
    is_head: bool,
    is_http_10: bool,
    keeps_open: bool,
}

impl Manner {
    /// The same where nobody reads the request's body, if it has one: it would be taken for the next request.
    fn without_body_unread(mut self, framing: Framing) -> Self {
        self.keeps_open &= framing == Framing::Empty;
        self
    }
}

impl<W: World> Connection<W> {
    /// One request and its answer.
    async fn exchange(&mut self) -> Next {
        let length = match self.read_head().await {
            Ok(length) => length,
            Err(next) => return next,
        };
        let (request, exchange, manner) = match self.read_request(length) {
            Ok(read) => read,
            Err(fault) => return self.refuse(OwnAnswer::fault(fault)).await,
        };
        self.wire.consume(length);
        match request {
            Request::Hit(resident, age) => self.serve_hit(&resident, age, exchange, manner).await,
            Request::Ask(asked) => self.ask(*asked, exchange, manner).await,
            Request::Purge(asked) => {
                let answer = self.front.purge(&asked).await;
                self.tell(answer, exchange, manner.without_body_unread(asked.framing)).await
            }
            Request::TurnAway(answer, framing) => {
                self.tell(*answer, exchange, manner.without_body_unread(framing)).await
            }
        }
    }

    /// Waits for a whole head, and says how long it is.
    async fn read_head(&mut self) -> Result<usize, Next> {
        let Timeouts { idle, head, .. } = self.front.timeouts;
        let mut searched = 0;
        let mut until = None;
        loop {
            match request_head::find_end(&self.wire.read, searched, &self.front.head_limits) {
                Ok(Some(length)) => return Ok(length),
                Ok(None) => searched = self.wire.read.len(),
                Err(fault) => return Err(self.refuse(OwnAnswer::fault(fault)).await),
            }
            let is_idle = searched == 0;
            if is_idle {
                self.shrink();
                if *self.stop.borrow() {
                    return Err(Next::Close);
                }
            } else if until.is_none() {
                until = Some(Instant::now() + head);
            }
            let more = if is_idle {
                tokio::select! {
                    biased;
                    more = self.wire.read_more(Some(Instant::now() + idle)) => more,
                    _ = self.stop.changed() => return Err(Next::Close),
                }
            } else {
                self.wire.read_more(until).await
            };
            match more {
                Ok(()) => {}
                Err(WireError::Late) if !is_idle => {
                    let account = Account::own("request-timed-out");
                    return Err(self.refuse(OwnAnswer::page(ErrorPage::REQUEST_LATE, account)).await);
                }
                Err(WireError::Late | WireError::Closed) => return Err(Next::Close),
            }
        }
    }

    /// Judges the head that the first `length` bytes are, and looks for it in memory.
    fn read_request(&mut self, length: usize) -> Result<(Request, Exchange, Manner), Fault> {
        self.requests += 1;
        let front = &*self.front;
        let raw = &self.wire.read[..length];
        self.lowered.clear();
        self.lowered.extend_from_slice(raw);
        request_head::lower_names(&mut self.lowered);
        let mut places = [const { MaybeUninit::uninit() }; FIELD_LINES_MOST];
        let (peer, scheme) = (self.wire.peer.ip(), self.wire.scheme);
        let standing = front.trusted.standing(peer);
        let parsed = request_head::parse(&self.lowered, scheme, standing, &front.head_limits, &mut places)?;
        let manner = Manner {
            is_head: parsed.method == "HEAD",
            is_http_10: parsed.is_http_10,
            keeps_open: parsed.keeps_open
                && self.requests < front.requests_per_connection
                && !*self.stop.borrow(),
        };
        let protocol = if parsed.is_http_10 { "HTTP/1.0" } else { "HTTP/1.1" };
        let (request, exchange) = front.begin(&parsed, peer, protocol)?;
        match request {
            Request::Ask(_) => {
                self.raw.clear();
                self.raw.extend_from_slice(raw);
            }
            Request::Hit(..) | Request::Purge(_) | Request::TurnAway(..) => {}
        }
        Ok((request, exchange, manner))
    }

    /// The head that is being answered, in one spelling.
    fn written_anew(&self) -> Bytes {
        let front = &*self.front;
        let mut places = [const { MaybeUninit::uninit() }; FIELD_LINES_MOST];
        let (scheme, standing) = (self.wire.scheme, front.trusted.standing(self.wire.peer.ip()));
        let parsed = request_head::parse(&self.lowered, scheme, standing, &front.head_limits, &mut places)
            .expect("it was judged when it came, by the same limits");
        let authority = parsed.authority.as_deref().unwrap_or(&front.default_authority);
        forwarding::written_anew(&self.raw, &parsed, authority, standing, &front.unforwarded).into()
    }

    /// Asks the engine, unless the client goes away before it answers: dropping the question tells the
    /// engine.
    async fn ask(&mut self, asked: Asked, exchange: Exchange, manner: Manner) -> Next {
        let Asked { key, head, framing, upgrades } = asked;
        let keeps_open = manner.keeps_open;
        let manner = manner.without_body_unread(framing);
        let mut asking = self.front.driver.ask(key, Arc::clone(&head));
        let answer = loop {
            let heard = tokio::select! {
                biased;
                heard = asking.next() => heard,
                () = self.wire.left() => return Next::Close,
            };
            match heard {
                Heard::Answer(answer) => break answer,
                // A client of HTTP/1.0 knows of none (RFC 9110 section 15.2).
                Heard::Interim(_) if manner.is_http_10 => {}
                Heard::Interim(interim) => {
                    self.out.clear();
                    response_head::write_interim(&mut self.out, &interim);
                    self.wire.begin_response();
                    if self.wire.write_all::<Bytes>(&self.out, &[]).await.is_err() {
                        return Next::Close;
                    }
                }
            }
        };
        match answer {
            Answer::Serve(served) => self.serve(served, exchange, manner).await,
            Answer::Refuse(refusal) => {
                let answer = OwnAnswer::page(ErrorPage::of(refusal), Account::refused(refusal));
                self.tell(answer, exchange, manner).await
            }
            Answer::Pass(bypass) => {
                let protocol = if manner.is_http_10 { "HTTP/1.0" } else { "HTTP/1.1" };
                let passed =
                    Passed { account: Account::passed(bypass), head, protocol, date: OriginDate::default() };
                let head = self.written_anew();
                let handed = Handed { head, framing, upgrades, keeps_open, passed, exchange };
                Next::HandOver(Box::new(handed))
            }
        }
    }

    /// A fresh response from memory.
    async fn serve_hit(
        &mut self,
        resident: &Resident<Bytes>,
        age: Duration,
        exchange: Exchange,
        manner: Manner,
    ) -> Next {
        let account = exchange::account_of_hit(resident, age);
        let sent = self.send_whole(&resident.head, resident, &account, manner).await;
        self.end(sent, resident.head.status, &account, &exchange, manner)
    }

    /// A response of the engine's.
    async fn serve(&mut self, served: Served<W>, exchange: Exchange, mut manner: Manner) -> Next {
        let Served { head, length, age, fresh_for, outcome, body } = served;
        let account = Account::served(outcome, age, fresh_for);
        let sent = match body.whole().cloned() {
            Some(resident) => self.send_whole(&head, &resident, &account, manner).await,
            None => {
                let framing = BodyFraming::of(head.status, length, manner.is_http_10);
                manner.keeps_open &= framing != BodyFraming::UntilClose;
                self.send_streamed(&head, framing, body, &account, manner).await
            }
        };
        self.end(sent, head.status, &account, &exchange, manner)
    }

    /// An answer of our own.
    async fn tell(&mut self, answer: OwnAnswer, exchange: Exchange, manner: Manner) -> Next {
        let sent = self.send_own(&answer, manner).await;
        self.end(sent, answer.status, &answer.account, &exchange, manner)
    }

    /// How an exchange ended.
    fn end(
        &self,
        sent: Result<u64, Unsent>,
        status: u16,
        account: &Account,
        exchange: &Exchange,
        manner: Manner,
    ) -> Next {
        self.front.ended(exchange, status, account, &sent);
        match sent {
            Ok(_) if manner.keeps_open => Next::Request,
            Ok(_) => Next::Linger,
            Err(Unsent::Client | Unsent::Told) => Next::Close,
            Err(Unsent::Untold) => Next::Reset,
        }
    }

    /// Answers what is no request that anybody could be asked about.
    async fn refuse(&mut self, answer: OwnAnswer) -> Next {
        let manner = Manner { is_head: false, is_http_10: false, keeps_open: false };
        let exchange = self.front.begin_unknown(self.wire.peer.ip(), "HTTP/1.1");
        self.tell(answer, exchange, manner).await
    }

    /// Lends the connection to Pingora. It comes back if another request may follow.
    async fn hand_over(self, handed: Handed) -> Option<Self> {
        let Self { front, proxy, mut wire, stop, requests, out, lowered, raw } = self;
        wire.begin_response();
        let Handed { head, framing, upgrades, keeps_open, passed, exchange } = handed;
        let (back, dropped) = oneshot::channel();
        let handed = HandedOver::new(wire, head, framing, upgrades, Pace::of_sending(&front.timeouts), back)
            .with_date(passed.date.clone());
        let mut session = ServerSession::new_http1(Box::new(handed));
        // How slow a client may be is watched byte by byte, and not call by call.
        session.set_read_timeout(None);
        let idle = keeps_open.then(|| front.timeouts.idle.as_secs().max(1));
        session.set_keepalive(idle);
        // The time is set anew by what the request says, and this is not.
        session.set_keepalive_reuses_remaining((!keeps_open).then_some(0));
        session.set_connection_user_context(Some(Box::new(passed)));
        let reused = proxy.process_new_http(session, &stop).await;
        drop(exchange);
        let handed = reused.and_then(|reused| reused.consume().0.into_any().downcast::<HandedOver>().ok());
        let Some(wire) = handed.and_then(|handed| handed.into_wire()) else {
            // It is not used again, and Pingora may have dropped it as it was.
            if let Ok(mut wire) = dropped.await {
                wire.linger().await;
            }
            return None;
        };
        Some(Self { front, proxy, wire, stop, requests, out, lowered, raw })
    }

    /// An idle connection keeps little.
    fn shrink(&mut self) {
        if self.out.capacity() > KEPT_BYTES_MAX {
            self.out = BytesMut::new();
        }
        for kept in [&mut self.lowered, &mut self.raw] {
            if kept.capacity() > KEPT_BYTES_MAX {
                *kept = Vec::new();
            }
        }
        if self.wire.read.is_empty() && self.wire.read.capacity() > KEPT_BYTES_MAX {
            self.wire.read = BytesMut::new();
        }
    }
}
