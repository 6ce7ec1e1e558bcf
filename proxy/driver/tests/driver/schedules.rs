//! The same driver under other schedules: twice the same one, and on several threads at once.

use crate::map_tier::Temper;
use crate::world::{Rig, Script, Scripted, get, memory_and_disk, read};
use std::{sync::Arc, thread, time::Duration};
use tiergate_driver::{Answer, Driver};
use tiergate_engine::{Event, Instant};
use tokio::{sync::Barrier, task::JoinSet};

/// Some clients read on, some leave, some objects break: all of it again gives the same events at the same
/// times.
#[test]
fn the_same_world_gives_the_same_events() {
    let log = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing from the host");
        runtime.block_on(mixed_fates())
    };
    let once = log();
    assert!(once.len() > 200, "only {} events", once.len());
    assert_eq!(once, log());
}

async fn mixed_fates() -> Vec<(u32, Instant, Event)> {
    let rig = Rig::with_shards(memory_and_disk(), 3).await;
    let mut clients = JoinSet::new();
    for client in 0..60_usize {
        let target = format!("/{}", client % 7);
        rig.script(&target, &Script::chunks(client % 13, 700));
        let driver = rig.driver.clone();
        clients.spawn(async move {
            tokio::time::sleep(Duration::from_millis(client as u64 / 2)).await;
            if let Answer::Serve(mut served) = get(&driver, &target).await {
                for _ in 0..client % 5 {
                    // How it ends is in the log.
                    drop(served.body.next().await);
                }
            }
        });
    }
    clients.join_all().await;
    rig.settle().await;
    rig.events.log()
}

/// Four threads, each with a runtime of its own, ask one driver for the same objects: every body is right,
/// and at the end nothing is open.
#[test]
fn threads_share_a_driver() {
    const THREADS: usize = 4;
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O needs nothing from the host")
    };
    let home = runtime();
    let mut script = Script::chunks(10, 500);
    script.pace = Duration::ZERO;
    let rig = home.block_on(Rig::with_shards(memory_and_disk(), 2));
    rig.temper(Temper::Paced(Duration::ZERO));
    for object in 0..50 {
        rig.script(&format!("/{object}"), &script);
    }
    let body = script.body();
    // Tasks run where they were spawned, so no thread may stop before all are done.
    let done = Arc::new(Barrier::new(THREADS));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                runtime().block_on(async {
                    ask_for_all(&rig.driver, &body).await;
                    done.wait().await;
                    let mut patience = 10_000_000;
                    while !rig.driver.audit().is_idle() && patience > 0 {
                        tokio::task::yield_now().await;
                        patience -= 1;
                    }
                    assert!(patience > 0, "left open: {:?}", rig.driver.audit());
                    done.wait().await;
                });
            });
        }
    });
    let fetched = rig.origin.asked().len();
    assert!((50..=200).contains(&fetched), "{fetched} fetches");
    assert!(rig.is_in_l0("/0"));
    assert_eq!(rig.tier.closed_while_busy(), Vec::<String>::new());
}

async fn ask_for_all(driver: &Driver<Scripted>, body: &[u8]) {
    let mut clients = JoinSet::new();
    for client in 0..200 {
        let driver = driver.clone();
        clients.spawn(async move {
            let Answer::Serve(mut served) = get(&driver, &format!("/{}", client % 50)).await else {
                panic!("there was something to serve");
            };
            if client % 10 == 9 {
                // This one leaves.
                return None;
            }
            Some(read(&mut served.body).await)
        });
    }
    for read in clients.join_all().await.into_iter().flatten() {
        assert_eq!(read.as_deref(), Ok(body));
    }
}
