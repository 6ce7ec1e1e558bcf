//! What a client makes of a response that came to its end: which version it is of, and whether it is what was
//! asked for.
//!
//! A response without a whole body, a 304, a head or a range, stands for the version that its entity tag
//! names: the rules hold it to the same as a body.

use super::Client;
use crate::world::{
    body::{self, Run},
    origin::raw::{HINT, MALFORMED},
    stage::EPOCH_S,
    workload::{Job, Wants},
};
use http::{HeaderName, Request, Response, header, response::Parts};
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
        let is_origins = matches!(response.status().as_u16(), 200 | 206 | 304)
            && !matches!(job.wants, Wants::Purge(_))
            && self.stage.catalogue.object(job.object).says_date;
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

    /// What the client got, by its head and all of its body.
    pub(super) fn judge(&self, ask: u64, job: Job, head: &Parts, whole: &[u8]) -> Got {
        let runs = body::decode(whole);
        self.check_language(ask, job, &runs);
        let status = head.status.as_u16();
        let named = text(head, header::ETAG).and_then(|tag| self.version_of(job, tag));
        let stands_for = match (status, job.wants) {
            (304, _) if whole.is_empty() => named,
            (206, Wants::Range(first, last)) => match self.ranged(job, head, whole, (first, last)) {
                Ok(version) => Some(version),
                Err(wrong) => {
                    self.wrong(ask, job, &wrong);
                    None
                }
            },
            (200, Wants::Head) => {
                let length = text(head, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
                let right = named.and_then(|version| self.length(job, version));
                if length.is_some() && right.is_some() && length != right {
                    self.wrong(ask, job, &format!("a head that announces {length:?} bytes of {right:?}"));
                }
                named
            }
            (416, Wants::Range(..)) => None,
            _ => return Got::Whole { status, age: age(head), spans: self.spans(job, &runs) },
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

    /// Which version a range is of, or what is wrong with it: RFC 9110 section 14.4. It may be too short to
    /// say itself whose it is, so it is compared with what each version has there.
    fn ranged(&self, job: Job, head: &Parts, whole: &[u8], asked: (u64, u64)) -> Result<u32, String> {
        let said = text(head, header::CONTENT_RANGE).unwrap_or("nothing");
        let wrong = || format!("{} bytes as {said}, having asked for {}-{}", whole.len(), asked.0, asked.1);
        let numbers = said.strip_prefix("bytes ").and_then(|rest| {
            let (span, length) = rest.split_once('/')?;
            let (first, last) = span.split_once('-')?;
            Some([first.parse::<u64>().ok()?, last.parse().ok()?, length.parse().ok()?])
        });
        let Some([first, last, length]) = numbers else { return Err(wrong()) };
        if first != asked.0 || last != asked.1.min(length.saturating_sub(1)) || last < first {
            return Err(wrong());
        }
        let object = self.stage.catalogue.object(job.object);
        let number = body::number(job.object, if object.varies { job.language } else { 0 });
        let of_that_length = (1..).zip(&object.versions).filter(|(_, version)| version.length == length);
        let mut versions = of_that_length.map(|(version, _)| version);
        versions
            .find(|version| *whole == *body::bytes(number, *version, first, last + 1 - first))
            .ok_or_else(wrong)
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
        let version = tag.trim_matches('"').split('-').nth(1)?.parse().ok()?;
        let object = self.stage.catalogue.object(job.object);
        let language = if object.varies { job.language } else { 0 };
        (object.etag(version, language) == tag).then_some(version)
    }
}

fn text(head: &Parts, name: HeaderName) -> Option<&str> {
    head.headers.get(name)?.to_str().ok()
}

fn age(head: &Parts) -> Option<u64> {
    text(head, header::AGE)?.parse().ok()
}
