//! A fresh hit, beside two caches that are known to be fast.
//!
//! All hold every object, in as many shards as they like, and are asked by the same Zipf trace for the same
//! keys. Ours is what the driver keeps: engines behind short locks, entered by the fast path, which judges
//! freshness and counts the use. The peers have no lifetimes. Everybody hands out a reference-counted value.

use crate::{clock, engine, zipf};
use std::{
    borrow::Cow,
    hint::black_box,
    sync::{Arc, Mutex},
    thread,
};
use tiergate_engine::{CacheKey, Engine, Eviction, Instant, Method, Symbol};

const OBJECTS: usize = 100_000;
const LOOKUPS: usize = 1_000_000;
const ROUNDS: usize = 7;
/// The driver's default on two cores.
const SHARDS: usize = 8;

type Find<'f> = Box<dyn Fn(CacheKey) -> bool + Sync + 'f>;

pub(crate) fn measure() {
    let keys: Vec<CacheKey> = (0..OBJECTS).map(|object| CacheKey::of("bench", &object.to_string())).collect();
    let wanted: Vec<CacheKey> = zipf::draws(OBJECTS, LOOKUPS, 1).into_iter().map(|at| keys[at]).collect();
    let moka = moka::sync::Cache::new(OBJECTS as u64 * 2);
    let quick = quick_cache::sync::Cache::new(OBJECTS * 2);
    for key in &keys {
        moka.insert(*key, Arc::new(*key));
        quick.insert(*key, Arc::new(*key));
    }
    moka.run_pending_tasks();
    let [lru, ghost_gdsf] = [Eviction::Lru, Eviction::GhostGdsf].map(|eviction| shards(eviction, &keys));
    let caches: [(&str, Find<'_>); 4] = [
        ("tiergate, lru", Box::new(|key| fresh_hit(&lru, key))),
        ("tiergate, ghost_gdsf", Box::new(|key| fresh_hit(&ghost_gdsf, key))),
        ("moka", Box::new(|key| moka.get(&key).is_some())),
        ("quick_cache", Box::new(|key| quick.get(&key).is_some())),
    ];
    println!("fresh hit, {OBJECTS} objects, median of {ROUNDS}");
    println!("{:<22}{:>16}{:>10}{:>14}{:>10}{:>14}", "", "", "ns", "times moka", "", "times quick");
    for threads in [1, 2] {
        let times = medians(&caches, &wanted, threads);
        for ((name, _), time) in caches.iter().zip(times) {
            let (of_moka, of_quick) = (time / times[2], time / times[3]);
            println!("{name:<22}{threads:>8} threads{time:>10.0}{of_moka:>14.2}{:>10}{of_quick:>14.2}", "");
        }
    }
}

/// Nanoseconds of a processor for a lookup in each cache.
fn medians<const N: usize>(caches: &[(&str, Find<'_>); N], wanted: &[CacheKey], threads: usize) -> [f64; N] {
    let mut rounds = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for ((_, find), times) in caches.iter().zip(&mut rounds) {
            times.push(round(find, wanted, threads));
        }
    }
    rounds.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    })
}

fn round(find: &Find<'_>, wanted: &[CacheKey], threads: usize) -> f64 {
    let share = wanted.len() / threads;
    let timed = &|part: &[CacheKey]| {
        let began = clock::nanoseconds();
        // Every lookup must hit, or the figure means nothing.
        assert!(part.iter().all(|key| find(black_box(*key))));
        clock::nanoseconds() - began
    };
    let total: u64 = thread::scope(|scope| {
        let parts = wanted.chunks_exact(share).map(|part| scope.spawn(move || timed(part)));
        let threads: Vec<_> = parts.collect();
        threads.into_iter().map(|thread| thread.join().expect("every lookup hits")).sum()
    });
    total as f64 / wanted.len() as f64
}

/// Engines that together hold every key.
fn shards(eviction: Eviction, keys: &[CacheKey]) -> Vec<Mutex<Engine<Symbol>>> {
    let mut shards: Vec<_> = (0..SHARDS).map(|_| engine::Origin::new(eviction)).collect();
    for key in keys {
        shards[shard_of(*key)].fetch(*key);
    }
    shards.into_iter().map(|shard| Mutex::new(shard.engine)).collect()
}

/// As the driver chooses.
fn shard_of(key: CacheKey) -> usize {
    (((key.0 >> 96) * SHARDS as u128) >> 32) as usize
}

fn fresh_hit(shards: &[Mutex<Engine<Symbol>>], key: CacheKey) -> bool {
    let mut shard = shards[shard_of(key)].lock().expect("no bench panics while it holds a lock");
    let found = shard.fresh_hit(Instant::ZERO, key, Method::Get, std::iter::empty()).map(Cow::into_owned);
    drop(shard);
    found.is_some()
}
