//! What a recorder of one shard is told. With it, what the shard's engine decided can be replayed elsewhere.

use bytes::Bytes;
use tiergate_engine::{CacheKey, Config, Effect, Fields, Input, Instant, Method, Seed};

/// What one engine begins with.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'b> {
    /// The engine's own part of the configuration.
    pub config: &'b Config,
    /// Among how many the configuration was divided.
    pub shards: u32,
    /// This engine's number among them, from 0.
    pub shard: u32,
    /// The engine's seed, split from the driver's.
    pub seed: Seed,
    /// When it begins.
    pub at: Instant,
}

/// Writes down all that reaches one engine, and what it asks for: together with the [`Beginning`], that is
/// all that its decisions depend on. Called under the shard's lock, in order.
pub trait Recorder: Send {
    /// The engine is about to be told.
    fn told(&mut self, now: Instant, input: &Input<Bytes>);

    /// It asks for this.
    fn asked(&mut self, effect: &Effect<Bytes>);

    /// Somebody asked the fast path, which also tells the engine what is popular.
    fn looked(&mut self, now: Instant, key: CacheKey, method: Method, fields: &Fields, found: bool);
}
