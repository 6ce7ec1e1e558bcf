//! What the lines of a recording say.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tiergate_driver::Beginning;
use tiergate_engine::{
    Blank, CacheKey, Config, ConfigError, Effect, Fields, Input, Instant, Method, RawConfig, Seed,
};

/// Which layout of lines this is. It changes when a reader of the old one would misread the new one.
pub const FORMAT: u32 = 2;

/// The first line: what the engine began with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub tiergate_recording: u32,
    /// Of which version the engine was. Another one may decide otherwise.
    pub version: String,
    /// Which shard it was, from 0.
    pub shard: u32,
    /// Of how many.
    pub shards: u32,
    /// The engine's own seed.
    pub seed: u64,
    /// When it began.
    pub at: Instant,
    /// The section of the configuration, before it was divided among shards.
    pub cache: RawConfig,
}

impl Header {
    /// Of an engine that begins now.
    pub fn of(beginning: &Beginning<'_>) -> Self {
        Self {
            tiergate_recording: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shard: beginning.shard,
            shards: beginning.shards,
            seed: beginning.seed.0,
            at: beginning.at,
            cache: beginning.config.as_written().clone(),
        }
    }

    /// What the engine ran on: its shard's part.
    ///
    /// # Errors
    /// A value of the section is out of bounds.
    pub fn config(&self) -> Result<Config, ConfigError> {
        Ok(Config::try_from(self.cache.clone())?.for_one_of(self.shard, self.shards))
    }

    /// The engine's own seed.
    pub fn seed(&self) -> Seed {
        Seed(self.seed)
    }
}

/// Any further line.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Told {
        at: Instant,
        input: Input<Blank>,
    },
    Looked(Look),
    /// As it is written, to be compared.
    Asked(Value),
}

/// The same, to be written.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineToWrite<'l> {
    Told { at: Instant, input: &'l Input<Bytes> },
    Looked(&'l Look),
    Asked(&'l Effect<Bytes>),
}

/// A look through the fast path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Look {
    /// The engine's time of the call.
    pub at: Instant,
    /// The cache key that was looked up.
    pub key: CacheKey,
    /// The request's method.
    pub method: Method,
    /// The request's fields.
    pub fields: Fields,
    /// Was there a fresh hit?
    pub found: bool,
}
