//! The heads of the origin's answers, by what is asked and what the catalogue says of an object.

use crate::world::{
    body,
    catalogue::{Framing, Object, Storage, tag_name},
    stage::EPOCH_S,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request};
use std::time::{Duration, SystemTime};

/// The answer to a request, up to its body.
pub(super) struct Represented {
    pub(super) head: Response<()>,
    /// In which language the body is.
    pub(super) language: u8,
    /// There is none: who asks has it.
    pub(super) is_still_right: bool,
}

impl Represented {
    /// This version of an object. The answer to a `POST` is the object as it is now, by its own name, so that
    /// it may be stored (RFC 9110 section 9.3.3).
    pub(super) fn of(object: &Object, version: u32, asked: &request::Parts) -> Self {
        let language = if object.varies { language_of(&asked.headers) } else { 0 };
        let tag = object.etag(version, language);
        let is_post = asked.method == Method::POST;
        // What is no success has no conditions (RFC 9110 section 13.2.1).
        let is_still_right = !is_post
            && object.status == 200
            && asked.headers.get(header::IF_NONE_MATCH).is_some_and(|has| *has == *tag);
        let mut head = Response::new(());
        *head.status_mut() = match is_still_right {
            true => StatusCode::NOT_MODIFIED,
            false => StatusCode::from_u16(object.status).expect("it is one of a table"),
        };
        write(&mut head, object, version, &tag);
        if is_post {
            let own = object.target.parse().expect("a path is a field value");
            head.headers_mut().insert(header::CONTENT_LOCATION, own);
        }
        Self { head, language, is_still_right }
    }
}

/// Which language a request wants: clients say it by its number.
fn language_of(fields: &HeaderMap) -> u8 {
    let said = fields
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|said| said.to_str().ok()?.strip_prefix("x-")?.parse().ok());
    said.filter(|language| *language < body::LANGUAGES).unwrap_or(0)
}

fn write(response: &mut Response<()>, object: &Object, version: u32, tag: &str) {
    let lifetime_s = object.version(version).lifetime_s;
    let cache_control = match object.storage {
        Storage::Storable | Storage::Varies => Some(format!("max-age={lifetime_s}{}", directives(object))),
        Storage::NoStore => Some(format!("no-store, max-age={lifetime_s}")),
        Storage::Private => Some(format!("private, max-age={lifetime_s}")),
        Storage::NoLifetime => None,
    };
    // Many origins say when they answer, and some do not.
    let date = object.says_date.then(date_now).flatten();
    let is_not_modified = response.status() == StatusCode::NOT_MODIFIED;
    let fields = response.headers_mut();
    if let Some(date) = date {
        fields.insert(header::DATE, date);
    }
    let mut put = |name: header::HeaderName, value: String| {
        let value = value.parse().expect("digits and plain words are a field value");
        fields.insert(name, value);
    };
    if let Some(cache_control) = cache_control {
        put(header::CACHE_CONTROL, cache_control);
    }
    if object.storage == Storage::Varies {
        put(header::VARY, "*".to_owned());
    }
    if object.storage != Storage::NoLifetime && object.has_tag {
        // With a validator, even what has no lifetime may be stored: each use would be asked about.
        put(header::ETAG, tag.to_owned());
    }
    if object.varies && object.storage != Storage::Varies {
        put(header::VARY, "Accept-Language".to_owned());
    }
    if let Some(location) = object.location(version) {
        put(header::LOCATION, location);
    }
    if object.sets_cookie {
        put(header::SET_COOKIE, "session=1".to_owned());
    }
    if let Some(tag) = object.tag {
        put(header::HeaderName::from_static("surrogate-key"), tag_name(tag));
    }
    if object.framing == Framing::Length && !is_not_modified {
        put(header::CONTENT_LENGTH, object.version(version).length.to_string());
    }
}

/// What `Cache-Control` says of how an object may be used, beside its lifetime.
fn directives(object: &Object) -> String {
    let [while_revalidate, if_error] = object.windows_s;
    let words = [
        while_revalidate.map(|seconds| format!(", stale-while-revalidate={seconds}")),
        if_error.map(|seconds| format!(", stale-if-error={seconds}")),
        object.is_no_cache.then(|| ", no-cache".to_owned()),
        object.must_revalidate.then(|| ", must-revalidate".to_owned()),
    ];
    words.into_iter().flatten().collect()
}

/// The calendar of the origin, as `Date` has it.
fn date_now() -> Option<HeaderValue> {
    let elapsed = turmoil::sim_elapsed()?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_S) + elapsed;
    HeaderValue::from_str(&httpdate::fmt_http_date(now)).ok()
}
