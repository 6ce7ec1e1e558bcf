//! The origin: a real HTTP server with versions that change and a bad temper.
//!
//! It decides which version it serves when a request arrives, and may deliver it much later: caches have been
//! wrong in exactly that gap. What it does to each answer is drawn from its own stream of the seed.

use super::{
    body,
    catalogue::{Framing, Object, Storage, between, percent},
    stage::{PORT, Stage},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tiergate_engine::{CacheKey, Random};
use tiergate_invariants::{Edge, Version, What};
use tiergate_scenarios::{Between, FaultKind};
use tokio::time::{Sleep, sleep};
use turmoil::net::TcpListener;

/// Bytes of a body sent at a time, so that a body takes several pieces whatever its length.
const PIECE: u64 = 4 << 10;

/// Runs the origin until the world ends.
pub(crate) async fn run(stage: Arc<Stage>) -> turmoil::Result {
    let chance = Arc::new(Mutex::new(stage.seed.split("origin")));
    tokio::spawn(publish(Arc::clone(&stage)));
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let Some(edge) = stage.edge_at(peer.ip()) else {
            continue;
        };
        let stream = stage.wire(FaultKind::PartitionOrigin, edge).accepted(stream);
        let (stage, chance) = (Arc::clone(&stage), Arc::clone(&chance));
        let service =
            service_fn(move |request| answer(Arc::clone(&stage), Arc::clone(&chance), edge, request));
        let connection =
            http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
        // How it ended, the client sees.
        tokio::spawn(async move { drop(connection.await) });
    }
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
        stage.log.push(What::Published {
            key: object.key,
            version: Version(version),
            length: drawn.length,
            storable: object.is_storable(),
            lifetime_ns: drawn.lifetime_s * 1_000_000_000,
        });
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

async fn answer(
    stage: Arc<Stage>,
    chance: Arc<Mutex<Random>>,
    edge: u32,
    request: Request<Incoming>,
) -> Result<Response<Answer>, BrokenOff> {
    let Some(number) = stage.catalogue.number_of(request.uri().path()) else {
        let mut response = Response::new(Answer::empty(stage));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let object = stage.catalogue.object(number);
    let version = stage.current(number);
    let temper = {
        let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
        Temper::draw(&stage, object.version(version).length, &mut chance)
    };
    stage.log.push(What::OriginAnswered { edge: Edge(edge), key: object.key, version: Version(version) });
    if temper.resets {
        stage.log.arm(FaultKind::OriginResets);
        stage.log.fire(FaultKind::OriginResets);
        return Err(BrokenOff);
    }
    if let Some(Stall { before: Before::Head, for_ms }) = temper.stall {
        stage.log.arm(FaultKind::OriginStalls);
        stage.log.fire(FaultKind::OriginStalls);
        sleep(Duration::from_millis(for_ms)).await;
    }
    let key = object.key;
    let mut response = Response::new(Answer {
        number,
        version,
        sent: 0,
        length: object.version(version).length,
        framing: object.framing,
        temper,
        pause: None,
        stage: Arc::clone(&stage),
    });
    head(&mut response, object, version, key);
    Ok(response)
}

fn head(response: &mut Response<Answer>, object: &Object, version: u32, key: CacheKey) {
    let lifetime_s = object.version(version).lifetime_s;
    let cache_control = match object.storage {
        Storage::Storable | Storage::Varies => Some(format!("max-age={lifetime_s}")),
        Storage::NoStore => Some(format!("no-store, max-age={lifetime_s}")),
        Storage::Private => Some(format!("private, max-age={lifetime_s}")),
        Storage::NoLifetime => None,
    };
    let fields = response.headers_mut();
    let mut put = |name: header::HeaderName, value: String| {
        let value = value.parse().expect("digits and plain words are a field value");
        fields.insert(name, value);
    };
    if let Some(cache_control) = cache_control {
        put(header::CACHE_CONTROL, cache_control);
    }
    if object.storage == Storage::Varies {
        put(header::VARY, "*".to_owned());
    }
    if object.storage != Storage::NoLifetime {
        // With a validator, even what has no lifetime may be stored: each use would be asked about.
        put(header::ETAG, format!("\"{key}-{version}\""));
    }
    if object.framing == Framing::Length {
        put(header::CONTENT_LENGTH, object.version(version).length.to_string());
    }
}

/// What the origin does to one answer.
#[derive(Clone, Copy, Debug)]
struct Temper {
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
    fn draw(stage: &Stage, length: u64, chance: &mut Random) -> Self {
        let mut temper = Self { resets: false, stall: None, truncates_at: None, drip_ms: chance.below(4) };
        if stage.is_healed() {
            return temper;
        }
        if let Some(fault) = stage.faults.origin_resets {
            temper.resets = percent(chance, fault.percent);
            stage.log.plan(FaultKind::OriginResets, temper.resets.into());
        }
        if let Some(fault) = stage.faults.origin_stalls
            && percent(chance, fault.percent)
        {
            stage.log.plan(FaultKind::OriginStalls, 1);
            temper.stall = Some(Stall {
                before: if length == 0 || chance.chance(1, 2) {
                    Before::Head
                } else {
                    Before::Byte(chance.below(length))
                },
                for_ms: between(chance, fault.for_ms),
            });
        }
        if let Some(fault) = stage.faults.origin_truncates
            && percent(chance, fault.percent)
        {
            stage.log.plan(FaultKind::OriginTruncates, 1);
            temper.truncates_at = (length > 0).then(|| between(chance, Between(0, length - 1)));
        }
        temper
    }
}

/// A body on its way to an edge.
struct Answer {
    number: u32,
    version: u32,
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
            sent: 0,
            length: 0,
            framing: Framing::Length,
            temper: Temper { resets: false, stall: None, truncates_at: None, drip_ms: 0 },
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
            self.stage.log.fire(FaultKind::OriginStalls);
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
            self.stage.log.fire(FaultKind::OriginTruncates);
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
