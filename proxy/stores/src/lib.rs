//! What stands behind the driver's durable traits: where bodies lie, where the index has its rows, and the
//! log of purges that edges share.
//!
//! Nothing here decides about caching, retries a request or draws chance. What every store promises is one
//! suite for each trait, in `conformance`, behind the feature of that name. A server that chooses at run time
//! holds an [`AnyBlobs`] and an [`AnyIndex`]. Start at [`DirectoryBlobs`] and [`EmbeddedIndex`].

mod any;
mod blocking;
mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(all(test, unix))]
mod crash;
mod directory;
mod embedded;
mod error;
mod feed_bounds;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;

pub use any::{AnyBlobs, AnyIndex};
pub use clock::{SystemClock, WallClock};
pub use directory::DirectoryBlobs;
pub use embedded::{EmbeddedIndex, EmbeddedOptions};
pub use error::OpenError;
pub use feed_bounds::FeedBounds;
pub use memory::{MemoryBlobs, MemoryIndex};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresAddress, PostgresIndex, PostgresOptions};
