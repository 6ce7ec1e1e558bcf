use super::*;
use crate::origin_connect::OriginConnect;
use crate::{metrics::Sources, world::Journal, world::Production};
use std::{net::SocketAddr, num::NonZeroU32};
use tiergate_driver::{Parts, TokioClock, TokioSpawn};
use tiergate_engine::{Config, RawConfig, Seed};
use tiergate_tiers::{HttpOrigin, OriginOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A listener in this runtime, whose clock is the test's: when nothing can go on, time does.
async fn listener() -> SocketAddr {
    let config = Config::try_from(RawConfig::default()).expect("the defaults are right");
    let metrics = Arc::new(Metrics::new(&config, NonZeroU32::MIN, Sources::default()));
    let readiness = Arc::new(Readiness::default());
    let parts = Parts {
        clock: TokioClock::new(),
        spawn: TokioSpawn::current(),
        origin: HttpOrigin::new(OriginConnect::in_clear_text(), "127.0.0.1:1", OriginOptions::default()),
        tiers: Vec::new(),
        durable: None,
        feed: None,
        observer: Journal::new(Arc::clone(&metrics), Arc::clone(&readiness), None, None),
    };
    let driver: Driver<Production> =
        Driver::start(parts, &config, Seed(1), NonZeroU32::MIN).await.expect("no tier can fail");
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let listener = Listener { driver, metrics, readiness, guard: Guard::Loopback };
    tokio::spawn(listener.run(socket));
    address
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the listener listens")
}

/// All that comes until the connection ends.
async fn read(mut stream: TcpStream) -> String {
    let mut came = Vec::new();
    // A connection that is reset ends as well.
    let _ = stream.read_to_end(&mut came).await;
    String::from_utf8(came).expect("answers are text")
}

/// A connection takes one request, and says so.
#[tokio::test(start_paused = true)]
async fn a_connection_takes_one_request() {
    let mut stream = connect(listener().await).await;
    stream.write_all(&REQUEST.repeat(2)).await.expect("it reads");
    let came = read(stream).await;
    assert_eq!(came.matches("HTTP/1.1 200 OK").count(), 1, "{came}");
    assert!(came.contains("connection: close"), "{came}");
}

/// A head that does not come to its end is not waited for longer than its time, however often a byte comes.
#[tokio::test(start_paused = true)]
async fn a_head_has_its_time() {
    let mut stream = connect(listener().await).await;
    let began = Instant::now();
    let mut sent = 0;
    while stream.write_all(&REQUEST[sent..=sent]).await.is_ok() && sent < REQUEST.len() - 2 {
        sent += 1;
        let mut byte = [0];
        if let Ok(Ok(0)) = timeout(Duration::from_secs(1), stream.read(&mut byte)).await {
            break;
        }
    }
    assert!(began.elapsed() <= READ_TIME_MAX + Duration::from_secs(2), "{:?}", began.elapsed());
}

/// A body that does not come is not waited for longer than its time.
#[tokio::test(start_paused = true)]
async fn a_body_has_its_time() {
    let mut stream = connect(listener().await).await;
    let head = b"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n";
    let began = Instant::now();
    stream.write_all(head).await.expect("it reads");
    let came = read(stream).await;
    assert!(came.starts_with("HTTP/1.1 408 "), "{came}");
    assert!(began.elapsed() <= READ_TIME_MAX + Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Whoever holds every place and says nothing is rid of in time, and then the next one is answered.
#[tokio::test(start_paused = true)]
async fn places_are_few_and_come_back() {
    let address = listener().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(connect(address).await);
    }
    let began = Instant::now();
    let mut next = connect(address).await;
    next.write_all(REQUEST).await.expect("the system takes it");
    assert!(read(next).await.starts_with("HTTP/1.1 200 OK"));
    assert!(began.elapsed() >= READ_TIME_MAX, "the places were taken: {:?}", began.elapsed());
    let mut closed = JoinSet::new();
    silent.into_iter().for_each(|stream| drop(closed.spawn(read(stream))));
    assert!(closed.join_all().await.iter().all(|came| !came.contains("200 OK")));
}
