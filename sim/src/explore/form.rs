//! What a client asks for beside a plain GET, and whether what it got is what it asked for.
//!
//! C5 sees that the bytes of an answer are of one version. Which bytes they had to be only the world can say, for it knows
//! the request: exactly the ranges asked for, as far as the version has them.

use super::{client::place, draws::Draws, world::World};
use std::sync::Arc;
use tiergate_engine::{Chunk, Fields, Head, Method, RequestHead, Symbol};
use tiergate_invariants::Version;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A plain GET.
    Plain,
    /// Something that a cache does not answer.
    Around,
    /// A HEAD.
    Head,
    /// A GET of these bytes, first and last, in this order.
    Ranges(Vec<(u64, u64)>),
    /// A GET of what does not have this entity tag.
    IfNot(String),
}

impl Form {
    /// Something special about a body of at most `size_max` bytes.
    pub(super) fn special(draws: &mut Draws, size_max: u64, newest: String) -> Self {
        let mut range = || {
            let scale = 1 + draws.below(4);
            let first = draws.below(size_max / scale + 1);
            (first, first + draws.below(size_max / 2 + 1))
        };
        let two = [range(), range()];
        match draws.below(6) {
            0 | 1 => Self::Head,
            2 | 3 => Self::Ranges(vec![two[0]]),
            4 => Self::Ranges(two.to_vec()),
            _ => Self::IfNot(newest),
        }
    }

    /// What is special about it, for a reader.
    pub(super) fn in_words(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Around => Some("what no cache answers".to_owned()),
            Self::Head => Some("the head only".to_owned()),
            Self::Ranges(ranges) => {
                let ranges: Vec<_> =
                    ranges.iter().map(|(first, last)| format!("{first} to {last}")).collect();
                Some(format!("bytes {} only", ranges.join(" and ")))
            }
            Self::IfNot(tag) => Some(format!("it only if it is no longer {tag}")),
        }
    }

    /// The request for an object whose plain one this is.
    pub(super) fn request(&self, plain: &Arc<RequestHead>, around: &Arc<RequestHead>) -> Arc<RequestHead> {
        let with = |method, fields| Arc::new(RequestHead { method, fields, ..RequestHead::clone(plain) });
        match self {
            Self::Plain => Arc::clone(plain),
            Self::Around => Arc::clone(around),
            Self::Head => with(Method::Head, Fields::new()),
            Self::Ranges(ranges) => {
                let ranges: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
                let value = format!("bytes={}", ranges.join(", "));
                with(Method::Get, Fields::from_iter([("range", value)]))
            }
            Self::IfNot(tag) => with(Method::Get, Fields::from_iter([("if-none-match", tag)])),
        }
    }
}

/// The entity tag of a variant of a version.
pub(super) fn tag(version: Version, variant: u64) -> String {
    format!("\"v{}.{variant}\"", version.0)
}

impl World {
    /// Is an answer that ended as whole what `form` asked of this object?
    pub(super) fn check_form(&mut self, object: usize, form: &Form, head: &Head, pieces: &[Symbol]) {
        if let Err(why) = self.judge_form(object, form, head, pieces) {
            self.breaks("C5", format!("{form:?} of object {object} got {} {pieces:?}: {why}", head.status));
        }
    }

    fn judge_form(&self, object: usize, form: &Form, head: &Head, pieces: &[Symbol]) -> Result<(), String> {
        match (form, head.status) {
            (Form::Ranges(ranges), 206) => {
                let sent: u64 = pieces.iter().map(Chunk::size).sum();
                let announced = head.fields.only("content-length");
                if announced != Some(sent.to_string().as_bytes()) {
                    return Err(format!("{sent} bytes were sent, and {announced:?} announced"));
                }
                self.judge_ranges(object, ranges, pieces)
            }
            (Form::Ranges(ranges), 416) => {
                let of_length = |length| {
                    let complete = format!("bytes */{length}");
                    head.fields.only("content-range") == Some(complete.as_bytes())
                        && ranges.iter().all(|(first, _)| *first >= length)
                };
                let fits = self.origin.lengths(object).any(of_length);
                if fits { Ok(()) } else { Err("no version is too short for all of it".to_owned()) }
            }
            (Form::IfNot(tag), 304) => {
                let is_it = head.fields.only("etag") == Some(tag.as_bytes());
                if is_it { Ok(()) } else { Err("it is another version or variant".to_owned()) }
            }
            (_, 206 | 304 | 416) => Err("nobody asked for that".to_owned()),
            (Form::Plain | Form::Around | Form::Head | Form::Ranges(_) | Form::IfNot(_), _) => Ok(()),
        }
    }

    /// Are the bytes of the object among `pieces` those of the ranges that one version has?
    fn judge_ranges(&self, object: usize, ranges: &[(u64, u64)], pieces: &[Symbol]) -> Result<(), String> {
        let bytes: Vec<Symbol> =
            pieces.iter().filter(|piece| piece.object != Symbol::TEXT).copied().collect();
        let Some(Symbol { object: number, version, .. }) = bytes.first().copied() else {
            return Err("no byte at all".to_owned());
        };
        let length = self.origin.lengths(object).nth(place(u64::from(version) - 1)).unwrap_or(0);
        let due = ranges.iter().filter(|(first, _)| *first < length).map(|(first, last)| Symbol {
            object: number,
            version,
            offset: *first,
            size: last.min(&(length - 1)) - first + 1,
        });
        let (due, got) = (Symbol::compact(due.collect()), Symbol::compact(bytes));
        if due == got { Ok(()) } else { Err(format!("due was {due:?}")) }
    }
}
