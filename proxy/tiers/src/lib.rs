//! Wire clients and the disk: what stands behind the driver's traits, in production and in simulation alike.
//!
//! A client takes its connector ([`Connect`]): real TCP or the simulator's. Nothing here decides about
//! caching, retries a tier, or draws chance. Start at [`HttpOrigin`].

mod abort;
mod any;
mod blocks;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod connect;
pub mod http_head;
mod log;
mod memcached_tier;
mod origin;
#[cfg(test)]
mod redis_server;
mod redis_store;
mod redis_tier;
mod shared;

pub use any::AnyTier;
pub use connect::{Connect, TcpConnect};
pub use log::{
    About, BootId, Device, FileDevice, FileMedium, Inline, Io, IoChoice, LogOptions, LogTier, Medium,
    OpenError, Opened, SyncPolicy, device_bytes,
};
pub use memcached_tier::{MemcachedOptions, MemcachedTier};
pub use origin::{HostField, HttpBody, HttpOrigin, OriginOptions};
pub use redis_store::{
    FEED_APPEND_SCRIPT, FEED_READ_SCRIPT, ROW_DELETE_SCRIPT, ROW_GET_SCRIPT, ROW_SWAP_SCRIPT,
    ROW_TOUCH_SCRIPT, RedisStore, RedisStoreOptions,
};
pub use redis_tier::{FRESHEN_SCRIPT, JOIN_SCRIPT, PUBLISH_SCRIPT, RedisAddress, RedisOptions, RedisTier};
