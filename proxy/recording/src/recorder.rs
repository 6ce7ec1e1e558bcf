//! Writing: one line for each input, each effect and each look through the fast path.

use crate::line::{Header, LineToWrite, Look};
use bytes::Bytes;
use std::io::Write;
use tiergate_driver::{Beginning, Recorder};
use tiergate_engine::{CacheKey, Effect, Fields, Input, Instant, Method};

/// Records into a sink of bounded size.
///
/// Every line is written at once and as a whole, so that what a process was told last is there also if it
/// dies of it: give it a file, not a buffer. It ends before the first line that would not fit, or that cannot
/// be written; then the log says so, and what was recorded stays good.
pub struct JsonRecorder<W> {
    /// None once it has ended.
    sink: Option<W>,
    room: u64,
    shard: u32,
    line: Vec<u8>,
}

impl<W: Write + Send> JsonRecorder<W> {
    /// Begins a recording of at most `bytes_max` bytes.
    pub fn begin(sink: W, bytes_max: u64, beginning: &Beginning<'_>) -> Self {
        let mut recorder =
            Self { sink: Some(sink), room: bytes_max, shard: beginning.shard, line: Vec::new() };
        recorder.write(&Header::of(beginning));
        recorder
    }

    fn write(&mut self, line: &impl serde::Serialize) {
        let Some(sink) = &mut self.sink else { return };
        self.line.clear();
        let written =
            serde_json::to_writer(&mut self.line, line).map_err(|error| error.to_string()).and_then(|()| {
                self.line.push(b'\n');
                let left = self.room.checked_sub(self.line.len() as u64).ok_or("it has its full size")?;
                sink.write_all(&self.line).map_err(|error| error.to_string())?;
                self.room = left;
                Ok(())
            });
        if let Err(why) = written {
            self.sink = None;
            tracing::warn!(shard = self.shard, why, "the recording ends");
        }
    }
}

impl<W: Write + Send> Recorder for JsonRecorder<W> {
    fn told(&mut self, at: Instant, input: &Input<Bytes>) {
        self.write(&LineToWrite::Told { at, input });
    }

    fn asked(&mut self, effect: &Effect<Bytes>) {
        self.write(&LineToWrite::Asked(effect));
    }

    fn looked(&mut self, at: Instant, key: CacheKey, method: Method, fields: &Fields, found: bool) {
        if self.sink.is_some() {
            let fields = fields.clone();
            self.write(&LineToWrite::Looked(&Look { at, key, method, fields, found }));
        }
    }
}
