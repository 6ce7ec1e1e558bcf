//! Validators and how they are compared (RFC 9110 section 8.8).

use super::http_date;
use crate::language::{head::Fields, time::WallTime};
use core::time::Duration;

/// An entity-tag as it was sent. What is not of the RFC's form is compared byte by byte, as a strong one:
/// origins that send such tags expect them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntityTag<'t> {
    opaque: &'t [u8],
    strength: Strength,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    Strong,
    Weak,
}

impl<'t> EntityTag<'t> {
    pub(super) fn of(text: &'t [u8]) -> Self {
        let text = text.trim_ascii();
        match text.strip_prefix(b"W/") {
            Some(opaque) => Self { opaque, strength: Strength::Weak },
            None => Self { opaque: text, strength: Strength::Strong },
        }
    }

    /// The `ETag` of a response, if it has exactly one.
    pub(super) fn of_response(fields: &'t Fields) -> Option<Self> {
        fields.only("etag").map(Self::of)
    }

    /// Weak comparison (section 8.8.3.2): for everything that a little difference does not hurt.
    pub(super) fn is_like(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// Strong comparison: the same bytes.
    pub(super) fn is_same(self, other: Self) -> bool {
        self.is_like(other) && self.is_strong() && other.is_strong()
    }

    pub(super) fn is_strong(self) -> bool {
        self.strength == Strength::Strong
    }
}

/// `Last-Modified`, where it is as good as a strong entity-tag (section 8.8.2.2): at least a second older
/// than `Date`, so that there was no second change within its second.
pub(super) fn strong_last_modified(fields: &Fields, now: WallTime) -> Option<WallTime> {
    let modified = http_date::field(fields, "last-modified", now)?;
    let date = http_date::field(fields, "date", now)?;
    (date.since(modified) >= Duration::from_secs(1)).then_some(modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 9110 section 8.8.3.2, and tags that are none.
    #[test]
    fn tags_are_compared_in_two_ways() {
        let cases = [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
            ("\"1\"", "\"2\"", false, false),
            (" \"1\" ", "\"1\"", true, true),
            ("w/\"1\"", "w/\"1\"", true, true),
            ("w/\"1\"", "\"1\"", false, false),
            ("1", "1", true, true),
            ("1", "\"1\"", false, false),
        ];
        for (one, other, same, like) in cases {
            let (a, b) = (EntityTag::of(one.as_bytes()), EntityTag::of(other.as_bytes()));
            assert_eq!((a.is_same(b), a.is_like(b)), (same, like), "{one} {other}");
            assert_eq!((b.is_same(a), b.is_like(a)), (same, like), "{other} {one}");
        }
    }

    /// Changed in the very second of its `Date`, a response may have changed again.
    #[test]
    fn last_modified_is_strong_a_second_later() {
        let at = |seconds: u64| WallTime::from_unix_millis(seconds * 1000);
        let strong = |modified, date| {
            let (modified, date) = (http_date::format(at(modified)), http_date::format(at(date)));
            let fields = [("last-modified", modified), ("date", date)].into_iter().collect();
            strong_last_modified(&fields, at(0))
        };
        assert_eq!(strong(10, 10), None);
        assert_eq!(strong(11, 10), None);
        assert_eq!(strong(10, 11), Some(at(10)));
        assert_eq!(strong_last_modified(&Fields::new(), at(0)), None);
    }
}
