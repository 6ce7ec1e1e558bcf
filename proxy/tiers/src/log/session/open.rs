//! What is held open: records that are read, and records that are being written.

use super::{Answer, Arrival, Release, Session, refused};
use crate::log::device::Device;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use tiergate_driver::{Found, TierError};
use tiergate_engine::{
    Record, RecordName, StoredKey,
    store::{Input, Op, Reader, Source, Writer},
};
use tokio::sync::oneshot;

/// A body up to this size is copied out of what was read: it would hold the whole sector, and may be kept for
/// long.
const COPIED_BYTES_MAX: usize = 8 << 10;

/// A record that is held open. Dropping it closes it.
pub(in crate::log) struct OpenRecord<D: Device> {
    session: Arc<Session<D>>,
    reader: Reader,
    /// Of its body.
    length: u64,
    ahead: Mutex<Ahead>,
    _release: Release,
}

/// What is read before it is asked for.
///
/// ```text
/// Nothing ──a read took the device──▶ Asked ──its offset is wanted──▶ the next is Asked
///    ▲──────────another offset is wanted, or the end is reached──┘
/// ```
#[derive(Default)]
enum Ahead {
    #[default]
    Nothing,
    Asked {
        offset: u64,
        length_max: u64,
        answer: oneshot::Receiver<Answer>,
    },
}

impl<D: Device> Session<D> {
    /// Opens the current record of a key.
    pub(in crate::log) async fn lookup(
        self: &Arc<Self>,
        key: StoredKey,
    ) -> Result<Option<(Found, OpenRecord<D>)>, TierError> {
        let mut id = Reader(0);
        let mut answer = self.begin(|op, number| {
            id = Reader(number);
            (Input::Lookup { op, reader: id, key }, Some(id))
        })?;
        match self.settle(&mut answer).await? {
            (Answer::Found { reader: Some(release), record, body }, _) => {
                let open = OpenRecord {
                    session: Arc::clone(self),
                    reader: id,
                    length: record.length.0,
                    ahead: Mutex::default(),
                    _release: release,
                };
                Ok(Some((Found { record: *record, body: body.map(own) }, open)))
            }
            (Answer::Absent, _) => Ok(None),
            (Answer::Failed(why), _) => Err(refused("looking up", why)),
            (
                Answer::Found { reader: None, .. }
                | Answer::Done
                | Answer::Read(_)
                | Answer::Freshened(_)
                | Answer::Deleted { .. },
                _,
            ) => unreachable!("a lookup has other answers"),
        }
    }

    /// Begins a record.
    pub(in crate::log) fn open_writer(
        self: &Arc<Self>,
        key: StoredKey,
        name: RecordName,
    ) -> Result<OpenWriter<D>, TierError> {
        let writer = self.begin_writer(|writer| Input::Begin { writer, key, name })?;
        Ok(OpenWriter { session: Arc::clone(self), writer })
    }
}

fn own(body: Bytes) -> Bytes {
    if body.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&body) } else { body }
}

fn body_read(answer: Answer) -> Result<Bytes, TierError> {
    match answer {
        Answer::Read(bytes) => Ok(bytes),
        Answer::Failed(why) => Err(refused("reading", why)),
        Answer::Done
        | Answer::Found { .. }
        | Answer::Absent
        | Answer::Freshened(_)
        | Answer::Deleted { .. } => unreachable!("a read has other answers"),
    }
}

impl<D: Device> OpenRecord<D> {
    /// At least one and at most so many bytes of the body. If the device takes its time, the bytes behind
    /// them are asked for as well, as whoever reads a part mostly reads the next.
    pub(in crate::log) async fn read(&self, offset: u64, length_max: u64) -> Result<Bytes, TierError> {
        let (bytes, arrival) = match self.take_ahead(offset, length_max) {
            Some(mut answer) => {
                let (answer, _) = self.session.settle(&mut answer).await?;
                (body_read(answer)?, Arrival::Later)
            }
            None => {
                let source = Source::Reader(self.reader);
                let ask = |op| Input::Read { op, source, offset, length_max };
                let (answer, arrival) = self.session.ask(ask).await?;
                (body_read(answer)?, arrival)
            }
        };
        match arrival {
            Arrival::AtOnce => {}
            Arrival::Later => self.ask_ahead(offset + bytes.len() as u64, length_max),
        }
        Ok(bytes)
    }

    fn take_ahead(&self, wanted: u64, wanted_max: u64) -> Option<oneshot::Receiver<Answer>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *ahead) {
            Ahead::Asked { offset, length_max, answer } if offset == wanted && length_max <= wanted_max => {
                Some(answer)
            }
            Ahead::Nothing | Ahead::Asked { .. } => None,
        }
    }

    fn ask_ahead(&self, offset: u64, length_max: u64) {
        if offset >= self.length {
            return;
        }
        let source = Source::Reader(self.reader);
        let ask = |op: Op, _| (Input::Read { op, source, offset, length_max }, None);
        // If the session has ended, whoever reads on meets that.
        if let Ok(answer) = self.session.begin(ask) {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            *ahead = Ahead::Asked { offset, length_max, answer };
        }
    }
}

/// A record that is being written. Dropping it closes it; what was not committed is gone.
pub(in crate::log) struct OpenWriter<D: Device> {
    session: Arc<Session<D>>,
    writer: Writer,
}

impl<D: Device> OpenWriter<D> {
    pub(in crate::log) async fn append(&self, chunk: Bytes) -> Result<(), TierError> {
        let writer = self.writer;
        let (answer, _) = self.session.ask(|op| Input::Append { op, writer, chunk }).await?;
        done("writing", answer)
    }

    pub(in crate::log) async fn commit(&self, record: Arc<Record>) -> Result<(), TierError> {
        let writer = self.writer;
        let (answer, _) = self.session.ask(|op| Input::Commit { op, writer, record }).await?;
        done("committing", answer)
    }

    /// Bytes that were acknowledged.
    pub(in crate::log) async fn read(&self, offset: u64, length_max: u64) -> Result<Bytes, TierError> {
        let source = Source::Writer(self.writer);
        let (answer, _) = self.session.ask(|op| Input::Read { op, source, offset, length_max }).await?;
        body_read(answer)
    }
}

impl<D: Device> Drop for OpenWriter<D> {
    fn drop(&mut self) {
        self.session.tell(Input::Discard { writer: self.writer });
    }
}

fn done(doing: &str, answer: Answer) -> Result<(), TierError> {
    match answer {
        Answer::Done => Ok(()),
        Answer::Failed(why) => Err(refused(doing, why)),
        Answer::Found { .. }
        | Answer::Absent
        | Answer::Read(_)
        | Answer::Freshened(_)
        | Answer::Deleted { .. } => unreachable!("{doing} has other answers"),
    }
}
