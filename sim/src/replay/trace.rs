//! Reads recorded traces in libCacheSim's `oracleGeneral` format, plain or compressed with zstd, one record at a time.
//!
//! A record has 24 bytes, little-endian: `u32 time_s, u64 object_id, u32 size_bytes, i64 next_access_vtime` (-1: never
//! again). Memory does not grow with the number of records. A file that is not such a trace is an error that says where.

use indicatif::ProgressBar;
use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};
use tiergate_engine::ByteCount;

const RECORD_BYTES: usize = 24;
/// How a zstd frame begins (RFC 8878 section 3.1.1). Read as a time it would be 2023-05-30, but only with an object id
/// that fits the rest of a frame's header; and no trace that is known begins so.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Read ahead: large enough that neither the file nor the decompressor is asked for each record.
const BUFFER_BYTES: usize = 128 << 10;

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When, in seconds.
    pub time_s: u32,
    /// For what.
    pub object: u64,
    /// How large it was then.
    pub size: ByteCount,
}

/// A trace, from its first record on.
pub struct Trace {
    path: PathBuf,
    bytes: Box<dyn Read>,
    /// Records read.
    records: u64,
    time_s: u32,
}

/// A file that is not the trace it should be.
#[derive(Debug)]
pub struct TraceError {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    /// The file cannot be opened, read or decompressed.
    Unreadable { record: u64, error: io::Error },
    /// No record at all.
    Empty,
    /// The last record ends early.
    Short { record: u64, bytes: usize },
    /// A field of a record is out of bounds.
    Field { record: u64, field: &'static str, value: i64, bound: String },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        // Records are counted from 1, bytes from 0, both after decompression.
        let place = |record: u64| format!("record {}, byte {}", record + 1, record * RECORD_BYTES as u64);
        match &self.fault {
            Fault::Unreadable { record, error } => {
                write!(f, "{path}: {}: cannot be read: {error}", place(*record))
            }
            Fault::Empty => write!(f, "{path}: holds 0 records, but must hold at least 1"),
            Fault::Short { record, bytes } => write!(
                f,
                "{path}: {}: the file ends after {bytes} bytes of this record, but a record has {RECORD_BYTES}",
                place(*record)
            ),
            Fault::Field { record, field, value, bound } => {
                write!(f, "{path}: {}: `{field}` is {value}, but must be {bound}", place(*record))
            }
        }
    }
}

impl Error for TraceError {}

impl Trace {
    /// Opens a trace. `progress` follows how much of the file was read.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(path: &Path, progress: &ProgressBar) -> Result<Self, TraceError> {
        let unreadable =
            |error| TraceError { path: path.to_owned(), fault: Fault::Unreadable { record: 0, error } };
        let file = File::open(path).map_err(unreadable)?;
        progress.set_length(file.metadata().map_err(unreadable)?.len());
        let mut file = progress.wrap_read(file);
        let mut magic = Vec::new();
        file.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic).map_err(unreadable)?;
        let whole = io::Cursor::new(magic.clone()).chain(file);
        let bytes: Box<dyn Read> = if magic == ZSTD_MAGIC {
            let plain = zstd::stream::read::Decoder::new(whole).map_err(unreadable)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, plain))
        } else {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, whole))
        };
        Ok(Self { path: path.to_owned(), bytes, records: 0, time_s: 0 })
    }

    fn fault(&self, fault: Fault) -> TraceError {
        TraceError { path: self.path.clone(), fault }
    }

    fn read_record(&mut self) -> Result<Option<Request>, TraceError> {
        let mut record = [0; RECORD_BYTES];
        let mut filled = 0;
        while filled < RECORD_BYTES {
            match self.bytes.read(&mut record[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let record = self.records;
                    return Err(self.fault(Fault::Unreadable { record, error }));
                }
            }
        }
        match filled {
            0 if self.records == 0 => Err(self.fault(Fault::Empty)),
            0 => Ok(None),
            RECORD_BYTES => self.decode(&record).map(Some),
            bytes => Err(self.fault(Fault::Short { record: self.records, bytes })),
        }
    }

    fn decode(&mut self, record: &[u8; RECORD_BYTES]) -> Result<Request, TraceError> {
        let [t0, t1, t2, t3, o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3, next @ ..] = *record;
        let time_s = u32::from_le_bytes([t0, t1, t2, t3]);
        let object = u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        let next = i64::from_le_bytes(next);
        if time_s < self.time_s {
            return Err(self.field(
                "time_s",
                time_s.into(),
                format!("at least {}, as in the record before", self.time_s),
            ));
        }
        if next < -1 {
            return Err(self.field("next_access_vtime", next, "-1 or more".into()));
        }
        self.time_s = time_s;
        self.records += 1;
        Ok(Request { time_s, object, size: ByteCount(size.into()) })
    }

    fn field(&self, field: &'static str, value: i64, bound: String) -> TraceError {
        self.fault(Fault::Field { record: self.records, field, value, bound })
    }
}

impl Iterator for Trace {
    type Item = Result<Request, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_record().transpose()
    }
}
