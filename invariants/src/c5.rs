//! C5: every completed body equals one version that the origin published under that key, byte for byte.
//!
//! It checks each response that ended as its framing announced: one version, of the key that was asked for,
//! whole. Of a 206 it checks that all bytes come from one version of the key and lie within it; whether they
//! are those that were asked for is the world's to say, which knows the request. It does not check responses
//! that broke off visibly, nor error pages that carry no version's bytes, nor 304s, which carry none at all.
//! A world must not report a HEAD's answer as whole.

use crate::{Fact, Got, Invariant, Span, Version, Violation, What};
use std::collections::BTreeMap;
use tiergate_engine::CacheKey;

/// The rule.
#[derive(Debug, Default)]
pub struct WholeBodies {
    /// The length of each published version.
    published: BTreeMap<(CacheKey, Version), u64>,
}

impl WholeBodies {
    fn check(&self, key: CacheKey, status: u16, spans: &[Span]) -> Result<(), String> {
        match status {
            304 => Ok(()),
            206 => self.parts(key, spans),
            200 => self.whole(key, spans),
            // An error page has no version; but an error that carries a version's bytes must carry them
            // whole.
            _ if spans.iter().all(|span| span.of.is_none()) => Ok(()),
            _ => self.whole(key, spans),
        }
    }

    fn whole(&self, key: CacheKey, spans: &[Span]) -> Result<(), String> {
        let [span] = spans else {
            return if spans.is_empty() {
                self.empty(key)
            } else {
                Err(format!("{} pieces that do not belong together: {spans:?}", spans.len()))
            };
        };
        let version = owner(key, span)?;
        let Some(&length) = self.published.get(&(key, version)) else {
            return Err(format!("version {}, which was never published", version.0));
        };
        if (span.offset, span.length) == (0, length) {
            Ok(())
        } else {
            Err(format!(
                "bytes {}..{} of version {}, which has {length}",
                span.offset,
                span.offset.saturating_add(span.length),
                version.0
            ))
        }
    }

    /// Pieces of one version, each within it.
    fn parts(&self, key: CacheKey, spans: &[Span]) -> Result<(), String> {
        let mut versions = Vec::new();
        for span in spans {
            let version = owner(key, span)?;
            let length = self.published.get(&(key, version)).copied().unwrap_or(0);
            if span.offset.saturating_add(span.length) > length {
                return Err(format!("a part behind the {length} bytes of version {}: {span:?}", version.0));
            }
            versions.push(version);
        }
        versions.dedup();
        if versions.len() > 1 {
            return Err(format!("parts of several versions: {spans:?}"));
        }
        Ok(())
    }

    fn empty(&self, key: CacheKey) -> Result<(), String> {
        let first = (key, Version(0));
        let last = (key, Version(u32::MAX));
        if self.published.range(first..=last).any(|(_, length)| *length == 0) {
            Ok(())
        } else {
            Err("no byte at all, but no published version is empty".into())
        }
    }
}

fn owner(key: CacheKey, span: &Span) -> Result<Version, String> {
    match span.of {
        Some((other, version)) if other == key => Ok(version),
        Some((other, version)) => Err(format!("bytes of another key, {other} version {}", version.0)),
        None => Err(format!("{} bytes that no origin ever served", span.length)),
    }
}

impl Invariant for WholeBodies {
    fn id(&self) -> &'static str {
        "C5"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), Violation> {
        match &fact.what {
            What::Published { key, version, length, .. } => {
                self.published.insert((*key, *version), *length);
                Ok(())
            }
            What::ClientGot { ask, key, got: Got::Whole { status, spans, .. }, .. } => {
                self.check(*key, *status, spans).map_err(|detail| Violation {
                    rule: "C5",
                    detail: format!("ask {ask} for {key} ended as whole with status {status} and {detail}"),
                })
            }
            What::ClientGot { .. }
            | What::Engine { .. }
            | What::EdgeStarted { .. }
            | What::EdgeCrashed { .. }
            | What::OriginAnswered { .. }
            | What::ClientAsked { .. }
            | What::PurgeAsked { .. }
            | What::PurgeConfirmed { .. }
            | What::Audited { .. }
            | What::Healed
            | What::Settled { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, KEY, OTHER, span};

    fn check(status: u16, spans: Vec<Span>, expected: Result<(), &'static str>) {
        let mut history = History::of(WholeBodies::default());
        history.published(KEY, 1, 100, true).unwrap();
        history.published(KEY, 2, 0, true).unwrap();
        history.published(OTHER, 1, 100, true).unwrap();
        assert_eq!(history.whole(7, KEY, status, None, spans), expected);
    }

    /// A body that is one version from 0 to its length passes, and so does an empty one of an empty version.
    #[test]
    fn one_whole_version_passes() {
        check(200, vec![span(KEY, 1, 0, 100)], Ok(()));
        check(200, vec![], Ok(()));
        check(206, vec![span(KEY, 1, 40, 10)], Ok(()));
        check(206, vec![span(KEY, 1, 60, 40), span(KEY, 1, 0, 50)], Ok(()));
        check(503, vec![Span { of: None, offset: 0, length: 9 }], Ok(()));
    }

    /// Short, late, mixed, foreign, unknown and invented bytes are each named.
    #[test]
    fn anything_else_is_named() {
        for spans in [
            vec![span(KEY, 1, 0, 99)],
            vec![span(KEY, 1, 1, 99)],
            vec![span(KEY, 1, 0, 50), span(KEY, 2, 50, 50)],
            vec![span(KEY, 1, 0, 50), span(KEY, 1, 60, 40)],
            vec![span(OTHER, 1, 0, 100)],
            vec![span(KEY, 3, 0, 100)],
            vec![Span { of: None, offset: 0, length: 100 }],
        ] {
            check(200, spans, Err("C5"));
        }
        check(206, vec![span(KEY, 1, 0, 50), span(KEY, 2, 60, 40)], Err("C5"));
        check(206, vec![span(KEY, 1, 60, 41)], Err("C5"));
        check(206, vec![span(OTHER, 1, 0, 50)], Err("C5"));
        check(404, vec![span(KEY, 1, 0, 99)], Err("C5"));
    }

    /// No byte at all is no version's body unless a version is empty.
    #[test]
    fn an_empty_body_needs_an_empty_version() {
        let mut history = History::of(WholeBodies::default());
        history.published(KEY, 1, 100, true).unwrap();
        assert_eq!(history.whole(7, KEY, 200, None, vec![]), Err("C5"));
    }
}
