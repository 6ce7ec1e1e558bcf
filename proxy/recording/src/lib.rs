//! Recordings: all that reached one shard's engine, and what it asked for, as lines of JSON.
//!
//! The first line is the [`Header`]: what the engine began with. Each further line says what the engine was
//! told, or what it asked for thereupon. An engine of the same version that begins alike and is told the same
//! decides the same, so a recording can be lived again ([`Life`]) without the world that it was made in.
//!
//! Bodies are not recorded, only the sizes of their pieces. Heads are, whole: whoever hands on a recording
//! hands on the cookies and credentials of those who asked. A durable tier cannot be recorded yet.

mod line;
mod reader;
mod recorder;
mod relive;

pub use line::{FORMAT, Header, Look};
pub use reader::{Incoming, ReadError, Reader, Step};
pub use recorder::JsonRecorder;
pub use relive::{Difference, Life, Lived};
