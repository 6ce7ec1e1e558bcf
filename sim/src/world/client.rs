//! A client host: its requests, one after the other in each of its streams, and what it got.
//!
//! Each request has a connection of its own and a time limit: in this network a lost message never comes
//! again, so whoever lost one has to give up.

mod admin;
mod connecting;
mod judging;
mod odd;
mod odd_h2;

use super::{
    catalogue::{AUTHORITY, tag_name},
    census::{Answerer, Reading},
    edge::PURGE_TOKEN,
    origin::forwarded::{Asked, SECRET_FIELD, STRANGER},
    stage::Stage,
    workload::{Job, Reads, Streams, Wants},
};
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, header, request};
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tiergate_config::ToldBy;
use tiergate_engine::{CacheKey, Instant};
use tiergate_invariants::{Edge, Got, Version, What};
use tiergate_scenarios::{Figure, PurgeOf};
use tokio::time::{sleep, timeout};

/// One client host.
struct Client {
    stage: Arc<Stage>,
    /// The entity tag of what it got last of each object, in each language.
    has: Mutex<BTreeMap<(u32, u8), String>>,
}

/// Runs one client host until all its streams are done.
pub(crate) async fn run(stage: Arc<Stage>, streams: Streams) -> turmoil::Result {
    let client = Arc::new(Client { stage, has: Mutex::default() });
    let streams: Vec<_> =
        streams.into_iter().map(|jobs| tokio::spawn(Arc::clone(&client).stream(jobs))).collect();
    for stream in streams {
        stream.await?;
    }
    Ok(())
}

impl Client {
    async fn stream(self: Arc<Self>, jobs: Vec<Job>) {
        for job in jobs {
            let now = turmoil::sim_elapsed().unwrap_or_default();
            sleep(Duration::from_millis(job.at_ms).saturating_sub(now)).await;
            match job.wants {
                Wants::Purge(what) if job.is_everywhere => self.purge_everywhere(job, what).await,
                Wants::Purge(what) => drop(self.purge(job, what).await),
                Wants::Post => {
                    let (slot, key) = (&self.stage.edges[job.edge as usize], self.key(job));
                    slot.post_begins(key);
                    drop(timeout(self.time_max(), self.post(job)).await);
                    slot.post_ends(key);
                }
                Wants::Odd(number) => self.ask_oddly(job, number).await,
                Wants::Admin(number) => self.ask_admin(job, number).await,
                Wants::Body | Wants::Head | Wants::Range(..) | Wants::WhatChanged => self.ask(job).await,
            }
        }
    }

    fn time_max(&self) -> Duration {
        Duration::from_millis(self.stage.scenario.workload.timeout_ms)
    }

    fn key(&self, job: Job) -> CacheKey {
        self.stage.catalogue.object(job.object).key_over(job.scheme())
    }

    async fn ask(&self, job: Job) {
        let log = &self.stage.log;
        let ask = log.ask();
        let (edge, key) = (Edge(job.edge), self.key(job));
        log.push(What::ClientAsked { ask, edge, key, request: None });
        self.check_access_log(job.edge, false);
        let got = timeout(self.time_max(), self.get(ask, job)).await.unwrap_or_else(|_elapsed| {
            log.count_of(ask, Figure::TimedOut);
            Got::Nothing
        });
        if job.is_tls && matches!(got, Got::Whole { .. }) {
            log.count_of(ask, Figure::WholeOverTls);
        }
        log.push(What::ClientGot { ask, edge, key, got });
    }

    async fn get(&self, ask: u64, job: Job) -> Got {
        let method = if job.wants == Wants::Head { Method::HEAD } else { Method::GET };
        let mut fields = Vec::new();
        if let Wants::Range(first, last) = job.wants {
            fields.push((header::RANGE, format!("bytes={first}-{last}")));
        }
        let has =
            self.tags().get(&(job.object, job.language)).cloned().filter(|_| job.wants == Wants::WhatChanged);
        fields.extend(has.clone().map(|tag| (header::IF_NONE_MATCH, tag)));
        let Some((response, _connection)) = self.exchange(job, method, &fields).await else {
            return Got::Nothing;
        };
        self.stage.edges[job.edge as usize].answered();
        if was_turned_away(&response) {
            self.stage.log.count_of(ask, Figure::TurnedAway);
        }
        if response.status().is_server_error() {
            self.stage.log.count_of(ask, Figure::ServerErrors);
        }
        if response.status().is_server_error() || response.status() == 429 {
            return Got::Nothing;
        }
        let by = response.headers().get("cache-status").and_then(|said| Answerer::of(said.to_str().ok()?));
        if let Some(by) = by {
            let reading = if job.reads == Reads::AtOnce { Reading::AtOnce } else { Reading::InItsOwnTime };
            self.stage.log.answered(ask, by, reading);
        }
        let (head, body) = response.into_parts();
        let whole = match read(job, body).await {
            Ok(whole) => whole,
            Err(got) => return got,
        };
        let got = self.judge(ask, job, has.as_deref(), &head, &whole);
        let tag = head.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let is_objects = |status| status == self.stage.catalogue.object(job.object).status;
        if let (Got::Whole { status, .. }, Some(tag)) = (&got, tag)
            && is_objects(*status)
        {
            self.tags().insert((job.object, job.language), tag.to_owned());
        }
        got
    }

    /// Too much of it would wait.
    fn check_access_log(&self, edge: u32, is_end: bool) {
        self.stage.check_access_log(edge, is_end);
    }

    fn tags(&self) -> std::sync::MutexGuard<'_, BTreeMap<(u32, u8), String>> {
        self.has.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes an object, over HTTP/1.1 with a body of unknown length and over HTTP/2 with one of a known
    /// one. What is answered names the object as it is now. Then nothing that the origin said before it was
    /// sent is right any more (RFC 9111 section 4.4).
    async fn post(&self, job: Job) {
        let (edge, key) = (Edge(job.edge), self.key(job));
        let (asked_at, newest_when_asked) = (self.stage.log.now(), Version(self.stage.current(job.object)));
        let text = Bytes::from_static(b"what changes the object");
        let body = if job.is_http2 { Full::new(text).boxed() } else { Chunks(Some(text)).boxed() };
        let Some((response, _connection)) = self.exchange_with(job, Method::POST, &[], body).await else {
            return;
        };
        let (head, body) = response.into_parts();
        let Ok(whole) = read(job, body).await else { return };
        if head.status == 200 {
            self.check_post(job, &whole);
            self.stage.log.push(What::PurgeConfirmed { edge, key, newest_when_asked, asked_at });
        }
    }

    /// Asks every edge at once.
    async fn purge_everywhere(self: &Arc<Self>, job: Job, what: PurgeOf) {
        let edges = 0..self.stage.scenario.topology.edges;
        let purges: Vec<_> = edges
            .map(|edge| {
                let client = Arc::clone(self);
                tokio::spawn(async move { client.purge(Job { edge, ..job }, what).await })
            })
            .collect();
        let mut confirmed = true;
        for purge in purges {
            confirmed &= purge.await.unwrap_or(false);
        }
        self.stage.log.count(Figure::PurgedEverywhere, confirmed.into());
    }

    /// What the edge made of one of a key, it says itself in facts. Of the others it names no keys, so here
    /// it is said which it covers.
    ///
    /// Says whether it is confirmed.
    async fn purge(&self, job: Job, what: PurgeOf) -> bool {
        let stage = &self.stage;
        let is_told_here = matches!(what, PurgeOf::Tag | PurgeOf::Prefix | PurgeOf::All);
        let covered = if is_told_here { newest_of(stage, job, what) } else { Vec::new() };
        let edge = Edge(job.edge);
        let asked_at = stage.log.now();
        let before = newest_of(stage, job, what);
        for (key, _) in &covered {
            stage.log.push(What::PurgeAsked { edge, purge: None, key: *key });
        }
        let is_confirmed = if job.is_admins {
            self.purge_by_form(job, what).await
        } else {
            self.purge_by_method(job, what).await
        };
        if is_confirmed {
            if stage.scenario.has_feed() && !what.is_soft() {
                tokio::spawn(confirm_elsewhere(Arc::clone(stage), job, before, asked_at));
            }
            for (key, newest_when_asked) in covered {
                stage.log.push(What::PurgeConfirmed { edge, key, newest_when_asked, asked_at });
            }
        }
        is_confirmed
    }

    /// Purges by a request with the method `PURGE`. Says whether it is confirmed.
    async fn purge_by_method(&self, job: Job, what: PurgeOf) -> bool {
        let object = self.stage.catalogue.object(job.object);
        let mut fields = vec![(header::AUTHORIZATION, format!("Bearer {PURGE_TOKEN}"))];
        let own = |name: &'static str| header::HeaderName::from_static(name);
        match what {
            PurgeOf::Key | PurgeOf::SoftKey => {}
            PurgeOf::Tag | PurgeOf::SoftTag => {
                fields.extend(object.tag.map(|tag| (own("surrogate-key"), tag_name(tag))))
            }
            PurgeOf::Prefix | PurgeOf::SoftPrefix => fields.push((own("x-purge"), "prefix".to_owned())),
            PurgeOf::All | PurgeOf::SoftAll => fields.push((own("x-purge"), "all".to_owned())),
        }
        if what.is_soft() {
            fields.push((own("soft-purge"), "1".to_owned()));
        }
        let method = Method::from_bytes(b"PURGE").expect("capital letters are a method");
        let answer = timeout(self.time_max(), self.exchange(job, method, &fields)).await;
        matches!(answer, Ok(Some((response, _connection))) if response.status().is_success())
    }

    /// Sends one request over a new connection. Dropping what is returned beside the response breaks the
    /// connection.
    async fn exchange(
        &self,
        job: Job,
        method: Method,
        fields: &[(header::HeaderName, String)],
    ) -> Option<(Response<Incoming>, Connection)> {
        self.exchange_with(job, method, fields, Empty::new().boxed()).await
    }

    async fn exchange_with(
        &self,
        job: Job,
        method: Method,
        fields: &[(header::HeaderName, String)],
        body: BoxBody<Bytes, Infallible>,
    ) -> Option<(Response<Incoming>, Connection)> {
        let request = self.request(job, method, fields).body(body);
        let mut request = request.expect("a plain method, path and host are a request");
        let io = TokioIo::new(self.connect(job).await?);
        let asked_at = turmoil::sim_elapsed().unwrap_or_default();
        self.hear_hints(&mut request);
        if job.is_http2 {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.ok()?;
            let task = tokio::spawn(async move { drop(connection.await) });
            let connection = Connection(task.abort_handle());
            let response = sender.send_request(request).await.ok()?;
            self.check_head(job, &response, asked_at);
            return Some((response, connection));
        }
        let (mut sender, connection) = http1::handshake(io).await.ok()?;
        let task = tokio::spawn(async move { drop(connection.await) });
        let connection = Connection(task.abort_handle());
        let response = sender.send_request(request).await.ok()?;
        self.check_head(job, &response, asked_at);
        Some((response, connection))
    }

    fn request(&self, job: Job, method: Method, fields: &[(header::HeaderName, String)]) -> request::Builder {
        let object = self.stage.catalogue.object(job.object);
        let target = match job.wants {
            Wants::Purge(PurgeOf::Prefix | PurgeOf::SoftPrefix) => format!("{}/", object.folder()),
            _ => object.target.clone(),
        };
        let request = Request::builder().method(method);
        let request = if job.is_http2 {
            request.uri(format!("{}://{AUTHORITY}{target}", job.scheme_name()))
        } else {
            request.uri(target).header(header::HOST, AUTHORITY)
        };
        let mut request = request.header(header::ACCEPT_LANGUAGE, format!("x-{}", job.language));
        let scenario = &self.stage.scenario;
        if !scenario.front.trusted.is_empty() {
            // It is a load balancer, with many clients, and either it says whose a request is in fields, or
            // whose a connection is. Then what the client itself says in fields must not count.
            let said = match scenario.told_by {
                ToldBy::Connection => Self::balanced(job),
                ToldBy::ProxyProtocol => STRANGER.to_owned(),
            };
            request = request
                .header("x-forwarded-for", said)
                .header("x-forwarded-proto", "https")
                .header(SECRET_FIELD, "1");
        }
        if scenario.has_tls() || scenario.told_by == ToldBy::ProxyProtocol {
            let asked = Asked { by: Self::balanced(job), scheme: job.scheme_name().to_owned() };
            request = request.header(header::USER_AGENT, asked.user_agent());
        }
        fields.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// What a purge covers, and the newest version of each now.
fn newest_of(stage: &Stage, job: Job, what: PurgeOf) -> Vec<(CacheKey, Version)> {
    let covered = stage.catalogue.covered(job.object, what, job.scheme()).into_iter();
    covered.map(|(object, key)| (key, Version(stage.current(object)))).collect()
}

/// A lease after a purge was confirmed at one edge, it counts at every other.
async fn confirm_elsewhere(stage: Arc<Stage>, job: Job, before: Vec<(CacheKey, Version)>, asked_at: Instant) {
    let lease = stage.cache.feed_policy().map(|policy| policy.lease()).unwrap_or_default();
    sleep(lease).await;
    for edge in (0..stage.scenario.topology.edges).filter(|edge| *edge != job.edge) {
        for (key, newest_when_asked) in &before {
            let (key, newest_when_asked) = (*key, *newest_when_asked);
            stage.log.push(What::PurgeConfirmed { edge: Edge(edge), key, newest_when_asked, asked_at });
        }
    }
    stage.log.count(Figure::PurgedElsewhere, 1);
}

/// Had too many come?
fn was_turned_away<B>(response: &Response<B>) -> bool {
    let said = response.headers().get("cache-status").map(|said| said.as_bytes());
    let is_word = |said: &[u8]| said.windows(17).any(|word| word == b"too-many-requests");
    matches!(response.status().as_u16(), 429 | 503) && said.is_some_and(is_word)
}

/// A body whose length nobody knows before its end.
struct Chunks(Option<Bytes>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

/// Reads a body to its end, as the client does.
async fn read(job: Job, mut incoming: Incoming) -> Result<Bytes, Got> {
    let mut whole = BytesMut::new();
    loop {
        match job.reads {
            Reads::UntilItLeaves { after_bytes } if whole.len() as u64 >= after_bytes => {
                return Err(Got::Left);
            }
            Reads::Slowly { pause_ms } => sleep(Duration::from_millis(pause_ms)).await,
            Reads::UntilItLeaves { .. } | Reads::AtOnce => {}
        }
        match incoming.frame().await {
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    whole.extend_from_slice(&piece);
                }
            }
            Some(Err(_)) => return Err(Got::Broken),
            None => return Ok(whole.freeze()),
        }
    }
}

/// The task that moves a connection's bytes; it ends with its owner.
struct Connection(tokio::task::AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}
