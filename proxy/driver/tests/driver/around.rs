//! Answers to requests that went around the cache: what they make stale, and what of them is stored.

use crate::world::{Rig, Script, Scripted, key, memory_only, pass, read};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tiergate_driver::{Adopted, OFFERED_BYTES_MAX};
use tiergate_engine::{
    Event, FetchEnd, FetchEvent, Head, Method, OriginFailure, Outcome, RequestHead, TierId,
};

/// A POST to `/a` is answered with a 200, these fields and so long a body.
fn answered(rig: &Rig, fields: &[(&str, &str)], length: u64) -> Option<Adopted<Scripted>> {
    let request = Arc::new(RequestHead { method: Method::Post, ..crate::world::head("/a") });
    let length = length.to_string();
    let fields = [("content-length", length.as_str())].into_iter().chain(fields.iter().copied()).collect();
    rig.driver.answered_around(&request, rig.driver.sent_now(), Head { status: 200, fields })
}

const OWN: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("content-location", "/a")];

fn ends(rig: &Rig) -> Vec<FetchEnd> {
    let end = |(_, _, event)| match event {
        Event::Fetch(FetchEvent::AdoptionEnded { end, .. }) => Some(end),
        _ => None,
    };
    rig.events.log().into_iter().filter_map(end).collect()
}

/// What passes by is stored with its last byte, without a task: whoever has read that finds it.
#[tokio::test(start_paused = true)]
async fn what_passes_by_is_stored() {
    let rig = Rig::with_shards(memory_only(), 4).await;
    rig.script("/a", &Script::chunks(1, 10));
    read(&mut rig.served("/a").await.body).await.expect("the origin is well");
    let mut adopted = answered(&rig, &OWN, 5).expect("it is adopted");
    assert!(!rig.is_in_l0("/a"), "what was there is gone");
    for piece in ["ab", "", "cde"] {
        assert!(!rig.is_in_l0("/a"));
        adopted.passes(&Bytes::from_static(piece.as_bytes()));
    }
    assert!(rig.is_in_l0("/a"));
    drop(adopted);
    let mut served = rig.served("/a").await;
    assert_eq!(served.outcome, Outcome::Hit { tier: TierId::L0 });
    assert_eq!(read(&mut served.body).await, Ok(b"abcde".to_vec()));
    assert_eq!(ends(&rig), [FetchEnd::Complete]);
    rig.settle().await;
}

/// One that is empty is whole at once.
#[tokio::test(start_paused = true)]
async fn an_empty_one_is_whole() {
    let rig = Rig::new(memory_only()).await;
    drop(answered(&rig, &OWN, 0).expect("it is adopted"));
    assert!(rig.is_in_l0("/a"));
    rig.settle().await;
}

/// What is dropped before its end, or brings more than it said, is not stored.
#[tokio::test(start_paused = true)]
async fn what_breaks_off_is_not_stored() {
    let rig = Rig::new(memory_only()).await;
    let mut adopted = answered(&rig, &OWN, 5).expect("it is adopted");
    adopted.passes(&Bytes::from_static(b"abcd"));
    drop(adopted);
    pass(Duration::from_millis(5)).await;
    let mut adopted = answered(&rig, &OWN, 5).expect("it is adopted");
    adopted.passes(&Bytes::from_static(b"abcdef"));
    adopted.passes(&Bytes::from_static(b"g"));
    let failed = [OriginFailure::Abandoned, OriginFailure::TooLong].map(FetchEnd::Failed);
    assert_eq!(ends(&rig), failed);
    assert!(!rig.is_in_l0("/a"));
    rig.settle().await;
}

/// A purge ends it: what still passes by goes nowhere.
#[tokio::test(start_paused = true)]
async fn a_purge_ends_it() {
    let rig = Rig::new(memory_only()).await;
    let mut adopted = answered(&rig, &OWN, 5).expect("it is adopted");
    adopted.passes(&Bytes::from_static(b"abc"));
    rig.driver.purge(key("/a")).await;
    adopted.passes(&Bytes::from_static(b"de"));
    assert_eq!((ends(&rig), rig.is_in_l0("/a")), (vec![FetchEnd::Cancelled], false));
    rig.settle().await;
}

/// What cannot be stored anyway is not even told of: the engine is asked for the purge alone.
#[tokio::test(start_paused = true)]
async fn most_answers_are_not_offered() {
    let rig = Rig::new(memory_only()).await;
    rig.script("/a", &Script::chunks(1, 10));
    for (fields, length) in [(&OWN[..1], 5), (&OWN[..], OFFERED_BYTES_MAX + 1)] {
        read(&mut rig.served("/a").await.body).await.expect("the origin is well");
        assert!(rig.is_in_l0("/a"));
        assert!(answered(&rig, fields, length).is_none());
        assert!(!rig.is_in_l0("/a"));
    }
    let of_adoption = |event: &Event| {
        matches!(event, Event::Fetch(FetchEvent::Adopted { .. } | FetchEvent::NotAdopted { .. }))
    };
    assert_eq!(rig.events.count(of_adoption), 0);
    pass(Duration::from_millis(5)).await;
    assert!(answered(&rig, &OWN, OFFERED_BYTES_MAX).is_some());
    assert_eq!(rig.events.count(of_adoption), 1);
    rig.settle().await;
}
