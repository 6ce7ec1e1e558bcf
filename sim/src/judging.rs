//! What a client concludes from a response: whether it is one to what was asked, how it must be read, and
//! whether it may be used when it is as old as it says.
//!
//! Both executors judge by this: the clients of `run`, who read bytes behind heads of HTTP, and those of
//! `explore`, who read symbols behind heads of the engine. What is here takes plain values, and neither kind.
//!
//! Not here is what the two have in different forms. Of which version and variant a byte is, bytes say
//! themselves in `run` (`world::body`) and symbols in `explore` (`explore::world::variety`). What names a
//! version in an entity tag is each origin's own: `run` has the object's key in it, which stays the same over
//! the wire, and `explore` has short words, which its recorded histories are made of. And the two origins
//! build their heads apart: that of `run` draws once for all versions of an object, from the shares that a
//! scenario names, that of `explore` anew for each version, from a plan that it can shrink; of what they
//! write only the directives are common, and [`Said`] reads those back.

use std::time::Duration;

/// What a client asked for beside the whole of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// Nothing.
    Whole,
    /// The head alone.
    Head,
    /// These bytes, each the first and the last.
    Ranges(&'a [(u64, u64)]),
    /// These bytes if the object still has this entity tag, and all of it if not.
    IfRange(&'a str, (u64, u64)),
    /// The object, if it has not this entity tag.
    IfNot(&'a str),
}

/// What was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) status: u16,
    pub(crate) etag: Option<&'a [u8]>,
    pub(crate) content_length: Option<&'a [u8]>,
    pub(crate) content_range: Option<&'a [u8]>,
    /// Bytes of the body.
    pub(crate) bytes: u64,
}

/// How an answer must be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// Its body is a whole one, or an error's.
    Body,
    /// Its body is these ranges of one version, as far as that has them: see [`due`].
    Parts {
        ranges: Vec<(u64, u64)>,
        /// How long the version is, where one range was asked for.
        length: Option<u64>,
    },
    /// It has no body, and stands for what its entity tag names.
    Named,
    /// The version has no such bytes.
    Nothing,
}

/// Is this an answer to what was asked? `lengths` are those of the versions that there are.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn judge(
    asked: Asked<'_>,
    answered: Answered<'_>,
    mut lengths: impl Iterator<Item = u64>,
) -> Result<Means, String> {
    match (asked, answered.status) {
        (Asked::Ranges(ranges), 206) => parts(ranges, answered),
        (Asked::IfRange(tag, range), 206) => {
            if !answered.is_of(tag) || tag.starts_with("W/") {
                return Err("it cannot be sure to have the same bytes".to_owned());
            }
            parts(&[range], answered)
        }
        (Asked::Ranges(ranges), 416) => {
            let of_length = |length| {
                let complete = format!("bytes */{length}");
                answered.content_range == Some(complete.as_bytes())
                    && ranges.iter().all(|(first, _)| *first >= length)
            };
            let fits = lengths.any(of_length);
            if fits { Ok(Means::Nothing) } else { Err("no version is too short for all of it".to_owned()) }
        }
        (Asked::IfRange(..), 416) => Ok(Means::Nothing),
        (Asked::IfNot(tag), 304) => {
            let is_empty = answered.bytes == 0;
            match answered.is_of(tag) && is_empty {
                true => Ok(Means::Named),
                false if is_empty => Err("it is another version or variant".to_owned()),
                false => Err(format!("{} bytes, where there can be none", answered.bytes)),
            }
        }
        (Asked::Head, 200) if answered.bytes > 0 => {
            Err(format!("{} bytes, where there can be none", answered.bytes))
        }
        (Asked::Head, 200) => Ok(Means::Named),
        (_, 206 | 304 | 416) => Err("nobody asked for that".to_owned()),
        (Asked::Whole | Asked::Head | Asked::Ranges(_) | Asked::IfRange(..) | Asked::IfNot(_), _) => {
            Ok(Means::Body)
        }
    }
}

impl Answered<'_> {
    fn is_of(&self, tag: &str) -> bool {
        self.etag == Some(tag.as_bytes())
    }
}

/// One range says where it lies (RFC 9110 section 14.4); of several, each part does.
fn parts(ranges: &[(u64, u64)], answered: Answered<'_>) -> Result<Means, String> {
    let Answered { content_length, content_range, bytes, .. } = answered;
    if content_length != Some(bytes.to_string().as_bytes()) {
        let announced = content_length.map(String::from_utf8_lossy);
        return Err(format!("{bytes} bytes were sent, and {announced:?} announced"));
    }
    let length = match ranges {
        [range] => Some(length_of(content_range, *range)?),
        _ => None,
    };
    Ok(Means::Parts { ranges: ranges.to_vec(), length })
}

/// How long a version is of which this range is sent as `said`.
fn length_of(said: Option<&[u8]>, range: (u64, u64)) -> Result<u64, String> {
    let text = said.and_then(|said| std::str::from_utf8(said).ok()).unwrap_or("nothing");
    let length = text.rsplit_once('/').and_then(|(_, length)| length.parse().ok());
    let right = length.and_then(|length| {
        let (first, last) = *due(&[range], length).first()?;
        Some((length, format!("bytes {first}-{last}/{length}")))
    });
    match right {
        Some((length, right)) if right == text => Ok(length),
        _ => Err(format!("{}-{} came as {text}", range.0, range.1)),
    }
}

/// What a version of this length has of these ranges: the first and the last byte of each.
pub(crate) fn due(ranges: &[(u64, u64)], length: u64) -> Vec<(u64, u64)> {
    let has = ranges.iter().filter(|(first, _)| *first < length);
    has.map(|(first, last)| (*first, (*last).min(length - 1))).collect()
}

/// What is wrong with a head that is sent without its body, and announces this length of a version that has
/// another.
pub(crate) fn wrong_length(announced: Option<&[u8]>, length: u64) -> Option<String> {
    let announced = String::from_utf8_lossy(announced?);
    (announced != length.to_string()).then(|| format!("a head that announces {announced} bytes of {length}"))
}

/// What a head says of how long, and how, it may be used, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) max_age: Option<u64>,
    pub(crate) while_revalidate: Option<u64>,
    pub(crate) if_error: Option<u64>,
    /// It is not to be used when it is stale.
    pub(crate) forbids_stale: bool,
    /// The origin must agree to each use.
    pub(crate) no_cache: bool,
    /// It may not be stored.
    pub(crate) is_barred: bool,
}

/// How a stored response is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Fresh,
    /// It is stale, and asked about meanwhile.
    WhileRevalidate,
    /// It is stale, and the origin fails.
    IfError,
}

/// For how many seconds what is stale may be used where it does not say so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) while_revalidate: u64,
    pub(crate) if_error: u64,
}

impl Said {
    /// By these lines of `Cache-Control`, as an origin of ours writes them.
    pub(crate) fn of<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut said = Self::default();
        for line in lines {
            let line = String::from_utf8_lossy(line);
            for directive in line.split(", ") {
                let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
                let seconds = value.parse().ok();
                match name {
                    "max-age" => said.max_age = seconds,
                    "stale-while-revalidate" => said.while_revalidate = seconds,
                    "stale-if-error" => said.if_error = seconds,
                    "must-revalidate" => said.forbids_stale = true,
                    "no-store" | "private" => said.is_barred = true,
                    "no-cache" => (said.forbids_stale, said.no_cache) = (true, true),
                    _ => {}
                }
            }
        }
        said
    }

    /// May it be used so, this old? Where it says nothing, the edge's own windows hold.
    pub(crate) fn allows(&self, used: Use, age: Duration, edges: Windows) -> bool {
        let Some(lifetime) = self.max_age.map(Duration::from_secs) else { return true };
        let window = match used {
            Use::Fresh => 0,
            Use::WhileRevalidate => self.while_revalidate.unwrap_or(edges.while_revalidate),
            Use::IfError => self.if_error.unwrap_or(edges.if_error),
        };
        let is_forbidden = match used {
            Use::Fresh => self.no_cache,
            // What is purged softly is stale before its time.
            Use::WhileRevalidate | Use::IfError => self.forbids_stale && age >= lifetime,
        };
        age < lifetime + Duration::from_secs(window) && !is_forbidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [u64; 2] = [10, 100];

    fn answered(status: u16) -> Answered<'static> {
        Answered { status, etag: Some(b"\"a\""), content_length: None, content_range: None, bytes: 0 }
    }

    fn range(said: &'static str, bytes: u64, length: &'static str) -> Answered<'static> {
        Answered {
            bytes,
            content_length: Some(length.as_bytes()),
            content_range: Some(said.as_bytes()),
            ..answered(206)
        }
    }

    fn judged(asked: Asked<'_>, answered: Answered<'_>) -> Result<Means, String> {
        judge(asked, answered, LENGTHS.into_iter())
    }

    /// A part is what was asked for, as far as the version has it, and says where it lies and how long it is.
    #[test]
    fn a_part_is_the_one_that_was_asked_for() {
        let asked = Asked::Ranges(&[(5, 20)]);
        let ranges = vec![(5, 20)];
        let of_short = Means::Parts { ranges: ranges.clone(), length: Some(10) };
        assert_eq!(judged(asked, range("bytes 5-9/10", 5, "5")), Ok(of_short));
        let of_long = Means::Parts { ranges, length: Some(100) };
        assert_eq!(judged(asked, range("bytes 5-20/100", 16, "16")), Ok(of_long));
        for wrong in [
            range("bytes 5-20/100", 16, "15"),
            range("bytes 4-20/100", 17, "17"),
            range("bytes 5-19/100", 15, "15"),
            range("bytes 5-9/9", 5, "5"),
            range("nothing", 5, "5"),
            Answered { content_range: None, ..range("", 5, "5") },
        ] {
            assert!(judged(asked, wrong).is_err(), "{wrong:?}");
        }
        assert!(judged(Asked::Whole, range("bytes 5-9/10", 5, "5")).is_err());
        assert_eq!(due(&[(0, 3), (8, 40), (10, 12)], 10), [(0, 3), (8, 9)]);
    }

    /// A range that no version is too short for is not refused, and a tag that is weak proves no bytes.
    #[test]
    fn what_is_refused_or_conditional_is_judged() {
        let outside = |said: &'static str| Answered { content_range: Some(said.as_bytes()), ..answered(416) };
        assert_eq!(judged(Asked::Ranges(&[(10, 12)]), outside("bytes */10")), Ok(Means::Nothing));
        assert!(judged(Asked::Ranges(&[(9, 12)]), outside("bytes */10")).is_err());
        assert!(judged(Asked::Ranges(&[(20, 30)]), outside("bytes */11")).is_err());
        let part = range("bytes 0-3/10", 4, "4");
        assert!(judged(Asked::IfRange("\"a\"", (0, 3)), part).is_ok());
        assert!(judged(Asked::IfRange("\"b\"", (0, 3)), part).is_err());
        let weak = Answered { etag: Some(b"W/\"a\""), ..part };
        assert!(judged(Asked::IfRange("W/\"a\"", (0, 3)), weak).is_err());
        assert_eq!(judged(Asked::IfNot("\"a\""), answered(304)), Ok(Means::Named));
        assert!(judged(Asked::IfNot("\"b\""), answered(304)).is_err());
        assert!(judged(Asked::IfNot("\"a\""), Answered { bytes: 1, ..answered(304) }).is_err());
        assert!(judged(Asked::Whole, answered(304)).is_err());
        assert!(judged(Asked::Head, Answered { bytes: 1, ..answered(200) }).is_err());
        assert_eq!(judged(Asked::Head, answered(404)), Ok(Means::Body));
        assert_eq!(wrong_length(Some(b"10"), 10), None);
        assert!(wrong_length(Some(b"11"), 10).is_some());
    }

    /// Each use ends with its own window, and what forbids to be used stale is not, however short it is.
    #[test]
    fn each_use_has_its_time() {
        let edges = Windows { while_revalidate: 0, if_error: 5 };
        let allows = |said: &str, used, age| {
            Said::of([said.as_bytes()].into_iter()).allows(used, Duration::from_secs(age), edges)
        };
        assert!(allows("max-age=3", Use::Fresh, 2) && !allows("max-age=3", Use::Fresh, 3));
        assert!(allows("max-age=3", Use::IfError, 7) && !allows("max-age=3", Use::IfError, 8));
        assert!(!allows("max-age=3", Use::WhileRevalidate, 3));
        let own = "max-age=3, stale-while-revalidate=2, stale-if-error=1";
        assert!(allows(own, Use::WhileRevalidate, 4) && !allows(own, Use::WhileRevalidate, 5));
        assert!(allows(own, Use::IfError, 3) && !allows(own, Use::IfError, 4));
        assert!(!allows("max-age=3, no-cache", Use::Fresh, 0));
        for said in ["max-age=3, must-revalidate", "max-age=3, no-cache"] {
            assert!(!allows(said, Use::IfError, 3) && allows(said, Use::IfError, 2), "{said}");
        }
    }
}
