//! A body on its way from the origin: whole, broken off, or of another length than its head says.

use tiergate_engine::{Answer, Input, OpId, OriginFailure, Symbol};
use tiergate_invariants::Version;

/// The object of what is no object's: an error page, the nothing of a 304.
pub(in crate::explore) const NO_OBJECT: u64 = u64::MAX;

/// A body on its way.
#[derive(Clone, Copy, Debug)]
pub(in crate::explore) struct Body {
    pub object: u64,
    pub version: u32,
    pub sent: u64,
    pub length: u64,
    pub chunk: u64,
    pub end: BodyEnd,
    pub stalls_at: Option<u64>,
}

/// What comes after the last byte.
#[derive(Clone, Copy, Debug)]
pub(in crate::explore) enum BodyEnd {
    Clean,
    Failure(OriginFailure),
}

impl Body {
    /// What a 304 carries.
    pub(in crate::explore) const fn empty(version: Version) -> Self {
        Self {
            object: NO_OBJECT,
            version: version.0,
            sent: 0,
            length: 0,
            chunk: 1,
            end: BodyEnd::Clean,
            stalls_at: None,
        }
    }

    /// Ends the body before its length, or, when the length was announced, perhaps with more than that.
    pub(in crate::explore) fn cut(&mut self, announced: bool, at: u64) {
        let failure = match (announced, at == self.length) {
            (true, true) => OriginFailure::TooLong,
            (true, false) => OriginFailure::TooShort,
            (false, _) => OriginFailure::Broken,
        };
        self.length = at;
        self.end = BodyEnd::Failure(failure);
    }

    /// Ends the body as if all were well, with less than was announced, or with more.
    pub(in crate::explore) fn lie(&mut self, at: u64) {
        self.length = if at == self.length { at + 1 + at / 2 } else { at };
        self.end = BodyEnd::Clean;
    }

    pub(in crate::explore) fn next(&mut self, op: OpId) -> (Input<Symbol>, bool) {
        let left = self.length - self.sent;
        match (left, self.end) {
            (0, BodyEnd::Clean) => (Answer::PullEnded.to(op), true),
            (0, BodyEnd::Failure(failure)) => (Answer::PullFailed { failure }.to(op), true),
            (1.., _) => {
                let chunk = Symbol {
                    object: self.object,
                    version: self.version,
                    offset: self.sent,
                    size: self.chunk.min(left),
                };
                self.sent += chunk.size;
                (Answer::Pulled { chunk }.to(op), false)
            }
        }
    }
}
