//! What a client makes of a response that came to its end: which version it is of, and whether it is what was
//! asked for.
//!
//! A response without a whole body, a 304, a head or a range, stands for the version that its entity tag
//! names: the rules hold it to the same as a body.

use super::Client;
use crate::judging::{self, Answered, Asked, Means, Said, Use};
use crate::world::{
    body::{self, Run},
    origin::raw::{HINT, MALFORMED},
    stage::EPOCH_S,
    workload::{Job, Wants},
};
use http::{HeaderName, HeaderValue, Request, Response, header, response::Parts};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tiergate_invariants::{Got, Span, Version, Violation};
use tiergate_scenarios::Figure;

impl Client {
    /// Counts the interim responses that come before the final one, and sees that they are the origin's.
    pub(super) fn hear_hints<B>(&self, request: &mut Request<B>) {
        let stage = Arc::clone(&self.stage);
        hyper::ext::on_informational(request, move |interim| {
            stage.log.count(Figure::InterimSeen, 1);
            let (status, link) = (interim.status(), interim.headers().get(header::LINK));
            if status != 103 || link.is_none_or(|link| link != HINT) {
                let detail = format!("an interim response {status} came with {link:?} for its link");
                stage.log.fail(Violation { rule: "head", detail });
            }
        });
    }

    /// A head is none that was malformed, and has the origin's `Date`, where the origin says one: RFC 9110
    /// section 6.6.1. What was asked of the origin itself has one from after that.
    pub(super) fn check_head<B>(&self, job: Job, response: &Response<B>, asked_at: Duration) {
        let fail = |what: String| {
            let detail = format!("{:?} of {} was answered with {what}", job.wants, self.key(job));
            self.stage.log.fail(Violation { rule: "head", detail });
        };
        if let Some(number) = response.headers().get(MALFORMED) {
            fail(format!("the malformed head {number:?}"));
        }
        let object = self.stage.catalogue.object(job.object);
        let status = response.status().as_u16();
        let is_origins = (matches!(status, 200 | 206 | 304) || status == object.status)
            && !matches!(job.wants, Wants::Purge(_))
            && object.says_date;
        let earliest = if job.wants == Wants::Post { asked_at.as_secs() } else { 0 };
        let latest = turmoil::sim_elapsed().unwrap_or_default().as_secs();
        let date = response.headers().get(header::DATE);
        let said = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let since = said.and_then(|said| said.duration_since(SystemTime::UNIX_EPOCH).ok());
        let second = since.and_then(|since| since.as_secs().checked_sub(EPOCH_S));
        if is_origins && second.is_none_or(|second| second < earliest || latest < second) {
            fail(format!("the date {date:?}, which is not the origin's"));
        }
    }

    /// What the client got, by its head and all of its body. `has` is the entity tag that it asked by.
    pub(super) fn judge(&self, ask: u64, job: Job, has: Option<&str>, head: &Parts, whole: &[u8]) -> Got {
        let runs = body::decode(whole);
        self.check_language(ask, job, &runs);
        self.check_use(ask, job, head);
        let status = head.status.as_u16();
        let range;
        let asked = match (job.wants, has) {
            (Wants::Head, _) => Asked::Head,
            (Wants::Range(first, last), _) => {
                range = [(first, last)];
                Asked::Ranges(&range)
            }
            (_, Some(tag)) => Asked::IfNot(tag),
            _ => Asked::Whole,
        };
        // Parts and conditions are of what is there (RFC 9110 sections 13.2.1 and 14.2).
        let is_there = self.stage.catalogue.object(job.object).status == 200;
        let asked = if is_there || asked == Asked::Head { asked } else { Asked::Whole };
        self.check_origins(ask, job, head, &runs);
        let lengths = self.stage.catalogue.object(job.object).versions.iter().map(|version| version.length);
        let stands_for = match judging::judge(asked, answered(head, whole), lengths) {
            Ok(Means::Body) => return Got::Whole { status, age: age(head), spans: self.spans(job, &runs) },
            Ok(Means::Parts { ranges, length }) => {
                let version = self.ranged(job, whole, &ranges, length);
                if version.is_none() {
                    self.wrong(ask, job, &format!("{} bytes that no version has at {ranges:?}", whole.len()));
                }
                version
            }
            Ok(Means::Named) => self.named(ask, job, head),
            Ok(Means::Nothing) => None,
            Err(wrong) => {
                self.wrong(ask, job, &format!("{status} for {:?}: {wrong}", job.wants));
                None
            }
        };
        // What names no version cannot be judged, and has been answered all the same.
        let Some((version, length)) =
            stands_for.and_then(|version| Some((version, self.length(job, version)?)))
        else {
            self.stage.log.count_of(ask, Figure::Whole);
            return Got::Left;
        };
        let of = Some((self.key(job), Version(version)));
        let spans = if length == 0 { Vec::new() } else { vec![Span { of, offset: 0, length }] };
        Got::Whole { status, age: age(head), spans }
    }

    /// A head before bytes of a version is that version's: status, entity tag, and where it leads to.
    fn check_origins(&self, ask: u64, job: Job, head: &Parts, runs: &[Run]) {
        let Some((_, version)) = runs.first().and_then(|run| run.of) else { return };
        let object = self.stage.catalogue.object(job.object);
        let status = head.status.as_u16();
        let is_part = status == 206 && object.status == 200;
        if status != object.status && !is_part {
            self.wrong(ask, job, &format!("{status} with bytes of what is {}", object.status));
        }
        if text(head, header::LOCATION) != object.location(version).as_deref() {
            let location = text(head, header::LOCATION);
            self.wrong(ask, job, &format!("version {version} with the location {location:?}"));
        }
        let named = text(head, header::ETAG).map(|tag| self.version_of(job, tag));
        if named.is_some_and(|named| named != Some(version)) {
            self.wrong(ask, job, &format!("version {version} with an entity tag of {named:?}"));
        }
    }

    /// Which version a head that comes alone is of, by its entity tag. It announces that version's length.
    fn named(&self, ask: u64, job: Job, head: &Parts) -> Option<u32> {
        let version = text(head, header::ETAG).and_then(|tag| self.version_of(job, tag))?;
        let announced = head.headers.get(header::CONTENT_LENGTH).filter(|_| job.wants == Wants::Head);
        let announced = announced.map(|length| length.as_bytes());
        let length = self.length(job, version)?;
        if let Some(wrong) = judging::wrong_length(announced, length) {
            self.wrong(ask, job, &wrong);
        }
        Some(version)
    }

    /// What an edge used of what it has, it may use so at that age.
    fn check_use(&self, ask: u64, job: Job, head: &Parts) {
        let by = text(head, HeaderName::from_static("cache-status")).and_then(Used::of);
        let (Some(used), Some(age)) = (by, age(head)) else { return };
        let said = Said::of(head.headers.get_all(header::CACHE_CONTROL).iter().map(|line| line.as_bytes()));
        if !said.allows(used.0, Duration::from_secs(age), self.stage.windows()) {
            let key = self.key(job);
            let detail = format!("ask {ask} for {key} got {:?}, {age} s old, of {said:?}", used.0);
            self.stage.log.fail(Violation { rule: "C6", detail });
        }
    }

    /// What a `POST` answers is one version of the object, whole.
    pub(super) fn check_post(&self, job: Job, whole: &[u8]) {
        let runs = body::decode(whole);
        let version = runs.first().and_then(|run| run.of).map(|(_, version)| version);
        let is_whole = match (&runs[..], version) {
            ([run], Some(version)) => run.offset == 0 && self.length(job, version) == Some(run.length),
            ([], _) => true,
            _ => false,
        };
        if !is_whole {
            let detail = format!("a POST to {} was answered with {runs:?}", self.key(job));
            self.stage.log.fail(Violation { rule: "C5", detail });
        }
    }

    fn spans(&self, job: Job, runs: &[Run]) -> Vec<Span> {
        let of = |(number, version)| {
            Some((self.stage.catalogue.key_of(body::named(number).0, job.scheme())?, Version(version)))
        };
        runs.iter()
            .map(|run| Span { of: run.of.and_then(of), offset: run.offset, length: run.length })
            .collect()
    }

    /// Every byte is in the language that was asked for.
    fn check_language(&self, ask: u64, job: Job, runs: &[Run]) {
        let wanted = if self.stage.catalogue.object(job.object).varies { job.language } else { 0 };
        let got = runs.iter().filter_map(|run| run.of).map(|(number, _)| body::named(number).1);
        if let Some(other) = got.into_iter().find(|language| *language != wanted) {
            self.wrong(ask, job, &format!("bytes in language {other}, having asked for {wanted}"));
        }
    }

    /// Which version these ranges are of. One may be too short to say itself whose it is, so it is compared
    /// with what each version of that length has there.
    fn ranged(&self, job: Job, whole: &[u8], ranges: &[(u64, u64)], length: Option<u64>) -> Option<u32> {
        let object = self.stage.catalogue.object(job.object);
        let number = body::number(job.object, if object.varies { job.language } else { 0 });
        let versions = (1..).zip(&object.versions);
        let mut of_that_length = versions.filter(|(_, version)| Some(version.length) == length);
        let is_right = |version: u32, length| {
            let due = judging::due(ranges, length).into_iter();
            let pieces = due.map(|(first, last)| body::bytes(number, version, first, last + 1 - first));
            *whole == *pieces.collect::<Vec<_>>().concat()
        };
        of_that_length.find(|(number, version)| is_right(*number, version.length)).map(|(number, _)| number)
    }

    fn wrong(&self, ask: u64, job: Job, what: &str) {
        let detail = format!("ask {ask} for {} got {what}", self.key(job));
        self.stage.log.fail(Violation { rule: "C5", detail });
    }

    fn length(&self, job: Job, version: u32) -> Option<u64> {
        let versions = &self.stage.catalogue.object(job.object).versions;
        versions.get(usize::try_from(version.checked_sub(1)?).ok()?).map(|version| version.length)
    }

    /// Which version an entity tag names, if the origin could have sent it.
    fn version_of(&self, job: Job, tag: &str) -> Option<u32> {
        let version = tag.trim_start_matches("W/").trim_matches('"').split('-').nth(1)?.parse().ok()?;
        let object = self.stage.catalogue.object(job.object);
        let language = if object.varies { job.language } else { 0 };
        (object.etag(version, language) == tag).then_some(version)
    }
}

/// How a cache used what it had, by what it says in `Cache-Status` (RFC 9211). Nothing, if it asked first.
struct Used(Use);

impl Used {
    fn of(cache_status: &str) -> Option<Self> {
        let mut parameters = cache_status.split(';').map(str::trim).skip(1);
        let is_hit = parameters.next()? == "hit";
        match parameters.find_map(|parameter| parameter.strip_prefix("detail=")) {
            Some("stale-while-revalidate") => Some(Self(Use::WhileRevalidate)),
            Some("stale-if-error") => Some(Self(Use::IfError)),
            _ => is_hit.then_some(Self(Use::Fresh)),
        }
    }
}

fn answered<'a>(head: &'a Parts, whole: &[u8]) -> Answered<'a> {
    let field = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    Answered {
        status: head.status.as_u16(),
        etag: field(header::ETAG),
        content_length: field(header::CONTENT_LENGTH),
        content_range: field(header::CONTENT_RANGE),
        bytes: whole.len() as u64,
    }
}

fn text(head: &Parts, name: HeaderName) -> Option<&str> {
    head.headers.get(name)?.to_str().ok()
}

fn age(head: &Parts) -> Option<u64> {
    text(head, header::AGE)?.parse().ok()
}
