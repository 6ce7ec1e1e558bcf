//! One HTTP/1 connection: requests are read, judged, answered, one after the other.
//!
//! What is fresh in memory is answered before anything is built: the key is made of the head's own text, and
//! the response goes out in one write. Everything else is asked of the engine. What that passes around the
//! cache is proxied by Pingora, which is lent the connection for that one request. Start at [`serve`].

mod sending;

use super::{
    Front, Timeouts,
    forwarding::{self, Client},
    handover::HandedOver,
    log::{LoggedRequest, LoggedResponse},
    pingora::{Passed, Proxying},
    request_head::{self, FIELD_LINES_MOST, Fault, Framing},
    requests::{TurnedAway, UnderWay},
    response_head::{self, BodyFraming},
    wire::{Wire, WireError},
};
use crate::response::{Account, ErrorPage};
use bytes::{Bytes, BytesMut};
use pingora::{apps::HttpServerApp, protocols::http::ServerSession, proxy::HttpProxy};
use sending::Unsent;
use std::{mem::MaybeUninit, sync::Arc, time::Duration};
use tiergate_driver::{Answer, Heard, Served, World};
use tiergate_engine::{CacheKey, Outcome, RequestHead, Resident, TierId};
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
    wire.expect(front.timeouts.taking());
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
    passed: Option<Passed>,
    under_way: Option<UnderWay>,
}

/// What a request asks of the connection.
#[derive(Clone, Copy)]
struct Manner {
    is_head: bool,
    is_http_10: bool,
    keeps_open: bool,
}

/// A request that is being answered.
struct Exchange {
    manner: Manner,
    /// There, if something is written of it.
    logged: Option<LoggedRequest>,
    began: std::time::Instant,
    under_way: Option<UnderWay>,
}

/// A request that was read.
enum Request {
    /// It is in memory, and this old.
    Hit(Arc<Resident<Bytes>>, Duration),
    Ask(Box<Asked>),
    /// A purge, with so much of a body. Pingora's side answers it.
    Purge(Framing),
    /// It comes at a time when nobody is asked for it, and has so much of a body.
    TurnAway(TurnedAway, Framing),
}

/// A question to the engine.
struct Asked {
    key: CacheKey,
    head: Arc<RequestHead>,
    framing: Framing,
    upgrades: bool,
}

impl<W: World> Connection<W> {
    /// One request and its answer.
    async fn exchange(&mut self) -> Next {
        let length = match self.read_head().await {
            Ok(length) => length,
            Err(next) => return next,
        };
        let (request, exchange) = match self.read_request(length) {
            Ok(read) => read,
            Err(fault) => return self.refuse_fault(fault).await,
        };
        self.wire.consume(length);
        match request {
            Request::Hit(resident, age) => self.serve_hit(&resident, age, exchange).await,
            Request::Ask(asked) => self.ask(*asked, exchange).await,
            Request::Purge(framing) => {
                let head = self.written_anew();
                let Exchange { manner: Manner { keeps_open, .. }, under_way, .. } = exchange;
                let handed = Handed { head, framing, upgrades: false, keeps_open, passed: None, under_way };
                Next::HandOver(Box::new(handed))
            }
            Request::TurnAway(why, framing) => self.turn_away(why, framing, exchange).await,
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
                Err(fault) => return Err(self.refuse_fault(fault).await),
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
                    return Err(self
                        .refuse(ErrorPage::REQUEST_LATE, Account::own("request-timed-out"))
                        .await);
                }
                Err(WireError::Late | WireError::Closed) => return Err(Next::Close),
            }
        }
    }

    /// Judges the head that the first `length` bytes are, and looks for it in memory.
    fn read_request(&mut self, length: usize) -> Result<(Request, Exchange), Fault> {
        let began = std::time::Instant::now();
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
        let client = || Client::of(peer, parsed.scheme, &front.trusted, parsed.lines());
        let authority = parsed.authority.as_deref().unwrap_or_else(|| &front.default_authority);
        let key = CacheKey::of(authority, &parsed.target);
        let method = parsed.engine_method();
        let manner = Manner {
            is_head: parsed.method == "HEAD",
            is_http_10: parsed.is_http_10,
            keeps_open: parsed.keeps_open
                && self.requests < front.requests_per_connection
                && !*self.stop.borrow(),
        };
        let logged = front.logs().then(|| {
            let mut logged = LoggedRequest {
                method: parsed.method.to_owned(),
                host: authority.to_owned(),
                target: parsed.target.to_string(),
                protocol: if parsed.is_http_10 { "HTTP/1.0" } else { "HTTP/1.1" },
                ..LoggedRequest::of(client().address)
            };
            logged.keep(parsed.lines());
            logged
        });
        let mut exchange = Exchange { manner, logged, began, under_way: None };
        match front.admit(|| client().address) {
            Ok(under_way) => exchange.under_way = under_way,
            Err(why) => return Ok((Request::TurnAway(why, parsed.framing), exchange)),
        }
        if method.is_lookup()
            && let Some((resident, age)) = front.driver.fresh_hit(key, method, parsed.lines())
        {
            return Ok((Request::Hit(resident, age), exchange));
        }
        self.raw.clear();
        self.raw.extend_from_slice(raw);
        let (framing, upgrades) = (parsed.framing, parsed.upgrades);
        if parsed.method == "PURGE" {
            return Ok((Request::Purge(framing), exchange));
        }
        let mut head = parsed.engine_head(authority, &front.unforwarded)?;
        if forwarding::is_loop(parsed.lines(), &front.loop_id) {
            return Err(Fault::Loop);
        }
        forwarding::tell_of_client(&mut head.fields, authority, &client(), &front.loop_id);
        let asked = Asked { key, head: Arc::new(head), framing, upgrades };
        Ok((Request::Ask(Box::new(asked)), exchange))
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
    async fn ask(&mut self, asked: Asked, mut exchange: Exchange) -> Next {
        let Asked { key, head, framing, upgrades } = asked;
        let keeps_open = exchange.manner.keeps_open;
        // A body that nobody reads would be taken for the next request.
        exchange.manner.keeps_open &= framing == Framing::Empty;
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
                Heard::Interim(_) if exchange.manner.is_http_10 => {}
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
            Answer::Serve(served) => self.serve(served, exchange).await,
            Answer::Refuse(refusal) => {
                let (page, account) = (ErrorPage::of(refusal), Account::refused(refusal));
                let sent = self.send_page(page, &account, exchange.manner).await;
                self.end(sent, page.status, &account, &exchange)
            }
            Answer::Pass(bypass) => {
                let passed = Passed { account: Account::passed(bypass), head };
                let head = self.written_anew();
                let Exchange { under_way, .. } = exchange;
                let passed = Some(passed);
                Next::HandOver(Box::new(Handed { head, framing, upgrades, keeps_open, passed, under_way }))
            }
        }
    }

    /// A fresh response from memory.
    async fn serve_hit(&mut self, resident: &Resident<Bytes>, age: Duration, exchange: Exchange) -> Next {
        let fresh_for = resident.freshness.lifetime.saturating_sub(age);
        let account = Account::served(Outcome::Hit { tier: TierId::L0 }, age, fresh_for);
        let sent = self.send_whole(&resident.head, resident, &account, exchange.manner).await;
        self.end(sent, resident.head.status, &account, &exchange)
    }

    /// A response of the engine's.
    async fn serve(&mut self, served: Served<W>, mut exchange: Exchange) -> Next {
        let Served { head, length, age, fresh_for, outcome, body } = served;
        let account = Account::served(outcome, age, fresh_for);
        let sent = match body.whole().cloned() {
            Some(resident) => self.send_whole(&head, &resident, &account, exchange.manner).await,
            None => {
                let framing = BodyFraming::of(head.status, length, exchange.manner.is_http_10);
                exchange.manner.keeps_open &= framing != BodyFraming::UntilClose;
                self.send_streamed(&head, framing, body, &account, exchange.manner).await
            }
        };
        self.end(sent, head.status, &account, &exchange)
    }

    /// How an exchange ended.
    fn end(&self, sent: Result<u64, Unsent>, status: u16, account: &Account, exchange: &Exchange) -> Next {
        let response = LoggedResponse {
            status,
            bytes: sent.as_ref().copied().unwrap_or(0),
            took: exchange.began.elapsed(),
            cache_status: account.status(),
            is_broken: sent.is_err(),
        };
        self.front.responded(exchange.logged.as_ref(), &response);
        match sent {
            Ok(_) if exchange.manner.keeps_open => Next::Request,
            Ok(_) => Next::Linger,
            Err(Unsent::Client | Unsent::Told) => Next::Close,
            Err(Unsent::Untold) => Next::Reset,
        }
    }

    /// Answers what is no request that anybody could be asked about.
    async fn refuse_fault(&mut self, fault: Fault) -> Next {
        let page = ErrorPage::of_fault(fault);
        self.refuse(page, Account::own(fault.detail())).await
    }

    /// Answers a request that comes when nobody is asked for it.
    async fn turn_away(&mut self, why: TurnedAway, framing: Framing, mut exchange: Exchange) -> Next {
        exchange.manner.keeps_open &= framing == Framing::Empty;
        let (page, account) = (why.page(), why.account());
        let sent = self.send_page(page, &account, exchange.manner).await;
        self.end(sent, page.status, &account, &exchange)
    }

    async fn refuse(&mut self, page: ErrorPage, account: Account) -> Next {
        let manner = Manner { is_head: false, is_http_10: false, keeps_open: false };
        let logged = self.front.logs().then(|| LoggedRequest::of(self.wire.peer.ip()));
        let exchange = Exchange { manner, logged, began: std::time::Instant::now(), under_way: None };
        let sent = self.send_page(page, &account, manner).await;
        self.end(sent, page.status, &account, &exchange)
    }

    /// Lends the connection to Pingora. It comes back if another request may follow.
    async fn hand_over(self, handed: Handed) -> Option<Self> {
        let Self { front, proxy, mut wire, stop, requests, out, lowered, raw } = self;
        wire.begin_response();
        let Handed { head, framing, upgrades, keeps_open, passed, under_way } = handed;
        let (back, dropped) = oneshot::channel();
        let handed = HandedOver::new(wire, head, framing, upgrades, front.timeouts.sending(), back);
        let mut session = ServerSession::new_http1(Box::new(handed));
        // How slow a client may be is watched byte by byte, and not call by call.
        session.set_read_timeout(None);
        let idle = keeps_open.then(|| front.timeouts.idle.as_secs().max(1));
        session.set_keepalive(idle);
        // The time is set anew by what the request says, and this is not.
        session.set_keepalive_reuses_remaining((!keeps_open).then_some(0));
        if let Some(passed) = passed {
            session.set_connection_user_context(Some(Box::new(passed)));
        }
        let reused = proxy.process_new_http(session, &stop).await;
        drop(under_way);
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
