//! What a client asks for beside a plain GET, and whether what it got is what it asked for.
//!
//! C5 sees that the bytes of an answer are of one version. Which bytes they had to be only the world can say,
//! for it knows the request: exactly the ranges asked for, as far as the version has them.

use crate::explore::{world::World, world::client::place, world::draws::Draws, world::variety::object_of};
use crate::judging::{self, Answered, Asked, Means};
use std::sync::Arc;
use tiergate_engine::{Chunk, Fields, Head, Method, RequestHead, Symbol};
use tiergate_invariants::Version;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::explore) enum Form {
    /// A plain GET.
    Plain,
    /// Something that goes around the cache, or does so unless what is stored may answer it.
    Around,
    /// A HEAD.
    Head,
    /// A GET of these bytes, first and last, in this order.
    Ranges(Vec<(u64, u64)>),
    /// A GET of these bytes if the version still has this entity tag, and of all of it if not.
    IfRange(String, (u64, u64)),
    /// A GET of what does not have this entity tag.
    IfNot(String),
}

impl Form {
    /// Something special about a body of at most `size_max` bytes.
    pub(in crate::explore) fn special(draws: &mut Draws, size_max: u64, newest: String) -> Self {
        let mut range = || {
            let scale = 1 + draws.below(4);
            let first = draws.below(size_max / scale + 1);
            (first, first + draws.below(size_max / 2 + 1))
        };
        let two = [range(), range()];
        match draws.below(7) {
            0 | 1 => Self::Head,
            2 | 3 => Self::Ranges(vec![two[0]]),
            4 => Self::Ranges(two.to_vec()),
            5 => Self::IfRange(newest, two[0]),
            _ => Self::IfNot(newest),
        }
    }

    /// What is special about it, for a reader.
    pub(in crate::explore) fn in_words(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Around => Some("what a cache seldom answers".to_owned()),
            Self::Head => Some("the head only".to_owned()),
            Self::Ranges(ranges) => {
                let ranges: Vec<_> =
                    ranges.iter().map(|(first, last)| format!("{first} to {last}")).collect();
                Some(format!("bytes {} only", ranges.join(" and ")))
            }
            Self::IfRange(tag, (first, last)) => {
                Some(format!("bytes {first} to {last} if it still is {tag}, and all of it if not"))
            }
            Self::IfNot(tag) => Some(format!("it only if it is no longer {tag}")),
        }
    }

    /// What is asked, to be judged by.
    fn asked(&self) -> Asked<'_> {
        match self {
            Self::Plain | Self::Around => Asked::Whole,
            Self::Head => Asked::Head,
            Self::Ranges(ranges) => Asked::Ranges(ranges),
            Self::IfRange(tag, range) => Asked::IfRange(tag, *range),
            Self::IfNot(tag) => Asked::IfNot(tag),
        }
    }

    /// The request for an object whose plain one this is.
    pub(in crate::explore) fn request(
        &self,
        plain: &Arc<RequestHead>,
        around: &Arc<RequestHead>,
    ) -> Arc<RequestHead> {
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
            Self::IfRange(tag, (first, last)) => {
                let (range, tag) = (format!("bytes={first}-{last}"), tag.clone());
                with(Method::Get, Fields::from_iter([("range", range), ("if-range", tag)]))
            }
            Self::IfNot(tag) => with(Method::Get, Fields::from_iter([("if-none-match", tag)])),
        }
    }
}

/// The entity tag of a variant of a version.
pub(in crate::explore) fn tag(version: Version, variant: u64, is_weak: bool) -> String {
    let mark = if is_weak { "W/" } else { "" };
    format!("{mark}\"v{}.{variant}\"", version.0)
}

/// The field by which a head shows of which version it is.
pub(in crate::explore) const OF_VERSION: &str = "content-encoding";

impl World {
    /// Is an answer that ended as whole what `form` asked of this object?
    pub(in crate::explore) fn check_form(
        &mut self,
        object: usize,
        form: &Form,
        head: &Head,
        pieces: &[Symbol],
    ) {
        if let Err(why) = self.judge_form(object, form, head, pieces) {
            self.breaks("C5", format!("{form:?} of object {object} got {} {pieces:?}: {why}", head.status));
        }
        self.check_head(object, head, pieces);
    }

    /// Is the head that of the version whose bytes follow it?
    pub(in crate::explore) fn check_head(&mut self, object: usize, head: &Head, pieces: &[Symbol]) {
        let of_object = |piece: &&Symbol| object_of(piece.object) == object;
        let Some(version) = pieces.iter().find(of_object).map(|piece| piece.version) else { return };
        let says = head.fields.only(OF_VERSION).map(String::from_utf8_lossy);
        if matches!(head.status, 200 | 206) && says.as_deref() != Some(&format!("v{version}")) {
            self.breaks("C5", format!("version {version} of object {object} came with the head of {says:?}"));
        }
    }

    fn judge_form(&self, object: usize, form: &Form, head: &Head, pieces: &[Symbol]) -> Result<(), String> {
        let answered = Answered {
            status: head.status,
            etag: head.fields.only("etag"),
            content_length: head.fields.only("content-length"),
            content_range: head.fields.only("content-range"),
            // The engine gives what it has in memory with its body, of which the front sends the head.
            bytes: if *form == Form::Head { 0 } else { pieces.iter().map(Chunk::size).sum() },
        };
        match judging::judge(form.asked(), answered, self.origin.lengths(object))? {
            Means::Parts { ranges, length } => self.judge_ranges(object, &ranges, length, pieces),
            Means::Named if *form == Form::Head => self.judge_head(object, head),
            Means::Body | Means::Named | Means::Nothing => Ok(()),
        }
    }

    /// Does a head that comes alone announce the length of the version that it is of?
    fn judge_head(&self, object: usize, head: &Head) -> Result<(), String> {
        let says = head.fields.only(OF_VERSION).and_then(|said| std::str::from_utf8(said).ok());
        let version = says.and_then(|said| said.strip_prefix('v')?.parse::<u64>().ok());
        let length = version.and_then(|version| self.origin.lengths(object).nth(place(version - 1)));
        let announced = head.fields.only("content-length");
        length.and_then(|length| judging::wrong_length(announced, length)).map_or(Ok(()), Err)
    }

    /// Are the bytes of the object among `pieces` those of the ranges that one version has?
    fn judge_ranges(
        &self,
        object: usize,
        ranges: &[(u64, u64)],
        said: Option<u64>,
        pieces: &[Symbol],
    ) -> Result<(), String> {
        let bytes: Vec<Symbol> =
            pieces.iter().filter(|piece| piece.object != Symbol::TEXT).copied().collect();
        let Some(Symbol { object: number, version, .. }) = bytes.first().copied() else {
            return Err("no byte at all".to_owned());
        };
        let length = self.origin.lengths(object).nth(place(u64::from(version) - 1)).unwrap_or(0);
        if said.is_some_and(|said| said != length) {
            return Err(format!("version {version} has {length} bytes, and {said:?} are announced"));
        }
        let due = judging::due(ranges, length).into_iter().map(|(first, last)| Symbol {
            object: number,
            version,
            offset: first,
            size: last - first + 1,
        });
        let (due, got) = (Symbol::compact(due.collect()), Symbol::compact(bytes));
        if due == got { Ok(()) } else { Err(format!("due was {due:?}")) }
    }
}
