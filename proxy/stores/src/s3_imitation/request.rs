//! What a request asks of the bucket.

use super::{
    Answer, S3Lack,
    bucket::{Bucket, Conditions},
};
use bytes::Bytes;
use http::{Method, header, request::Parts};
use std::collections::BTreeMap;
use tiergate_engine::WallTime;

/// One request, read.
pub(super) struct Asked {
    method: Method,
    target: String,
    /// What stands behind the bucket's name; `None` if that is another's.
    name: Option<String>,
    query: BTreeMap<String, String>,
    range: Option<String>,
    conditions: Conditions,
    body: Bytes,
}

impl Asked {
    /// The bucket is named in the path.
    pub(super) fn new(head: &Parts, body: Bytes, bucket: &str) -> Self {
        let field = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let path = decoded(head.uri.path());
        let name = path.strip_prefix('/').and_then(|path| path.strip_prefix(bucket));
        let name = name.filter(|name| name.is_empty() || name.starts_with('/'));
        let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(&value.replace('+', " ")))
        });
        Self {
            method: head.method.clone(),
            target: head.uri.to_string(),
            name: name.map(|name| name.trim_start_matches('/').to_owned()),
            query: query.collect(),
            range: field(header::RANGE),
            conditions: Conditions {
                matches: field(header::IF_MATCH),
                matches_none: field(header::IF_NONE_MATCH),
            },
            body,
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Method, target and range.
    pub(super) fn told(&self) -> String {
        let range = self.range.as_ref().map(|range| format!(" {range}"));
        format!("{} {}{}", self.method, self.target, range.unwrap_or_default())
    }

    /// As a service does that has never heard of this condition.
    pub(super) fn ignore(&mut self, lack: S3Lack) {
        match (lack, self.method.as_str()) {
            (S3Lack::PutIfNone, "PUT") => self.conditions.matches_none = None,
            (S3Lack::PutIfMatch, "PUT") | (S3Lack::DeleteIfMatch, "DELETE") => self.conditions.matches = None,
            (S3Lack::PutIfNone | S3Lack::PutIfMatch | S3Lack::DeleteIfMatch, _) => {}
        }
    }

    pub(super) fn carry_out(&self, bucket: &mut Bucket, now: WallTime) -> Answer {
        let Some(name) = self.name.as_deref() else { return Answer::error(404, "NoSuchBucket") };
        let of = |name: &str| self.query.get(name).map(String::as_str);
        let (upload, body) = (of("uploadId"), self.body.clone());
        match (self.method.as_str(), upload) {
            ("GET", None) if name.is_empty() && of("list-type") == Some("2") => {
                let count = of("max-keys").and_then(|count| count.parse().ok());
                bucket.list(of("prefix").unwrap_or_default(), of("start-after").unwrap_or_default(), count)
            }
            ("GET" | "HEAD" | "PUT" | "DELETE" | "POST", _) if name.is_empty() => {
                Answer::error(501, "NotImplemented")
            }
            ("GET" | "HEAD", None) => bucket.get(name, &self.conditions, self.range.as_deref()),
            ("PUT", None) => bucket.put_if(name, &self.conditions, body, now),
            ("DELETE", None) => bucket.delete(name, &self.conditions),
            ("POST", None) if of("uploads").is_some() => bucket.begin_upload(name),
            ("PUT", Some(id)) => {
                let number = of("partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
                bucket.put_part(name, id, number, body)
            }
            ("DELETE", Some(id)) => bucket.abort_upload(id),
            ("POST", Some(id)) => {
                bucket.complete_upload(id, &String::from_utf8_lossy(&self.body), &self.conditions, now)
            }
            (_, _) => Answer::error(501, "NotImplemented"),
        }
    }
}

/// Without percent signs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            Some(_) | None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
