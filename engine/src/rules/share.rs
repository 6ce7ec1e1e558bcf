//! What a request gets of a stored response: conditions count first, then ranges (RFC 9110 section 13.2.2).

use super::{conditional, range};
use crate::language::{
    head::{Head, RequestHead},
    time::WallTime,
};
use alloc::{boxed::Box, vec::Vec};

/// A head, and what of the stored body follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// The stored head, and all of the body.
    Whole,
    /// Another head, and these pieces: none for a 304, 412 or 416, one for one range, several for several.
    Pieces(Head, Vec<Piece>),
}

/// One piece of what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// What stands between the parts of a multipart answer.
    Text(Box<str>),
    /// Bytes of the stored body; never none.
    Bytes {
        /// The first one.
        first: u64,
        /// How many.
        count: u64,
    },
}

impl Piece {
    /// How many bytes are sent for it.
    pub(crate) const fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Bytes { count, .. } => *count,
        }
    }
}

/// What `request` gets of `stored`, which came at `received` and whose body has `length` bytes. `boundary` is
/// a random number, for an answer of several parts.
pub(crate) fn share(
    request: &RequestHead,
    stored: &Head,
    length: u64,
    received: WallTime,
    now: WallTime,
    boundary: impl FnOnce() -> u128,
) -> Share {
    match conditional::answer(request, stored, received, now) {
        conditional::Answer::Full => {}
        conditional::Answer::NotModified => {
            return Share::Pieces(conditional::not_modified_head(stored), Vec::new());
        }
        conditional::Answer::Failed => return Share::Pieces(conditional::failed_head(), Vec::new()),
    }
    let bytes = |part: range::ByteRange| Piece::Bytes { first: part.first(), count: part.length() };
    match range::portion(request, stored, length, now) {
        range::Portion::Whole => Share::Whole,
        range::Portion::Unsatisfiable => Share::Pieces(range::unsatisfiable_head(length), Vec::new()),
        range::Portion::One(part) => {
            Share::Pieces(range::partial_head(stored, part, length), Vec::from([bytes(part)]))
        }
        range::Portion::Several(parts) => {
            let multipart = range::multipart(stored, &parts, length, boundary());
            let parts = multipart.parts.into_iter();
            let mut pieces: Vec<_> =
                parts.flat_map(|(text, part)| [Piece::Text(text), bytes(part)]).collect();
            pieces.push(Piece::Text(multipart.close));
            Share::Pieces(multipart.head, pieces)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::head::Method;

    const NOW: WallTime = WallTime::from_unix_millis(1_795_219_200_000);

    fn shared(fields: &[(&str, &str)]) -> (u16, Vec<Piece>) {
        let request = RequestHead {
            method: Method::Get,
            authority: "a".into(),
            target: "/".into(),
            fields: fields.iter().copied().collect(),
        };
        let stored = Head { status: 200, fields: [("etag", "\"a\"")].into_iter().collect() };
        match share(&request, &stored, 100, NOW, NOW, || 7) {
            Share::Whole => (200, Vec::new()),
            Share::Pieces(head, pieces) => (head.status, pieces),
        }
    }

    /// A condition that ends the matter leaves nothing to the range; one that does not, does.
    #[test]
    fn conditions_count_before_ranges() {
        let part = Vec::from([Piece::Bytes { first: 2, count: 3 }]);
        assert_eq!(shared(&[]), (200, Vec::new()));
        assert_eq!(shared(&[("range", "bytes=2-4")]), (206, part.clone()));
        assert_eq!(shared(&[("range", "bytes=2-4"), ("if-none-match", "\"a\"")]), (304, Vec::new()));
        assert_eq!(shared(&[("range", "bytes=200-"), ("if-none-match", "\"a\"")]), (304, Vec::new()));
        assert_eq!(shared(&[("range", "bytes=200-")]), (416, Vec::new()));
        assert_eq!(shared(&[("range", "bytes=2-4"), ("if-none-match", "\"b\"")]), (206, part.clone()));
        assert_eq!(shared(&[("range", "bytes=2-4"), ("if-match", "\"a\"")]), (206, part));
        assert_eq!(shared(&[("range", "bytes=2-4"), ("if-match", "\"b\"")]), (412, Vec::new()));
        assert_eq!(shared(&[("if-none-match", "\"a\""), ("if-match", "\"b\"")]), (412, Vec::new()));
        assert_eq!(shared(&[("if-none-match", "\"a\""), ("if-match", "\"a\"")]), (304, Vec::new()));
    }

    /// Several ranges come as parts between delimiters, and the length of all of it is announced.
    #[test]
    fn several_ranges_are_parts() {
        let (status, pieces) = shared(&[("range", "bytes=0-0,-1")]);
        assert_eq!(status, 206);
        let bytes: Vec<_> = pieces.iter().filter(|piece| matches!(piece, Piece::Bytes { .. })).collect();
        assert_eq!(bytes, [&Piece::Bytes { first: 0, count: 1 }, &Piece::Bytes { first: 99, count: 1 }]);
        assert_eq!(pieces.len(), 5);
        assert!(matches!(pieces.last(), Some(Piece::Text(_))));
    }
}
