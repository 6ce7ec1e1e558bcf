//! `storage.l3.blobs.s3` and `storage.l3.index.s3`: a bucket of a service that speaks S3.

use super::{error::Problem, origin::OriginAddress};
use serde::Deserialize;
use std::{path::PathBuf, time::Duration};
use tiergate_tiers::http_head::Scheme;

const REGION_DEFAULT: &str = "us-east-1";
const PREFIX_DEFAULT: &str = "tiergate/";
/// S3 takes names of 1024 bytes; ours add 71 to the prefix.
const PREFIX_BYTES_MAX: usize = 512;
const TIME_MS_DEFAULT: u64 = 20_000;
const TIME_MS_MIN: u64 = 100;
const TIME_MS_MAX: u64 = 600_000;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawS3 {
    /// Its name. It must exist. Needed.
    pub bucket: String,
    /// The region that requests are signed for. Default `us-east-1`, which most services take that are not
    /// Amazon's.
    pub region: Option<String>,
    /// Where the service is: `https://host:port`. Default: Amazon's own for the region. In clear text
    /// (`http`), whoever is on the way reads every body.
    pub endpoint: Option<String>,
    /// Whether the bucket is named in the path, and not in the name of the host. Default: where there is an
    /// `endpoint`.
    pub path_style: Option<bool>,
    /// What the names of all objects begin with; nobody else may write there. Default `tiergate/`.
    pub prefix: Option<String>,
    /// Who asks. Default `environment`.
    #[serde(default)]
    pub credentials: RawS3Credentials,
    /// A PEM file with the roots that the service's certificate may lead to. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take to the head of its response, and each piece of a body after it, in
    /// milliseconds. A part of a body, 8 MiB, must be sent in that time. Default 20000; from 100 to 600000.
    pub time_ms_max: Option<u64>,
}

/// `credentials`. They are read at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawS3Credentials {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where there is one, `AWS_SESSION_TOKEN`.
    #[default]
    Environment,
    /// The section `[default]` of a file in the form of `~/.aws/credentials`.
    File(PathBuf),
}

/// A bucket, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Bucket {
    /// Its name.
    pub bucket: String,
    /// What requests are signed for.
    pub region: String,
    /// Where the service is, if it is not Amazon's own.
    pub endpoint: Option<OriginAddress>,
    /// Where requests name the bucket.
    pub named_in: NamedIn,
    /// What the names of all objects begin with.
    pub prefix: String,
    /// Who asks.
    pub credentials: RawS3Credentials,
    /// Whose certificates are trusted. Default: the system's roots.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take, and each piece of a body.
    pub time_max: Duration,
}

/// Where requests name the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedIn {
    /// In the path.
    Path,
    /// In the host's name.
    Host,
}

impl S3Bucket {
    /// Whether it is asked over TLS.
    pub fn is_encrypted(&self) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| endpoint.scheme() == Scheme::Https)
    }
}

impl RawS3 {
    /// `section` is where it stands.
    pub(super) fn check(self, section: &str) -> Result<S3Bucket, Problem> {
        let Self { bucket, region, endpoint, path_style, prefix, credentials, ca_file, time_ms_max } = self;
        let wrong = |key: &str, value: &str, bound: &str| {
            let value = if value.is_empty() { "empty" } else { value };
            Problem::value(format!("{section}.{key}"), value, bound)
        };
        if !is_bucket(&bucket) {
            let bound =
                "3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at each end";
            return Err(wrong("bucket", &bucket, bound));
        }
        let region = region.unwrap_or_else(|| REGION_DEFAULT.to_owned());
        if !(1..=64).contains(&region.len()) || !region.bytes().all(is_of_a_name) {
            return Err(wrong("region", &region, "a region, such as eu-central-1"));
        }
        let endpoint: Option<OriginAddress> = match endpoint {
            Some(text) => Some(text.parse().map_err(|bound| wrong("endpoint", &text, bound))?),
            None => None,
        };
        let prefix = prefix.unwrap_or_else(|| PREFIX_DEFAULT.to_owned());
        let is_prefix = prefix.bytes().all(|byte| is_of_a_name(byte) || byte == b'/')
            && prefix.len() <= PREFIX_BYTES_MAX
            && !prefix.starts_with('/')
            && !prefix.split('/').any(|part| matches!(part, "." | ".."))
            && (prefix.is_empty() || prefix.ends_with('/'))
            && !prefix.contains("//");
        if !is_prefix {
            let bound = "at most 512 letters, digits, hyphens, dots, underscores and slashes, with a slash at the end \
                         and none at the beginning, such as tiergate/";
            return Err(wrong("prefix", &prefix, bound));
        }
        if matches!(&credentials, RawS3Credentials::File(file) if file.as_os_str().is_empty()) {
            return Err(wrong("credentials.file", "", "a file, such as /etc/tiergate/s3.credentials"));
        }
        if ca_file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(wrong("ca_file", "", "a file, such as /etc/tiergate/ca.pem"));
        }
        let ms = time_ms_max.unwrap_or(TIME_MS_DEFAULT);
        if !(TIME_MS_MIN..=TIME_MS_MAX).contains(&ms) {
            return Err(wrong("time_ms_max", &ms.to_string(), "from 100 to 600000"));
        }
        let named_in = if path_style.unwrap_or(endpoint.is_some()) { NamedIn::Path } else { NamedIn::Host };
        let time_max = Duration::from_millis(ms);
        Ok(S3Bucket { bucket, region, endpoint, named_in, prefix, credentials, ca_file, time_max })
    }
}

fn is_bucket(name: &str) -> bool {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    (3..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && is_end(name.bytes().next())
        && is_end(name.bytes().next_back())
        && !name.contains("..")
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests;
