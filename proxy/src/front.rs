//! The HTTP front: translates between clients and the driver, and obeys.
//!
//! A connection is read, judged and answered here, of HTTP/1 (`connection`) or HTTP/2 (`h2`): a fresh L0 hit
//! by the fast path, without the engine's work; every other answer as the engine says. What the engine passes
//! around the cache is proxied by Pingora (`pingora`). What the engine refuses gets an error page. Which way
//! a request takes is the engine's word. Start at `connection::serve`; what both versions share is in
//! `exchange`.

mod chunks;
mod connection;
mod dialing;
mod exchange;
mod forwarding;
mod h2;
mod handover;
mod log;
mod opening;
mod origin_date;
mod origin_name;
mod pace;
mod pingora;
mod proxied;
mod purge;
mod request_head;
mod requests;
mod response_head;
mod wire;

pub use dialing::{Dial, Dialled};
pub use opening::{Opening, Socket};
pub use pingora::Proxying;
pub(crate) use request_head::Fault;
pub(crate) use requests::one_client;
pub use wire::{Transport, Wire};

use crate::{
    access_log::AccessLog,
    config::{
        ClearText, FrontOptions, HeadLimits, OriginAddress, ResponseLimits, Standing, Timeouts, Token,
        TrustedProxies, Unforwarded,
    },
    metrics::{Connected, Metrics},
};
use ::pingora::proxy::HttpProxy;
use h2::Spoken;
use log::{LoggedRequest, LoggedResponse};
use origin_name::OriginName;
use requests::{Requests, TurnedAway, UnderWay};
use std::{convert::Infallible, net::IpAddr, path::Path, sync::Arc, time::Duration};
use tiergate_driver::{Driver, World};
use tiergate_tiers::http_head::{Scheme, normal_authority};
use tokio::sync::{mpsc, watch};

/// Who watches a front.
pub struct Watchers {
    /// Counts responses and connections.
    pub metrics: Arc<Metrics>,
    /// Has a line for each response, if there is one.
    pub access_log: Option<Arc<AccessLog>>,
}

/// The front of one cache.
pub struct Front<W: World> {
    driver: Driver<W>,
    origin: OriginAddress,
    origin_name: OriginName,
    /// How it is connected to, where not by the system's sockets.
    dial: Option<Arc<dyn Dial>>,
    /// Whom a client of HTTP/1.0 asks that does not say.
    default_authority: String,
    head_limits: HeadLimits,
    timeouts: Timeouts,
    clear_text: ClearText,
    requests: Requests,
    requests_per_connection: u32,
    response_limits: ResponseLimits,
    origin_host: Option<String>,
    unforwarded: Unforwarded,
    purge_token: Option<Token>,
    trusted: TrustedProxies,
    traces: bool,
    watchers: Watchers,
    /// How a request that was here is known again (RFC 8586).
    loop_id: String,
    /// Lives as long as any connection: whoever holds the other end learns when the last one is gone.
    _open: mpsc::Sender<Infallible>,
}

impl<W: World> Front<W> {
    /// A front before `driver`, which passes to `origin`. `id` is what no other process has. `open` is
    /// dropped with the last connection.
    pub fn new(
        driver: Driver<W>,
        origin: OriginAddress,
        options: FrontOptions,
        watchers: Watchers,
        id: u64,
        open: mpsc::Sender<Infallible>,
    ) -> Self {
        let FrontOptions {
            head_limits,
            timeouts,
            clear_text,
            request_limits,
            response_limits,
            origin_host,
            unforwarded,
            purge_token,
            trusted,
            traces,
        } = options;
        let default_authority = normal_authority(origin.authority(), Scheme::Http)
            .map_or_else(|| origin.authority().to_owned(), |authority| authority.into_owned());
        let loop_id = format!("tiergate; id={id:016x}");
        Self {
            driver,
            origin_name: OriginName::new(origin.authority()),
            origin,
            dial: None,
            default_authority,
            head_limits,
            timeouts,
            clear_text,
            requests: Requests::new(&request_limits, id),
            requests_per_connection: request_limits.per_connection_max.get(),
            response_limits,
            origin_host,
            unforwarded,
            purge_token,
            trusted,
            traces,
            watchers,
            loop_id,
            _open: open,
        }
    }

    /// The same, with connections to the origin that come about in another way, each for one request.
    #[must_use]
    pub fn dialling(self, dial: Arc<dyn Dial>) -> Self {
        Self { dial: Some(dial), ..self }
    }

    /// Is anything written of each request?
    fn logs(&self) -> bool {
        self.traces || self.watchers.access_log.is_some()
    }

    /// A response has ended, or will not.
    fn responded(&self, request: Option<&LoggedRequest>, response: &LoggedResponse<'_>) {
        self.watchers.metrics.responded(response.status, response.bytes);
        let Some(request) = request else { return };
        if let Some(log) = &self.watchers.access_log {
            log.line(&request.entry(response));
        }
        if self.traces {
            log::trace(request, response);
        }
    }

    /// May a request from this address be answered? The guard is kept until it is.
    fn admit(&self, address: impl FnOnce() -> IpAddr) -> Result<Option<UnderWay>, TurnedAway> {
        self.requests.admit(address).inspect_err(|_why| self.watchers.metrics.turned_away())
    }

    /// Somebody connected; the guard is kept as long as the connection.
    fn connected(&self) -> Connected {
        self.watchers.metrics.connected()
    }
}

/// What both sides of a connection agreed to speak before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// There was nothing to agree by.
    Nothing,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Where connections come in: one front, with Pingora behind it for each scheme.
pub struct Doors<W: World> {
    front: Arc<Front<W>>,
    clear: Arc<HttpProxy<Proxying<W>>>,
    encrypted: Arc<HttpProxy<Proxying<W>>>,
}

impl<W: World> Clone for Doors<W> {
    fn clone(&self) -> Self {
        let Self { front, clear, encrypted } = self;
        Self { front: Arc::clone(front), clear: Arc::clone(clear), encrypted: Arc::clone(encrypted) }
    }
}

impl<W: World> Doors<W> {
    /// `roots` is a file with the roots that the origin's certificate must lead to; the system's, without
    /// one.
    pub fn new(front: Front<W>, roots: Option<&Path>) -> Self {
        let front = Arc::new(front);
        let proxy = |scheme| Arc::new(pingora::proxy(Arc::clone(&front), scheme, roots));
        Self { clear: proxy(Scheme::Http), encrypted: proxy(Scheme::Https), front }
    }

    pub(crate) fn standing(&self, peer: IpAddr) -> Standing {
        self.front.trusted.standing(peer)
    }

    /// A connection did not begin with a header of the PROXY protocol that counts.
    pub(crate) fn refused_proxy_header(&self) {
        self.front.watchers.metrics.refused_proxy_header();
    }

    /// How long a client may take for its part of a TLS handshake, and a proxy to say whose a connection is.
    pub(crate) fn handshake_time_max(&self) -> Duration {
        self.front.timeouts.head
    }

    /// Answers all requests of a connection. `stop` becomes true when the server drains.
    pub async fn serve(self, mut wire: Wire, agreed: Agreed, stop: watch::Receiver<bool>) {
        let proxy = match wire.scheme {
            Scheme::Http => self.clear,
            Scheme::Https => self.encrypted,
        };
        let front = self.front;
        let _connected = front.connected();
        let spoken = match (agreed, front.clear_text) {
            (Agreed::Nothing, ClearText::Both) => {
                let Timeouts { idle, head, .. } = front.timeouts;
                let mut stopping = stop.clone();
                tokio::select! {
                    biased;
                    spoken = h2::spoken(&mut wire, idle, head) => spoken,
                    // HTTP/1 finishes what was begun, and closes what was not.
                    _ = stopping.wait_for(|stops| *stops) => Spoken::Http1,
                }
            }
            (Agreed::Nothing, ClearText::Http1) | (Agreed::Http1, _) => Spoken::Http1,
            (Agreed::Http2, _) => Spoken::Http2,
        };
        match spoken {
            Spoken::Http1 => connection::serve(Arc::clone(&front), proxy, wire, stop).await,
            Spoken::Http2 => h2::serve(Arc::clone(&front), proxy, wire, stop).await,
        }
    }
}
