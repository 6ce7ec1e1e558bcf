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
#[cfg(feature = "s3")]
mod s3;
#[cfg(all(feature = "s3", any(test, feature = "conformance")))]
mod s3_imitation;
mod terms;

pub use any::{AnyBlobs, AnyIndex};
pub use clock::{SystemClock, WallClock};
pub use directory::DirectoryBlobs;
pub use embedded::{EmbeddedIndex, EmbeddedOptions};
pub use error::OpenError;
pub use feed_bounds::FeedBounds;
pub use memory::{MemoryBlobs, MemoryIndex};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresAddress, PostgresIndex, PostgresOptions};
#[cfg(feature = "s3")]
pub use s3::{S3Addressing, S3Blobs, S3Credentials, S3Index, S3IndexError, S3Options};
#[cfg(all(feature = "s3", any(test, feature = "conformance")))]
pub use s3_imitation::{S3Imitation, S3Lack, S3Trouble};
pub use terms::{Agreeing, Disagreement, NotAgreed, Replacing, SharedTerms};
