//! The origin: a real HTTP server with versions that change and a bad temper.
//!
//! It decides which version it serves when a request arrives, and may deliver it much later: caches have been
//! wrong in exactly that gap. What it does to each answer is drawn from its own stream of the seed.

pub(crate) mod forwarded;
mod head;
mod lies;
pub(super) mod raw;

use super::{
    body,
    catalogue::{Framing, between, percent},
    links::End,
    stage::{PORT, Stage},
    tls,
};
use bytes::Bytes;
use head::Represented;
use http::{HeaderMap, Method, Request, Response, StatusCode, header, request};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use raw::{MALFORMED_HEADS, Next, Raw};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tiergate_engine::Random;
use tiergate_invariants::{Edge, Version, Violation, What};
use tiergate_scenarios::{Between, FaultKind, Figure, Link};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep},
};
use turmoil::net::TcpListener;

/// Bytes of a body sent at a time, so that a body takes several pieces whatever its length.
const PIECE: u64 = 4 << 10;

/// Runs the origin until the world ends.
pub(crate) async fn run(stage: Arc<Stage>) -> turmoil::Result {
    let answers = Arc::new(Mutex::new(vec![0; stage.scenario.objects.count as usize]));
    tokio::spawn(publish(Arc::clone(&stage)));
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let Some(edge) = stage.edge_at(peer.ip()) else {
            continue;
        };
        let next = Next::default();
        let stream = stage.wire(Link::Origin, edge, End::Far).on(stream);
        let connection = Connection { stage: Arc::clone(&stage), answers: Arc::clone(&answers), edge, next };
        match stage.scenario.topology.origin_tls {
            false => drop(tokio::spawn(serve(connection, stream))),
            true => drop(tokio::spawn(async move {
                // Whoever does not shake hands sees how it ended as well.
                if let Ok(stream) = tls::at_origin().accept(stream).await {
                    serve(connection, stream).await;
                }
            })),
        }
    }
}

/// Answers all requests of a connection.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(connection: Connection, stream: S) {
    let stream = Raw::new(stream, connection.next.clone());
    let service = service_fn(move |request| answer(connection.clone(), request));
    let connection =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
    // How it ended, the client sees.
    drop(connection.await);
}

/// A connection of an edge.
#[derive(Clone)]
struct Connection {
    stage: Arc<Stage>,
    /// How many answers there were about each object.
    answers: Arc<Mutex<Vec<u32>>>,
    edge: u32,
    next: Next,
}

/// Says what is served from when on.
async fn publish(stage: Arc<Stage>) {
    let mut slept_ms = 0;
    for (at_ms, number, version) in stage.catalogue.publications() {
        if at_ms > slept_ms {
            sleep(Duration::from_millis(at_ms - slept_ms)).await;
            slept_ms = at_ms;
        }
        let object = stage.catalogue.object(number);
        let drawn = object.version(version);
        for key in stage.catalogue.keys_of(object) {
            stage.log.push(What::Published {
                key,
                version: Version(version),
                length: drawn.length,
                storable: object.is_storable(),
                lifetime_ns: object.lifetime_s(version) * 1_000_000_000,
            });
        }
        stage.publish(number, version);
    }
}

/// The origin breaks the connection instead of answering, or in the middle of an answer.
#[derive(Debug)]
struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the origin broke off on purpose")
    }
}

impl std::error::Error for BrokenOff {}

async fn answer(of: Connection, request: Request<Incoming>) -> Result<Response<Answer>, BrokenOff> {
    let Connection { stage, answers, edge, next } = of;
    let (asked, body) = request.into_parts();
    check_cookies(&stage, &asked.headers);
    let Some(number) = stage.catalogue.number_of(asked.uri.path()) else {
        return Ok(alone(stage, StatusCode::NOT_FOUND));
    };
    if let Some(wrong) = forwarded::wrong(&asked.headers, &stage.scenario) {
        let detail = format!("edge {edge} told the origin {wrong}");
        stage.log.fail(Violation { rule: "forwarded", detail });
    }
    let object = stage.catalogue.object(number);
    let answer = {
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers[number as usize];
        answers[number as usize] += 1;
        answer
    };
    match asked.method {
        Method::GET | Method::HEAD => {}
        // It is answered once it is there; one that breaks off is answered all the same.
        Method::POST => drop(body.collect().await),
        _ => return Ok(alone(stage, StatusCode::NO_CONTENT)),
    }
    if stage.is_malformed(number, answer, &next) {
        return Ok(alone(stage, StatusCode::OK));
    }
    let version = stage.current(number);
    let mut temper = Temper::draw(&stage, number, answer, object.version(version).length);
    if asked.method == Method::POST {
        temper.drip_ms = 0;
    }
    if temper.refuses {
        stage.log.arm(FaultKind::OriginErrors);
        stage.log.fire_answer(FaultKind::OriginErrors, number, answer);
        stage.log.count(Figure::OriginRequests, 1);
        let mut refusal = alone(stage, StatusCode::SERVICE_UNAVAILABLE);
        let fields = refusal.headers_mut();
        fields.extend(temper.retry_after_s.map(|seconds| (header::RETRY_AFTER, seconds.into())));
        return Ok(refusal);
    }
    let key = object.key_over(forwarded::scheme(&asked.headers, &stage.scenario));
    stage.log.push(What::OriginAnswered { edge: Edge(edge), key, version: Version(version) });
    if let Some(lie) = stage.lie(&asked, (number, version, answer)) {
        next.is_a_lie(lie);
        return Ok(alone(stage, StatusCode::OK));
    }
    if temper.resets {
        stage.log.arm(FaultKind::OriginResets);
        stage.log.fire_answer(FaultKind::OriginResets, number, answer);
        return Err(BrokenOff);
    }
    if let Some(Stall { before: Before::Head, for_ms }) = temper.stall {
        stage.log.arm(FaultKind::OriginStalls);
        stage.log.fire_answer(FaultKind::OriginStalls, number, answer);
        sleep(Duration::from_millis(for_ms)).await;
    }
    if object.hints {
        next.hints();
    }
    Ok(with_body(stage, &asked, (number, version, answer), temper))
}

/// An answer with the object, or with 304.
fn with_body(
    stage: Arc<Stage>,
    asked: &request::Parts,
    (number, version, answer): (u32, u32, u32),
    temper: Temper,
) -> Response<Answer> {
    let object = stage.catalogue.object(number);
    let Represented { head, language, is_still_right } = Represented::of(object, version, asked);
    head.map(|()| Answer {
        number: body::number(number, language),
        version,
        answer,
        sent: 0,
        length: if is_still_right { 0 } else { object.version(version).length },
        framing: if is_still_right { Framing::Chunks } else { object.framing },
        temper,
        pause: None,
        stage: Arc::clone(&stage),
    })
}

/// Cookies may come in several fields over HTTP/2 alone (RFC 9113 section 8.2.3).
fn check_cookies(stage: &Stage, fields: &HeaderMap) {
    if fields.get_all(header::COOKIE).iter().count() > 1 {
        let detail = "the origin was sent `Cookie` in more than one field".to_owned();
        stage.log.fail(Violation { rule: "odd", detail });
    }
}

impl Stage {
    /// Is the answer with this number about an object one that begins with a malformed head? Then it is the
    /// next one of its connection.
    fn is_malformed(&self, object: u32, answer: u32, next: &Next) -> bool {
        let kind = FaultKind::OriginMalformed;
        if self.is_healed() {
            return false;
        }
        let mut random =
            self.seed.split(&format!("{}: answer {answer} about object {object}", kind.as_str()));
        let mut befalls = self.faults.of(kind).iter().filter(|fault| fault.is_of(object, answer));
        let is_malformed = befalls.any(|fault| percent(&mut random, fault.percent));
        if is_malformed {
            let number = random.below(MALFORMED_HEADS);
            next.is_malformed(usize::try_from(number).expect("there are some dozens"));
            self.log.plan(kind, 1);
            self.log.arm(kind);
            self.log.fire_answer(kind, object, answer);
            self.log.count(Figure::OriginRequests, 1);
        }
        is_malformed
    }
}

/// A response that is only a status.
fn alone(stage: Arc<Stage>, status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::empty(stage));
    *response.status_mut() = status;
    response
}

/// What the origin does to one answer.
#[derive(Clone, Copy, Debug)]
struct Temper {
    /// It answers with an error.
    refuses: bool,
    /// Then this is when it is worth asking again.
    retry_after_s: Option<u64>,
    resets: bool,
    stall: Option<Stall>,
    /// It breaks off once this many bytes are sent; never the whole body.
    truncates_at: Option<u64>,
    /// It pauses this long before each piece. Not a fault: origins that make a body as they send it do so.
    drip_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stall {
    before: Before,
    for_ms: u64,
}

/// Where a pause lies.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// Before the head.
    Head,
    /// Before the byte at this offset.
    Byte(u64),
}

impl Temper {
    /// What befalls the answer with this number about an object. Each kind of fault has its own chance, so
    /// that one that is left out changes nothing of the others.
    fn draw(stage: &Stage, object: u32, answer: u32, length: u64) -> Self {
        let chance = |kind: &str| stage.seed.split(&format!("{kind}: answer {answer} about object {object}"));
        let mut temper = Self {
            refuses: false,
            retry_after_s: None,
            resets: false,
            stall: None,
            truncates_at: None,
            drip_ms: chance("drip").below(4),
        };
        if stage.is_healed() {
            return temper;
        }
        for (kind, fault) in stage.faults.iter().filter(|(_, fault)| fault.is_of(object, answer)) {
            let mut random = match kind {
                FaultKind::OriginErrors
                | FaultKind::OriginResets
                | FaultKind::OriginStalls
                | FaultKind::OriginTruncates => chance(kind.as_str()),
                _ => continue,
            };
            if !percent(&mut random, fault.percent) {
                continue;
            }
            stage.log.plan(kind, 1);
            match kind {
                FaultKind::OriginErrors => {
                    (temper.refuses, temper.retry_after_s) = (true, fault.retry_after_s)
                }
                FaultKind::OriginResets => temper.resets = true,
                FaultKind::OriginStalls => {
                    temper.stall = Some(Stall::draw(length, fault.for_ms, &mut random))
                }
                _ => temper.truncates_at = (length > 0).then(|| between(&mut random, Between(0, length - 1))),
            }
        }
        temper
    }
}

impl Stall {
    fn draw(length: u64, for_ms: Between<u64>, random: &mut Random) -> Self {
        let before = if length == 0 || random.chance(1, 2) {
            Before::Head
        } else {
            Before::Byte(random.below(length))
        };
        Self { before, for_ms: between(random, for_ms) }
    }
}

/// A body on its way to an edge.
struct Answer {
    /// Of the object and the language.
    number: u32,
    version: u32,
    /// How many answers about the object there were before.
    answer: u32,
    sent: u64,
    length: u64,
    framing: Framing,
    temper: Temper,
    pause: Option<Pin<Box<Sleep>>>,
    stage: Arc<Stage>,
}

impl Answer {
    fn empty(stage: Arc<Stage>) -> Self {
        Self {
            number: 0,
            version: 1,
            answer: 0,
            sent: 0,
            length: 0,
            framing: Framing::Length,
            temper: Temper {
                refuses: false,
                retry_after_s: None,
                resets: false,
                stall: None,
                truncates_at: None,
                drip_ms: 0,
            },
            pause: None,
            stage,
        }
    }

    /// Begins the pause that lies before the next piece, if the last one is over.
    fn begin_pause(&mut self) {
        let mut for_ms = self.temper.drip_ms;
        if let Some(Stall { before: Before::Byte(at), for_ms: stalled_ms }) = self.temper.stall
            && self.sent >= at
        {
            self.temper.stall = None;
            self.stage.log.arm(FaultKind::OriginStalls);
            self.stage.log.fire_answer(FaultKind::OriginStalls, body::named(self.number).0, self.answer);
            for_ms += stalled_ms;
        }
        if self.temper.truncates_at == Some(self.sent) {
            // What was sent before leaves the server's buffer meanwhile; otherwise nothing of it would ever
            // arrive.
            for_ms += 1;
        }
        if for_ms > 0 {
            self.pause = Some(Box::pin(sleep(Duration::from_millis(for_ms))));
        }
    }

    /// Up to where the next piece goes: whatever is to happen happens between pieces.
    fn next_stop(&self) -> u64 {
        let stall = match self.temper.stall {
            Some(Stall { before: Before::Byte(at), .. }) => at,
            Some(Stall { before: Before::Head, .. }) | None => self.length,
        };
        let truncation = self.temper.truncates_at.unwrap_or(self.length);
        self.length.min(self.sent + PIECE).min(stall).min(truncation)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.pause.is_none() {
            self.begin_pause();
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if self.temper.truncates_at == Some(self.sent) {
            self.stage.log.arm(FaultKind::OriginTruncates);
            let object = body::named(self.number).0;
            self.stage.log.fire_answer(FaultKind::OriginTruncates, object, self.answer);
            return Poll::Ready(Some(Err(io::Error::other(BrokenOff))));
        }
        if self.sent == self.length {
            return Poll::Ready(None);
        }
        let stop = self.next_stop();
        let piece = body::bytes(self.number, self.version, self.sent, stop - self.sent);
        self.sent = stop;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length => SizeHint::with_exact(self.length - self.sent),
            Framing::Chunks => SizeHint::default(),
        }
    }
}
