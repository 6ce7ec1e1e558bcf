//! A service that speaks S3, in memory: for tests, and for a simulated world, whose streams it serves as well
//! as TCP's. It has no clock and no chance of its own.
//!
//! It knows what a client of a bucket needs: objects and ranges of them, conditions, `ListObjectsV2`, uploads
//! in parts, and errors in XML. Signatures are not checked: a real server's tests are for that. What it does
//! is proven by the suite that real ones pass. Start at [`S3Imitation::serve`].

mod bucket;
mod request;

use crate::WallClock;
use bucket::Bucket;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use request::Asked;
use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tiergate_engine::WallTime;
use tokio::io::{AsyncRead, AsyncWrite};

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Trouble {
    /// It is refused with this status and code, before anything is done.
    Refused(u16, &'static str),
    /// The connection ends before a head, and nothing is done.
    Lost,
    /// It is carried out, and the connection ends before a head.
    Unanswered,
    /// The connection ends after so many bytes of the body.
    CutAfter(usize),
    /// Nothing more comes after so many bytes of the body, and the connection stays.
    SilentAfter(usize),
    /// Nothing is answered, and the connection stays.
    Silent,
}

/// A condition that the service ignores, as many do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Lack {
    /// `If-None-Match` of a PUT.
    PutIfNone,
    /// `If-Match` of a PUT.
    PutIfMatch,
    /// `If-Match` of a DELETE.
    DeleteIfMatch,
}

/// A service with one bucket. Cloning shares it.
#[derive(Clone)]
pub struct S3Imitation(Arc<Inner>);

struct Inner {
    bucket: String,
    clock: Box<dyn WallClock>,
    state: Mutex<State>,
}

struct State {
    contents: Bucket,
    asked: Vec<String>,
    trouble: VecDeque<Option<S3Trouble>>,
    always: Option<S3Trouble>,
    connections: u64,
    lack: Option<S3Lack>,
}

impl fmt::Debug for S3Imitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Imitation").field("bucket", &self.0.bucket).finish_non_exhaustive()
    }
}

impl S3Imitation {
    /// A service with one bucket, which is empty. Objects bear the times of `clock`.
    pub fn new(bucket: &str, clock: impl WallClock) -> Self {
        let state = Mutex::new(State {
            contents: Bucket::default(),
            asked: Vec::new(),
            trouble: VecDeque::new(),
            always: None,
            connections: 0,
            lack: None,
        });
        Self(Arc::new(Inner { bucket: bucket.to_owned(), clock: Box::new(clock), state }))
    }

    /// Answers what comes over this connection, to its end.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        self.locked().connections += 1;
        let service = service_fn(|request| self.answer(request));
        // How a connection ends is its client's affair.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    /// What was asked since this was called last: method, target and, where there is one, the range.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.locked().asked)
    }

    /// What goes wrong with the next requests, one by one; `None` with those that nothing does.
    pub fn trouble(&self, troubles: impl IntoIterator<Item = Option<S3Trouble>>) {
        self.locked().trouble.extend(troubles);
    }

    /// A trouble for every request from now on, or none. Troubles of the next requests come first; with none
    /// from now on, they are forgotten too.
    pub fn always(&self, trouble: Option<S3Trouble>) {
        let mut state = self.locked();
        state.always = trouble;
        if trouble.is_none() {
            state.trouble.clear();
        }
    }

    /// Ignores this condition from now on.
    pub fn lacks(&self, lack: S3Lack) {
        self.locked().lack = Some(lack);
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.locked().connections
    }

    /// The names of all objects.
    pub fn objects(&self) -> Vec<String> {
        self.locked().contents.names()
    }

    /// Puts an object there that no client of ours has.
    pub fn put(&self, name: &str, body: impl Into<Bytes>) {
        let now = self.0.clock.now();
        self.locked().contents.put(name.to_owned(), body.into(), now);
    }

    /// How many uploads in parts were begun and neither completed nor called off.
    pub fn uploads_under_way(&self) -> usize {
        self.locked().contents.uploads_under_way()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Result<Response<Sent>, Lost> {
        let (head, body) = request.into_parts();
        // A client that left in the middle of a body is done nothing for.
        let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
        let mut asked = Asked::new(&head, body, &self.0.bucket);
        let (trouble, answer) = {
            let mut state = self.locked();
            state.asked.push(asked.told());
            if let Some(lack) = state.lack {
                asked.ignore(lack);
            }
            let trouble = state.trouble.pop_front().unwrap_or(state.always);
            (trouble, self.carry_out(&mut state, &asked, trouble))
        };
        match trouble {
            Some(S3Trouble::Lost | S3Trouble::Unanswered) => return Err(Lost),
            Some(S3Trouble::Silent) => std::future::pending().await,
            Some(S3Trouble::Refused(..) | S3Trouble::CutAfter(_) | S3Trouble::SilentAfter(_)) | None => {}
        }
        let mut response = answer.sent(asked.is_head(), self.0.clock.now());
        response.body_mut().ending = match trouble {
            Some(S3Trouble::CutAfter(bytes)) => Ending::CutAfter(bytes),
            Some(S3Trouble::SilentAfter(bytes)) => Ending::SilentAfter(bytes),
            _ => Ending::Whole,
        };
        Ok(response)
    }

    fn carry_out(&self, state: &mut State, asked: &Asked, trouble: Option<S3Trouble>) -> Answer {
        match trouble {
            Some(S3Trouble::Refused(status, code)) => Answer::error(status, code),
            Some(S3Trouble::Lost | S3Trouble::Silent) => Answer::error(500, "InternalError"),
            Some(S3Trouble::Unanswered | S3Trouble::CutAfter(_) | S3Trouble::SilentAfter(_)) | None => {
                asked.carry_out(&mut state.contents, self.0.clock.now())
            }
        }
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is to end")
    }
}

impl std::error::Error for Lost {}

/// What is answered.
struct Answer {
    status: u16,
    fields: Vec<(header::HeaderName, String)>,
    body: Bytes,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self { status, fields: Vec::new(), body: Bytes::new() }
    }

    fn field(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn xml(status: u16, document: &str) -> Self {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}");
        Self::new(status).field(header::CONTENT_TYPE, "application/xml").body(text)
    }

    fn error(status: u16, code: &str) -> Self {
        Self::xml(status, &format!("<Error><Code>{code}</Code><Message>told so by a test</Message></Error>"))
    }

    fn sent(self, is_head: bool, now: WallTime) -> Response<Sent> {
        let Self { status, fields, body } = self;
        let length = body.len();
        let mut response = Response::new(Sent { body, ending: Ending::Whole });
        *response.status_mut() = StatusCode::from_u16(status).expect("a test's own status is one");
        let headers = response.headers_mut();
        for (name, value) in fields {
            headers.insert(name, HeaderValue::try_from(value).expect("what is answered is text"));
        }
        if status != 204 {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        headers.insert(header::DATE, HeaderValue::try_from(http_date(now)).expect("a date is ASCII"));
        if is_head {
            response.body_mut().body.clear();
        }
        response
    }
}

/// A body, or the first bytes of one.
struct Sent {
    body: Bytes,
    ending: Ending,
}

/// How a body ends.
#[derive(Clone, Copy)]
enum Ending {
    Whole,
    CutAfter(usize),
    SilentAfter(usize),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let is_empty = self.body.is_empty();
        let first = match &mut self.ending {
            Ending::Whole if is_empty => return Poll::Ready(None),
            Ending::Whole => usize::MAX,
            Ending::CutAfter(0) => return Poll::Ready(Some(Err(io::Error::other("cut")))),
            // Who drops the connection drops this as well.
            Ending::SilentAfter(0) => return Poll::Pending,
            Ending::CutAfter(bytes) | Ending::SilentAfter(bytes) => std::mem::take(bytes),
        };
        let first = self.body.len().min(first);
        Poll::Ready(Some(Ok(Frame::data(self.body.split_to(first)))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.ending, Ending::Whole) && self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() as u64)
    }
}

/// As in HTTP: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(at: WallTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, seconds) = (at.as_unix_millis() / 86_400_000, at.as_unix_millis() / 1_000 % 86_400);
    let day = DAYS[usize::try_from(days % 7).expect("it is below 7")];
    let (year, month, date) = bucket::civil(days);
    let month = MONTHS[month as usize - 1];
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{day}, {date:02} {month} {year} {hours:02}:{minutes:02}:{:02} GMT", seconds % 60)
}
