//! The timer: it sleeps for what was set last, and ends with the shard.

use super::{
    checker::{block_on, holds, join, spawn},
    world::{Rig, SILENT, key},
};
use crate::Answer;
use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tiergate_engine::{
    Fields, Instant, Method, OriginFailure, RawConfig, RawResilience, RawRetry, Refusal, RequestHead,
};

/// A client asks an origin that says nothing, and time passes. Meanwhile another thread runs the timer, which
/// may not have begun to sleep.
fn wait_for_a_deadline() {
    let retry = RawRetry { attempts_max: 1, ..RawRetry::default() };
    let resilience = RawResilience { retry, ..RawResilience::default() };
    let rig = Rig::with_timers(RawConfig { resilience, ..RawConfig::default() });
    let worker = spawn({
        let executor = rig.executor.clone();
        move || executor.work()
    });
    let head = RequestHead {
        method: Method::Get,
        authority: "a.test".into(),
        target: SILENT.into(),
        fields: Fields::new(),
    };
    let answer = block_on(async {
        let mut answer = pin!(rig.driver.request(key(SILENT), Arc::new(head)));
        let mut is_asked = false;
        std::future::poll_fn(|context| {
            let polled = answer.as_mut().poll(context);
            if polled.is_pending() && !is_asked {
                is_asked = true;
                rig.clock.move_to(Instant::ZERO.after(Duration::from_secs(3600)));
            }
            polled
        })
        .await
    });
    match answer {
        Answer::Refuse(why) => assert_eq!(why, Refusal::Origin(OriginFailure::TimedOut)),
        Answer::Serve(_) | Answer::Pass(_) => panic!("the origin said nothing"),
    }
    let executor = rig.executor.clone();
    drop(rig);
    executor.end();
    join(worker);
    assert_eq!(executor.unfinished(), 0, "the timer, or the fetch, outlived the shard");
}

#[test]
fn a_deadline_is_kept() {
    holds(wait_for_a_deadline);
}
