//! A client host: its requests, one after the other in each of its streams, and what it got.
//!
//! Each request has a connection of its own and a time limit: in this network a lost message never comes
//! again, so whoever lost one has to give up.

use super::{
    body,
    catalogue::AUTHORITY,
    census::{Answerer, Reading},
    edge::PURGE_TOKEN,
    stage::{PORT, Stage, edge_name},
    workload::{Habit, Job},
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tiergate_invariants::{Edge, Got, Span, Version, What};
use tiergate_scenarios::Figure;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

/// Runs one client host until all its streams are done.
pub(crate) async fn run(stage: Arc<Stage>, streams: Vec<Vec<Job>>) -> turmoil::Result {
    let streams: Vec<_> =
        streams.into_iter().map(|jobs| tokio::spawn(stream(Arc::clone(&stage), jobs))).collect();
    for stream in streams {
        stream.await?;
    }
    Ok(())
}

async fn stream(stage: Arc<Stage>, jobs: Vec<Job>) {
    for job in jobs {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        sleep(Duration::from_millis(job.at_ms).saturating_sub(now)).await;
        match job.habit {
            Habit::Purges => purge(&stage, job).await,
            Habit::Reads | Habit::ReadsSlowly { .. } | Habit::Leaves { .. } => ask(&stage, job).await,
        }
    }
}

async fn ask(stage: &Stage, job: Job) {
    let ask = stage.log.ask();
    let (edge, key) = (Edge(job.edge), stage.catalogue.object(job.object).key);
    stage.log.push(What::ClientAsked { ask, edge, key, request: None });
    let time_max = Duration::from_millis(stage.scenario.workload.timeout_ms);
    let got = timeout(time_max, get(stage, ask, job)).await.unwrap_or_else(|_elapsed| {
        stage.log.count_of(ask, Figure::TimedOut);
        Got::Nothing
    });
    stage.log.push(What::ClientGot { ask, edge, key, got });
}

async fn get(stage: &Stage, ask: u64, job: Job) -> Got {
    let Some((response, _connection)) = exchange(stage, job, "GET").await else {
        return Got::Nothing;
    };
    if response.status().is_server_error() {
        stage.log.count_of(ask, Figure::ServerErrors);
        return Got::Nothing;
    }
    let by = response.headers().get("cache-status").and_then(|said| Answerer::of(said.to_str().ok()?));
    if let Some(by) = by {
        let reading = match job.habit {
            Habit::Reads => Reading::AtOnce,
            Habit::ReadsSlowly { .. } | Habit::Leaves { .. } | Habit::Purges => Reading::InItsOwnTime,
        };
        stage.log.answered(ask, by, reading);
    }
    let status = response.status().as_u16();
    let age = response.headers().get(header::AGE).and_then(|age| age.to_str().ok()?.parse().ok());
    let mut incoming = response.into_body();
    let mut whole = BytesMut::new();
    loop {
        match job.habit {
            Habit::Leaves { after_bytes } if whole.len() as u64 >= after_bytes => return Got::Left,
            Habit::ReadsSlowly { pause_ms } => sleep(Duration::from_millis(pause_ms)).await,
            Habit::Leaves { .. } | Habit::Reads | Habit::Purges => {}
        }
        match incoming.frame().await {
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    whole.extend_from_slice(&piece);
                }
            }
            Some(Err(_)) => return Got::Broken,
            None => break,
        }
    }
    Got::Whole { status, age, spans: spans(stage, &whole) }
}

fn spans(stage: &Stage, whole: &[u8]) -> Vec<Span> {
    let of = |(object, version)| Some((stage.catalogue.key_of(object)?, Version(version)));
    body::decode(whole)
        .into_iter()
        .map(|run| Span { of: run.of.and_then(of), offset: run.offset, length: run.length })
        .collect()
}

/// What the edge made of it, it says itself in facts.
async fn purge(stage: &Stage, job: Job) {
    let time_max = Duration::from_millis(stage.scenario.workload.timeout_ms);
    drop(timeout(time_max, exchange(stage, job, "PURGE")).await);
}

/// Sends one request over a new connection. Dropping what is returned beside the response breaks the
/// connection.
async fn exchange(stage: &Stage, job: Job, method: &str) -> Option<(Response<Incoming>, Connection)> {
    let stream = TcpStream::connect((edge_name(job.edge), PORT)).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let task = tokio::spawn(async move { drop(connection.await) });
    let connection = Connection(task.abort_handle());
    let mut request = Request::builder()
        .method(method)
        .uri(stage.catalogue.object(job.object).target.as_str())
        .header(header::HOST, AUTHORITY);
    if method == "PURGE" {
        request = request.header(header::AUTHORIZATION, format!("Bearer {PURGE_TOKEN}"));
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a plain method, path and host are a request");
    let response = sender.send_request(request).await.ok()?;
    Some((response, connection))
}

/// The task that moves a connection's bytes; it ends with its owner.
struct Connection(tokio::task::AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}
