//! Why a request to the store failed, in one line that says what to do.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::{error::Error, fmt, time::Duration};
use tiergate_driver::{StoreError, TierError};

/// What the store answered that was no success, or that nothing was answered.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There is no such object, and the store is sure.
    Absent,
    /// There is no byte in that range.
    NoRange,
    /// A condition of the request did not hold: nothing was done.
    Condition,
    /// The store refused: nothing was done.
    Refused,
    /// Nobody knows whether it was done.
    Unclear,
    /// Nor this, for there was no answer in time.
    Late,
}

impl Failure {
    /// `doing` says what was tried; `about` names bucket and endpoint.
    pub(super) fn new<E>(about: &impl fmt::Display, doing: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
        let message = message.filter(|message| !message.is_empty());
        let kind = Kind::new(status, code);
        let why = match (status, code, message) {
            (Some(status), Some(code), Some(message)) => format!("{code} ({status}), {message}"),
            (Some(status), Some(code), None) => format!("{code} ({status})"),
            (Some(status), None, _) => format!("status {status}"),
            (None, _, _) => innermost(error),
        };
        let advice = advice(status, code);
        Self { kind, text: in_one_line(&format!("{about}: {doing} failed: {why}: {advice}")) }
    }

    /// Nothing was answered in time.
    pub(super) fn late(about: &impl fmt::Display, doing: &str, time_max: Duration) -> Self {
        let ms = time_max.as_millis();
        let text = format!("{about}: {doing} took more than {ms} ms: {}", advice(None, None));
        Self { kind: Kind::Late, text }
    }

    /// Something was answered that is no answer to this.
    pub(super) fn strange(about: &impl fmt::Display, doing: &str, what: &str) -> Self {
        let text =
            format!("{about}: {doing} was answered with {what}: see whether the endpoint is an S3 service");
        Self { kind: Kind::Unclear, text }
    }

    /// Nothing was asked.
    pub(super) fn refused(about: &impl fmt::Display, why: &str) -> Self {
        Self { kind: Kind::Refused, text: format!("{about}: {why}") }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.kind == Kind::Absent
    }

    pub(super) fn is_no_range(&self) -> bool {
        self.kind == Kind::NoRange
    }

    pub(super) fn is_condition(&self) -> bool {
        self.kind == Kind::Condition
    }

    /// May it be done, or be done later?
    pub(super) fn is_unclear(&self) -> bool {
        matches!(self.kind, Kind::Unclear | Kind::Late)
    }

    pub(super) fn is_late(&self) -> bool {
        self.kind == Kind::Late
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        TierError::Failed(failure.text)
    }
}

impl Kind {
    /// A 404 is an absence only with a code that says so. HEAD has no body for one, and the SDK says
    /// `NotFound`; a bucket that is missing, or a page of some proxy's, says something else to GET, which
    /// comes first.
    fn new(status: Option<u16>, code: Option<&str>) -> Self {
        match (status, code) {
            (Some(404), Some("NoSuchKey" | "NotFound")) => Self::Absent,
            (Some(416), _) => Self::NoRange,
            (Some(412), _) => Self::Condition,
            // Two conditional requests at once; this one was not carried out.
            (Some(409), Some("ConditionalRequestConflict")) => Self::Condition,
            (Some(400..=499), _) => Self::Refused,
            (Some(_) | None, _) => Self::Unclear,
        }
    }
}

fn advice(status: Option<u16>, code: Option<&str>) -> &'static str {
    match (status, code) {
        (_, Some("NoSuchBucket")) => "create the bucket, or correct its name",
        (_, Some("InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken")) => {
            "see whether the access key is right and still valid"
        }
        (_, Some("SignatureDoesNotMatch")) => "correct the secret key",
        (_, Some("RequestTimeTooSkewed")) => "set the clock of this machine: it is too far from the store's",
        (
            _,
            Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"),
        )
        | (Some(301 | 307 | 308), _) => "correct the region, or the endpoint: the bucket is elsewhere",
        (_, Some("AccessDenied" | "AllAccessDisabled")) | (Some(401 | 403), _) => {
            "allow the access key GetObject, PutObject, DeleteObject and AbortMultipartUpload below the prefix, \
             and ListBucket on the bucket"
        }
        (_, Some("SlowDown")) | (Some(429 | 503), _) => "the store asks for fewer requests",
        (Some(500..=599), _) => "look at the state of the store",
        (Some(_), _) => "see what the store's own documentation says of this",
        (None, _) => "see whether the endpoint is right and can be reached from here",
    }
}

/// The last reason of a chain: the SDK's own words on top say little.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// What a server sent may have line breaks in it, or a whole page.
fn in_one_line(text: &str) -> String {
    text.chars().take(600).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
