use super::*;
use crate::origin_connect::OriginConnect;
use crate::{
    metrics::{Metrics, Sources},
    world::{Journal, Production},
};
use pingora::cache::trace::Span;
use std::{num::NonZeroU32, sync::Arc};
use tiergate_driver::{Answer, Parts, TokioClock, TokioSpawn};
use tiergate_engine::{Config, Fields, RawConfig, RequestHead, Seed};
use tiergate_tiers::{HttpOrigin, OriginOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A driver with L0 alone, before an origin that answers one request.
async fn driver() -> Driver<Production> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let origin = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(request[..read].ends_with(b"\r\n\r\n"));
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\nhello";
        stream.write_all(response).await.expect("a reader");
    });
    let config = Config::try_from(RawConfig::default()).expect("the defaults are right");
    let metrics = Metrics::new(&config, NonZeroU32::MIN, Sources::default());
    let parts = Parts {
        clock: TokioClock::new(),
        spawn: TokioSpawn::current(),
        origin: HttpOrigin::new(OriginConnect::in_clear_text(), origin, OriginOptions::default()),
        tiers: Vec::new(),
        durable: None,
        feed: None,
        observer: Journal::new(Arc::new(metrics), Arc::default(), None, None),
    };
    Driver::start(parts, &config, Seed(1), NonZeroU32::MIN).await.expect("no tier can fail")
}

fn key() -> CacheKey {
    CacheKey::of("site.example", "/a")
}

/// The key as a server without our front would make it.
fn foreign_key() -> PingoraKey {
    let mut foreign = PingoraKey::new(Vec::new(), String::new());
    foreign.set_primary_bin_override(key().0.to_be_bytes());
    foreign
}

/// Has the driver fetch and store the object.
async fn store(driver: &Driver<Production>) {
    let head = RequestHead {
        method: Method::Get,
        authority: "site.example".into(),
        target: "/a".into(),
        fields: Fields::new(),
    };
    let Answer::Serve(mut served) = driver.request(key(), Arc::new(head)).await else {
        panic!("the engine serves a plain GET");
    };
    while served.body.next().await.expect("a whole body").is_some() {}
}

async fn read(mut handler: HitHandler) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(chunk) = handler.read_body().await.expect("a whole body") {
        body.extend_from_slice(&chunk);
    }
    body
}

/// A server without our front reads what L0 holds fresh, and purges it.
#[tokio::test]
async fn a_foreign_server_reads_and_purges() {
    let driver = driver().await;
    let tiers = Tiers::leak(driver.clone());
    let trace = Span::inactive().handle();
    let foreign = foreign_key();
    assert!(tiers.lookup(&foreign, &trace).await.expect("a lookup").is_none());
    store(&driver).await;
    let (meta, handler) = tiers.lookup(&foreign, &trace).await.expect("a lookup").expect("it is stored");
    assert_eq!(meta.response_header().status, 200);
    assert!(meta.is_fresh(SystemTime::now()));
    assert_eq!(read(handler).await, b"hello");
    let compact = foreign.to_compact();
    for expected in [Purged::Purged(None), Purged::NotFound] {
        let target = PurgeTarget::Active(&compact);
        let purged = tiers.purge(target, PurgeType::Invalidation, &trace).await;
        assert_eq!(purged.expect("L0 does not fail"), expected);
    }
    assert!(tiers.lookup(&foreign, &trace).await.expect("a lookup").is_none());
}

/// A server without our front cannot store: it is told so with an error of its own kind, and finds no write
/// by a tag.
#[tokio::test]
async fn a_foreign_server_cannot_store() {
    let driver = driver().await;
    let tiers = Tiers::leak(driver.clone());
    let trace = Span::inactive().handle();
    let header = ResponseHeader::build(200, None).expect("a status");
    let meta = meta(header, Duration::ZERO, Duration::from_secs(60));
    let Err(refused) = tiers.get_miss_handler(&foreign_key(), &meta, &trace).await else {
        panic!("nothing can be stored");
    };
    assert_eq!(*refused.etype(), NOT_FED);
    let found = tiers.lookup_streaming_write(&foreign_key(), Some(b"tag"), &trace).await;
    assert!(found.expect("a lookup").is_none());
    assert!(!tiers.update_meta(&foreign_key(), &meta, &trace).await.expect("no I/O"));
    assert!(!tiers.support_streaming_partial_write());
}
