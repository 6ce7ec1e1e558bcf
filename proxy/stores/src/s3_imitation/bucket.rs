//! What the imitated bucket holds.

use super::Answer;
use bytes::{Bytes, BytesMut};
use http::header;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hash::{DefaultHasher, Hash, Hasher},
    ops::{Bound, Range},
};
use tiergate_engine::WallTime;

/// A part but for the last, as S3 has it.
const PART_BYTES_MIN: usize = 5 << 20;
const PAGE_MAX: usize = 1_000;

/// Objects, and uploads that are to become some.
#[derive(Default)]
pub(super) struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    begun: u64,
}

struct Object {
    body: Bytes,
    etag: String,
    put: WallTime,
}

struct Upload {
    name: String,
    parts: BTreeMap<u32, (String, Bytes)>,
}

/// What must hold for a request to be carried out.
#[derive(Default)]
pub(super) struct Conditions {
    /// The object has this tag, or exists at all (`*`).
    pub(super) matches: Option<String>,
    /// The object does not have this tag, or does not exist (`*`).
    pub(super) matches_none: Option<String>,
}

impl Conditions {
    fn hold(&self, object: Option<&Object>) -> bool {
        let has = |wanted: &String| {
            let tag = wanted.trim_matches('"');
            object.is_some_and(|object| tag == "*" || tag == object.etag)
        };
        self.matches.as_ref().is_none_or(has) && !self.matches_none.as_ref().is_some_and(has)
    }
}

impl Bucket {
    pub(super) fn names(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn uploads_under_way(&self) -> usize {
        self.uploads.len()
    }

    pub(super) fn put(&mut self, name: String, body: Bytes, now: WallTime) -> String {
        let etag = tag(&body);
        self.objects.insert(name, Object { body, etag: etag.clone(), put: now });
        etag
    }

    pub(super) fn put_if(
        &mut self,
        name: &str,
        conditions: &Conditions,
        body: Bytes,
        now: WallTime,
    ) -> Answer {
        let object = self.objects.get(name);
        if conditions.matches.is_some() && object.is_none() {
            return Answer::error(404, "NoSuchKey");
        }
        if !conditions.hold(object) {
            return Answer::error(412, "PreconditionFailed");
        }
        let etag = self.put(name.to_owned(), body, now);
        Answer::new(200).field(header::ETAG, format!("\"{etag}\""))
    }

    pub(super) fn get(&self, name: &str, conditions: &Conditions, range: Option<&str>) -> Answer {
        let Some(object) = self.objects.get(name) else { return Answer::error(404, "NoSuchKey") };
        if !conditions.hold(Some(object)) {
            let is_match = conditions.matches.is_some();
            return if is_match { Answer::error(412, "PreconditionFailed") } else { Answer::new(304) };
        }
        let length = object.body.len();
        let answer = match range.and_then(|range| span(range, length)) {
            None => Answer::new(200).body(object.body.clone()),
            Some(span) if span.is_empty() => {
                let all = format!("bytes */{length}");
                return Answer::error(416, "InvalidRange").field(header::CONTENT_RANGE, all);
            }
            Some(span) => {
                let told = format!("bytes {}-{}/{length}", span.start, span.end - 1);
                Answer::new(206).field(header::CONTENT_RANGE, told).body(object.body.slice(span))
            }
        };
        answer
            .field(header::ETAG, format!("\"{}\"", object.etag))
            .field(header::LAST_MODIFIED, super::http_date(object.put))
            .field(header::ACCEPT_RANGES, "bytes")
    }

    pub(super) fn delete(&mut self, name: &str, conditions: &Conditions) -> Answer {
        if !conditions.hold(self.objects.get(name)) {
            return Answer::error(412, "PreconditionFailed");
        }
        self.objects.remove(name);
        Answer::new(204)
    }

    pub(super) fn list(&self, prefix: &str, after: &str, count: Option<usize>) -> Answer {
        let count = count.unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let begin = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let found = self.objects.range::<str, _>((begin, Bound::Unbounded));
        let mut found = found.take_while(|(name, _)| name.starts_with(prefix));
        let mut document = String::from("<ListBucketResult>");
        for (name, object) in found.by_ref().take(count) {
            let put = timestamp(object.put);
            let _ = write!(
                document,
                "<Contents><Key>{}</Key><LastModified>{put}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}\
                 </Size><StorageClass>STANDARD</StorageClass></Contents>",
                escaped(name),
                object.etag,
                object.body.len()
            );
        }
        let is_truncated = found.next().is_some();
        let _ = write!(document, "<IsTruncated>{is_truncated}</IsTruncated></ListBucketResult>");
        Answer::xml(200, &document)
    }

    pub(super) fn begin_upload(&mut self, name: &str) -> Answer {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        self.uploads.insert(id.clone(), Upload { name: name.to_owned(), parts: BTreeMap::new() });
        let text = "InitiateMultipartUploadResult";
        Answer::xml(200, &format!("<{text}><UploadId>{id}</UploadId></{text}>"))
    }

    pub(super) fn put_part(&mut self, name: &str, id: &str, number: u32, body: Bytes) -> Answer {
        let Some(upload) = self.uploads.get_mut(id).filter(|upload| upload.name == name) else {
            return Answer::error(404, "NoSuchUpload");
        };
        if !(1..=10_000).contains(&number) {
            return Answer::error(400, "InvalidArgument");
        }
        let etag = tag(&body);
        upload.parts.insert(number, (etag.clone(), body));
        Answer::new(200).field(header::ETAG, format!("\"{etag}\""))
    }

    pub(super) fn abort_upload(&mut self, id: &str) -> Answer {
        match self.uploads.remove(id) {
            Some(_) => Answer::new(204),
            None => Answer::error(404, "NoSuchUpload"),
        }
    }

    /// `document` names the parts with their tags, in order.
    pub(super) fn complete_upload(
        &mut self,
        id: &str,
        document: &str,
        conditions: &Conditions,
        now: WallTime,
    ) -> Answer {
        let Some(upload) = self.uploads.get(id) else { return Answer::error(404, "NoSuchUpload") };
        let mut body = BytesMut::new();
        let (mut last, mut is_short) = (0, false);
        for part in document.split("<Part>").skip(1) {
            let number: u32 = element(part, "PartNumber").and_then(|text| text.parse().ok()).unwrap_or(0);
            if number <= last {
                return Answer::error(400, "InvalidPartOrder");
            }
            if is_short {
                return Answer::error(400, "EntityTooSmall");
            }
            let wanted = element(part, "ETag").unwrap_or_default().replace("&quot;", "");
            match upload.parts.get(&number) {
                Some((etag, bytes)) if wanted.trim_matches('"') == *etag => {
                    is_short = bytes.len() < PART_BYTES_MIN;
                    body.extend_from_slice(bytes);
                }
                Some(_) | None => return Answer::error(400, "InvalidPart"),
            }
            last = number;
        }
        if last == 0 {
            return Answer::error(400, "MalformedXML");
        }
        let name = upload.name.clone();
        if !conditions.hold(self.objects.get(&name)) {
            return Answer::error(412, "PreconditionFailed");
        }
        self.uploads.remove(id);
        let etag = self.put(name, body.freeze(), now);
        let text = "CompleteMultipartUploadResult";
        Answer::xml(200, &format!("<{text}><ETag>&quot;{etag}&quot;</ETag></{text}>"))
    }
}

/// Equal for equal bodies.
fn tag(body: &Bytes) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("{:032x}", hasher.finish())
}

/// The bytes that one range means: none of them, if it lies behind the end. `None` for what is ignored.
fn span(range: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let count: usize = last.parse().ok()?;
        return Some(length.saturating_sub(count)..length);
    }
    let first: usize = first.parse().ok()?;
    let end = if last.is_empty() { length } else { last.parse::<usize>().ok()?.saturating_add(1) };
    Some(first..end.min(length).max(first)).map(|span| if span.start < length { span } else { 0..0 })
}

/// What stands between the tags of this name first.
fn element<'t>(document: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// As in XML: `1994-11-06T08:49:37.000Z`.
fn timestamp(at: WallTime) -> String {
    let (days, rest) = (at.as_unix_millis() / 86_400_000, at.as_unix_millis() % 86_400_000);
    let (year, month, day) = civil(days);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", rest % 1_000)
}

/// Year, month and day of the month of a day, counted from 1970.
pub(super) fn civil(days: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut rest) = (1970, days);
    loop {
        let of_year = if is_leap(year) { 366 } else { 365 };
        if rest < of_year {
            break;
        }
        rest -= of_year;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for of_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < of_month {
            break;
        }
        rest -= of_month;
        month += 1;
    }
    (year, month, rest + 1)
}
