//! One HTTP/2 connection: requests are judged as those of HTTP/1 are, and each is answered on its stream.
//!
//! The `h2` crate reads and writes frames; what bounds a connection is set here. In memory it may have, at
//! most: the heads of [`STREAMS_MAX`] requests, [`UPLOAD_WINDOW`] of request bodies that nobody has taken, a
//! pipe for each request that is passed, and for each stream [`SEND_BUFFER_MAX`] of a response, which is
//! shared with the cache. Extended CONNECT is not offered, and nothing is pushed. Start at [`serve`].

mod answering;
mod head;
mod line;
mod passing;

use super::{
    Front,
    exchange::{OwnAnswer, Request},
    pace::Pace,
    pingora::Proxying,
    request_head::{
        Fault,
        of_h2::{self, Rest},
    },
    wire::{Wire, WireError},
};
use ::h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use ::pingora::proxy::HttpProxy;
use answering::{Answering, Brought, Ended, SEND_BUFFER_MAX};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use line::Line;
use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tiergate_driver::World;
use tiergate_tiers::http_head::Scheme;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Streams of one connection at a time; the default of nginx is 128.
const STREAMS_MAX: u32 = 128;
/// Streams that a client has reset and that are still known. More end the connection: nobody but an attacker
/// opens streams only to reset them (CVE-2023-44487).
const STREAMS_RESET_MAX: usize = 20;
/// Streams that were reset for what the client did wrong; more end the connection (CVE-2025-8671).
const STREAMS_ERRED_MAX: usize = 100;
/// Answers that a client may leave before their end, beyond those that it took: each cost work that nobody
/// got. A page that is left takes a handful with it.
const LEFT_MAX: u32 = 200;
/// What a stream's body may have brought that nobody has taken, and all of a connection's together.
const STREAM_WINDOW: u32 = 64 << 10;
const UPLOAD_WINDOW: u32 = 256 << 10;
/// What a client of HTTP/2 says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection in clear text turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

/// Waits until it is clear what a client speaks. One that leaves, or says nothing for too long, is left to
/// HTTP/1, which closes.
pub(super) async fn spoken(wire: &mut Wire, idle: Duration, head: Duration) -> Spoken {
    let mut until = Instant::now() + idle;
    loop {
        if wire.read.starts_with(PREFACE) {
            return Spoken::Http2;
        }
        if !PREFACE.starts_with(&wire.read) {
            return Spoken::Http1;
        }
        let was_silent = wire.read.is_empty();
        match wire.read_more(Some(until)).await {
            Ok(()) if was_silent => until = Instant::now() + head,
            Ok(()) => {}
            Err(WireError::Late | WireError::Closed) => return Spoken::Http1,
        }
    }
}

/// Answers all requests of a connection. `stop` becomes true when the server drains.
pub(super) async fn serve<W: World>(
    front: Arc<Front<W>>,
    proxy: Arc<HttpProxy<Proxying<W>>>,
    mut wire: Wire,
    mut stop: watch::Receiver<bool>,
) {
    let (peer, scheme) = (wire.peer, wire.scheme);
    wire.expect(Pace::of_taking(&front.timeouts));
    let line = Line::new(wire);
    let handshake = timeout(front.timeouts.head, options(&front).handshake(line.clone()));
    let frames = tokio::select! {
        biased;
        shaken = handshake => match shaken {
            Ok(Ok(frames)) => frames,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "no HTTP/2 was begun"),
            Err(_elapsed) => return tracing::debug!(%peer, "HTTP/2 was not begun in time"),
        },
        // Nothing was asked yet, so there is nothing to finish.
        _ = stop.wait_for(|stops| *stops) => return,
    };
    line.gather();
    let streams = JoinSet::new();
    let mut connection =
        Connection { front, proxy, frames, line, streams, peer, scheme, stop, stage: Stage::Open };
    connection.answer_all().await;
    let Connection { frames, line, mut streams, .. } = connection;
    // Streams that are still being answered learn of it, and tell the engine.
    drop(frames);
    while streams.join_next().await.is_some() {}
    if let Some(mut wire) = line.into_wire() {
        wire.linger().await;
    }
}

fn options<W: World>(front: &Front<W>) -> Builder {
    // What is a little too large is refused by us, with a page and a line in the log; what is far too large
    // by the `h2` crate, which has neither.
    let head_bytes_max =
        u32::try_from(front.head_limits.head_bytes_max).unwrap_or(u32::MAX).saturating_mul(2);
    let mut options = Builder::new();
    options
        .max_header_list_size(head_bytes_max)
        .max_concurrent_streams(STREAMS_MAX)
        .max_concurrent_reset_streams(STREAMS_RESET_MAX)
        .max_pending_accept_reset_streams(STREAMS_RESET_MAX)
        .max_local_error_reset_streams(Some(STREAMS_ERRED_MAX))
        .max_send_buffer_size(SEND_BUFFER_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(UPLOAD_WINDOW);
    options
}

struct Connection<W: World> {
    front: Arc<Front<W>>,
    proxy: Arc<HttpProxy<Proxying<W>>>,
    frames: ::h2::server::Connection<Line, Bytes>,
    line: Line,
    /// Answers that did not leave at once.
    streams: JoinSet<Ended>,
    peer: SocketAddr,
    scheme: Scheme,
    stop: watch::Receiver<bool>,
    stage: Stage,
}

/// ```text
///   Open ──drain──▶ Draining ──no stream left──▶ Closing
///     └──idle, or too many answers left──────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The client was told to open no more streams.
    Draining,
    /// The last frame is on its way.
    Closing,
}

/// What a connection waits for.
enum Event {
    Asked(Box<(http::Request<RecvStream>, SendResponse<Bytes>)>),
    /// An answer that did not leave at once has ended. `None` where its task panicked.
    Ended(Option<Ended>),
    Closed,
}

impl<W: World> Connection<W> {
    /// Ends when the connection is to be closed.
    async fn answer_all(&mut self) {
        let idle = self.front.timeouts.idle;
        let mut busy_at = Instant::now();
        let mut left_max = LEFT_MAX;
        let mut idling = pin!(sleep(idle));
        let mut stop = self.stop.clone();
        let mut stopping = pin!(stop.wait_for(|stops| *stops));
        loop {
            tokio::select! {
                biased;
                event = poll_fn(|context| self.poll_event(context)) => {
                    busy_at = Instant::now();
                    match event {
                        Event::Asked(asked) => self.begin(asked.0, asked.1),
                        Event::Ended(Some(Ended::Left)) => left_max = left_max.saturating_sub(1),
                        Event::Ended(Some(Ended::Answered)) => left_max = LEFT_MAX.min(left_max + 1),
                        Event::Ended(None) => {}
                        Event::Closed => return,
                    }
                    if left_max == 0 {
                        self.close(Reason::ENHANCE_YOUR_CALM);
                    }
                }
                _ = &mut stopping, if self.stage == Stage::Open => {
                    self.stage = Stage::Draining;
                    self.frames.graceful_shutdown();
                }
                () = &mut idling, if self.stage != Stage::Closing => {
                    let idle_since = if self.frames.has_streams() { Instant::now() } else { busy_at };
                    if idle_since.elapsed() >= idle {
                        self.close(Reason::NO_ERROR);
                    }
                    idling.as_mut().reset(idle_since + idle);
                }
            }
        }
    }

    /// What comes next. What has been answered leaves before anything is waited for.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        match self.frames.poll_accept(context) {
            Poll::Ready(Some(Ok(asked))) => return Poll::Ready(Event::Asked(Box::new(asked))),
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(peer = %self.peer, %error, "a connection broke");
                return Poll::Ready(Event::Closed);
            }
            Poll::Ready(None) => return Poll::Ready(Event::Closed),
            Poll::Pending => {}
        }
        if let Poll::Ready(Some(ended)) = self.streams.poll_join_next(context) {
            return Poll::Ready(Event::Ended(ended.ok()));
        }
        if let Poll::Ready(Err(error)) = self.line.poll_leave(context) {
            tracing::debug!(peer = %self.peer, %error, "a client takes nothing more");
            return Poll::Ready(Event::Closed);
        }
        if self.stage == Stage::Draining && !self.frames.has_streams() {
            self.close(Reason::NO_ERROR);
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The client is told up to which stream it was answered, and the connection ends.
    fn close(&mut self, reason: Reason) {
        if self.stage != Stage::Closing {
            self.stage = Stage::Closing;
            self.frames.abrupt_shutdown(reason);
        }
    }

    /// Judges a request and answers it, or has it answered.
    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (mut parts, body) = request.into_parts();
        join_cookies(&mut parts.headers);
        let rest = if body.is_end_stream() { Rest::Nothing } else { Rest::Data };
        let (front, peer) = (Arc::clone(&self.front), self.peer.ip());
        let mut places = Vec::new();
        let standing = front.trusted.standing(peer);
        let judged = of_h2::judge(&parts, rest, self.scheme, standing, &front.head_limits, &mut places);
        match judged.and_then(|parsed| front.begin(&parsed, peer, "HTTP/2.0")) {
            Ok((Request::Hit(resident, age), exchange)) => {
                if let Some(rest) = (Answering { front, exchange, respond }).hit(resident, age) {
                    self.streams.spawn(rest);
                }
            }
            Ok((Request::Ask(asked), exchange)) => {
                let (proxy, stop) = (Arc::clone(&self.proxy), self.stop.clone());
                let brought = Brought { parts, body, peer: self.peer, scheme: self.scheme, proxy, stop };
                self.streams.spawn(Answering { front, exchange, respond }.ask(asked, brought));
            }
            Ok((Request::Purge(asked), exchange)) => {
                self.streams.spawn(Answering { front, exchange, respond }.purge(asked));
            }
            Ok((Request::TurnAway(answer, _), exchange)) => {
                self.streams.spawn(Answering { front, exchange, respond }.tell(*answer));
            }
            Err(fault) => self.refuse(respond, fault),
        }
    }

    /// Answers what is no request that anybody could be asked about.
    fn refuse(&mut self, respond: SendResponse<Bytes>, fault: Fault) {
        let front = Arc::clone(&self.front);
        let exchange = front.begin_unknown(self.peer.ip(), "HTTP/2.0");
        self.streams.spawn(Answering { front, exchange, respond }.tell(OwnAnswer::fault(fault)));
    }
}

/// Cookies may come in several fields, and leave in one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_some() {
        let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let joined = HeaderValue::from_bytes(&all.join(&b"; "[..]));
        headers.insert(header::COOKIE, joined.expect("values that were right are joined by what is right"));
    }
}
