//! libCacheSim's `oracleGeneral` format.
//!
//! A record has 24 bytes, little-endian: `u32 time_s, u64 object_id, u32 size_bytes, i64 next_access_vtime`
//! (-1: never again).

use super::{
    Request,
    error::{TraceFault, TracePlace},
};
use std::io::{self, BufRead, BufReader, Read};
use tiergate_engine::{ByteCount, CacheKey};

pub(super) const RECORD_BYTES: usize = 24;

/// Records, from the first one on.
pub(super) struct Oracle {
    /// Buffered once more, so that not each record is a call to whatever decompresses.
    bytes: BufReader<Box<dyn BufRead>>,
    /// Records read.
    records: u64,
    time_s: u32,
}

impl Oracle {
    pub(super) fn new(bytes: Box<dyn BufRead>) -> Self {
        Self { bytes: BufReader::with_capacity(super::BUFFER_BYTES, bytes), records: 0, time_s: 0 }
    }

    pub(super) fn read_record(&mut self) -> Result<Option<Request>, TraceFault> {
        let mut record = [0; RECORD_BYTES];
        let mut filled = 0;
        while filled < RECORD_BYTES {
            match self.bytes.read(&mut record[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(TraceFault::Broken { place: TracePlace::Record(self.records), error });
                }
            }
        }
        match filled {
            0 if self.records == 0 => Err(TraceFault::Empty("records")),
            0 => Ok(None),
            RECORD_BYTES => self.decode(&record).map(Some),
            bytes => Err(TraceFault::Short { record: self.records, bytes }),
        }
    }

    fn decode(&mut self, record: &[u8; RECORD_BYTES]) -> Result<Request, TraceFault> {
        let [t0, t1, t2, t3, o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3, next @ ..] = *record;
        let time_s = u32::from_le_bytes([t0, t1, t2, t3]);
        let object = u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        let next = i64::from_le_bytes(next);
        let record = self.records;
        if time_s < self.time_s {
            let bound = format!("at least {}, as in the record before", self.time_s);
            return Err(TraceFault::Field { record, field: "time_s", value: time_s.into(), bound });
        }
        if next < -1 {
            let bound = "-1 or more".to_owned();
            return Err(TraceFault::Field { record, field: "next_access_vtime", value: next, bound });
        }
        self.time_s = time_s;
        self.records += 1;
        Ok(Request { time_ms: u64::from(time_s) * 1_000, key: key_of(object), size: ByteCount(size.into()) })
    }
}

/// The key of a trace's object. The format has numbers instead of targets, so its objects have no key but
/// this.
fn key_of(object: u64) -> CacheKey {
    CacheKey(u128::from(object).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}
