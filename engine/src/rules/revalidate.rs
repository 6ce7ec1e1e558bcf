//! Asking the origin whether a stored response still holds, and what its 304 changes (RFC 9111 sections
//! 4.3.1, 4.3.3, 4.3.4 and 3.2).

use super::{
    conditional::remove_conditions, hop::is_hop_by_hop, http_date, policy::ChangedValidator,
    validator::EntityTag,
};
use crate::language::{
    head::{Fields, Head},
    time::WallTime,
};

/// The fields of the request that revalidates `stored`: the client's, with the conditions exchanged for ours.
/// `None` when there is no validator to ask with.
pub(crate) fn revalidation(request: &Fields, stored: &Head, now: WallTime) -> Option<Fields> {
    let tag = stored.fields.only("etag");
    // What is no date would be ignored, and the answer taken for one to our condition.
    let modified = http_date::field(&stored.fields, "last-modified", now)
        .and_then(|_| stored.fields.only("last-modified"));
    if tag.is_none() && modified.is_none() {
        return None;
    }
    let mut fields = request.clone();
    remove_conditions(&mut fields);
    if let Some(tag) = tag {
        fields.push("if-none-match", tag);
    }
    if let Some(modified) = modified {
        fields.push("if-modified-since", modified);
    }
    Some(fields)
}

/// What is done with a 304 to [`revalidation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// It freshens the stored response: see [`merge`].
    Updates,
    /// It is about something else: the response is fetched again, without a condition.
    FetchAgain,
}

/// Is the 304 about the stored response (RFC 9111 section 4.3.4)? Without a validator it is about the one
/// that we asked for; with the same one too, and with another one the policy decides.
pub(crate) fn selects(policy: ChangedValidator, stored: &Head, not_modified: &Head) -> Selection {
    let (old, new) = (&stored.fields, &not_modified.fields);
    let is_same = match EntityTag::of_response(new) {
        Some(tag) => EntityTag::of_response(old)
            .is_some_and(|stored| if tag.is_strong() { tag.is_same(stored) } else { tag.is_like(stored) }),
        None if new.contains("etag") => false,
        None => !new.contains("last-modified") || new.only("last-modified") == old.only("last-modified"),
    };
    match (is_same, policy) {
        (true, _) | (false, ChangedValidator::Update) => Selection::Updates,
        (false, ChangedValidator::FetchAgain) => Selection::FetchAgain,
    }
}

/// The stored head as a 304 that came at `received` leaves it (RFC 9111 section 3.2): every field of the 304
/// takes the place of all lines of its name, but for those that describe the stored bytes or the connection,
/// and `Vary`, under which the response is filed.
///
/// `Age` and `Date` are the 304's, or none and `received`: a stored `Age` would make the freshened response
/// old.
pub(crate) fn merge(stored: &Head, not_modified: &Head, received: WallTime) -> Head {
    let updates = |name: &str| {
        !is_hop_by_hop(name)
            && !matches!(name, "content-length" | "content-encoding" | "content-range" | "vary")
    };
    let mut fields = stored.fields.clone();
    fields
        .remove(|name| matches!(name, "age" | "date") || updates(name) && not_modified.fields.contains(name));
    for (name, value) in not_modified.fields.iter().filter(|(name, _)| updates(name)) {
        fields.push(name, value);
    }
    http_date::stamp(&mut fields, received);
    Head { status: stored.status, fields }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Field lines of a table.
    type Lines<'t> = &'t [(&'t str, &'t str)];

    const NOW: WallTime = WallTime::from_unix_millis(1_795_219_200_000);
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn head(status: u16, fields: &[(&str, &str)]) -> Head {
        Head { status, fields: fields.iter().copied().collect() }
    }

    /// Our conditions take the place of the client's; the rest, and so what `Vary` names, goes along.
    #[test]
    fn a_revalidation_asks_with_our_validators() {
        let request: Fields =
            [("abc", "1"), ("if-none-match", "\"theirs\""), ("range", "bytes=0-1")].into_iter().collect();
        let asked = |fields: &[(&str, &str)]| revalidation(&request, &head(200, fields), NOW);
        let both: Fields =
            [("abc", "1"), ("if-none-match", "W/\"a\""), ("if-modified-since", DATE)].into_iter().collect();
        assert_eq!(asked(&[("etag", "W/\"a\""), ("last-modified", DATE)]), Some(both));
        let unquoted: Fields = [("abc", "1"), ("if-none-match", "a")].into_iter().collect();
        assert_eq!(asked(&[("etag", "a"), ("last-modified", "x")]), Some(unquoted));
        for none in [&[][..], &[("last-modified", "x")], &[("etag", "1"), ("etag", "2")]] {
            assert_eq!(asked(none), None, "{none:?}");
        }
    }

    /// The same validator, or none, updates under any policy; another one where the policy says so.
    #[test]
    fn a_304_is_about_what_it_names() {
        let fields = [("etag", "\"a\""), ("last-modified", DATE)];
        let cases: &[(Lines<'_>, Lines<'_>, bool)] = &[
            (&fields, &[], true),
            (&fields, &[("etag", "\"a\"")], true),
            (&fields, &[("etag", "W/\"a\"")], true),
            (&[("etag", "W/\"a\"")], &[("etag", "\"a\"")], false),
            (&fields, &[("etag", "\"b\"")], false),
            (&fields, &[("etag", "\"a\""), ("etag", "\"b\"")], false),
            (&fields, &[("last-modified", DATE)], true),
            (&fields, &[("last-modified", "x")], false),
            (&fields, &[("etag", "\"a\""), ("last-modified", "x")], true),
            (&[], &[("etag", "\"a\"")], false),
        ];
        for (stored, answer, same) in cases {
            let (stored, answer) = (head(200, stored), head(304, answer));
            let strict = selects(ChangedValidator::FetchAgain, &stored, &answer);
            assert_eq!(strict == Selection::Updates, *same, "{stored:?} {answer:?}");
            assert_eq!(selects(ChangedValidator::Update, &stored, &answer), Selection::Updates);
        }
    }

    /// New fields replace old ones whole, what describes the stored bytes stays, and the age begins anew.
    #[test]
    fn a_304_updates_all_but_the_bodys_description() {
        let stored = head(
            203,
            &[
                ("age", "900"),
                ("date", DATE),
                ("cache-control", "max-age=1"),
                ("cache-control", "public"),
                ("kept", "old"),
                ("content-length", "36"),
                ("content-encoding", "gzip"),
                ("content-range", "a"),
                ("content-type", "old"),
                ("set-cookie", "a=1"),
                ("vary", "foo"),
            ],
        );
        let answer = head(
            304,
            &[
                ("cache-control", "max-age=9"),
                ("content-length", "10"),
                ("content-encoding", "br"),
                ("content-range", "b"),
                ("content-type", "new"),
                ("content-md5", "new"),
                ("set-cookie", "a=2"),
                ("set-cookie", "b=2"),
                ("etag", "\"new\""),
                ("vary", "*"),
                ("keep-alive", "1"),
            ],
        );
        let expected = head(
            203,
            &[
                ("kept", "old"),
                ("content-length", "36"),
                ("content-encoding", "gzip"),
                ("content-range", "a"),
                ("vary", "foo"),
                ("cache-control", "max-age=9"),
                ("content-type", "new"),
                ("content-md5", "new"),
                ("set-cookie", "a=2"),
                ("set-cookie", "b=2"),
                ("etag", "\"new\""),
                ("date", "Sat, 21 Nov 2026 00:00:00 GMT"),
            ],
        );
        assert_eq!(merge(&stored, &answer, NOW), expected);
        let dated = head(304, &[("date", DATE), ("age", "3")]);
        let merged = merge(&stored, &dated, NOW).fields;
        assert_eq!((merged.only("date"), merged.only("age")), (Some(DATE.as_bytes()), Some(&b"3"[..])));
    }

    proptest! {
        /// Merging the same 304 twice is merging it once; no field of the stored head is lost without a
        /// replacement.
        #[test]
        fn merging_again_changes_nothing(old in prop::collection::vec(("[a-e]", "[0-9]"), 0..6), new in prop::collection::vec(("[c-g]", "[0-9]"), 0..6)) {
            let stored = Head { status: 200, fields: old.into_iter().collect() };
            let answer = Head { status: 304, fields: new.into_iter().collect() };
            let once = merge(&stored, &answer, NOW);
            prop_assert_eq!(&merge(&once, &answer, NOW), &once);
            for (name, value) in answer.fields.iter() {
                prop_assert!(once.fields.all(name).any(|kept| kept == value));
            }
            for (name, _) in stored.fields.iter().filter(|(name, _)| !answer.fields.contains(name)) {
                prop_assert_eq!(stored.fields.all(name).collect::<Vec<_>>(), once.fields.all(name).collect::<Vec<_>>());
            }
        }
    }
}
