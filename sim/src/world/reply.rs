//! A response's body on its way from an edge to a client.

use super::{census::Answerer, edge::EdgeWorld};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tiergate_driver::{Body, OriginBody, Served};
use tiergate_engine::{Head, Length, Method, Outcome, Resident, TierId};
use tiergate_tiers::{HttpBody, http_head};

/// The field that tells a client who answered.
pub(crate) const ANSWERED_BY: HeaderName = HeaderName::from_static("x-answered-by");

/// A body. After an error the server breaks the connection, so the client sees that something is missing.
pub(crate) struct Reply(ReplyState);

enum ReplyState {
    /// Nothing (more) to send.
    Ended,
    /// Pieces in memory, the next one last.
    Whole(Vec<Bytes>),
    /// The next piece is on its way.
    Waiting(Waiting),
}

/// Gives the source back with its next piece.
type Waiting = Pin<Box<dyn Future<Output = (BodySource, io::Result<Option<Bytes>>)> + Send>>;

/// Where pieces come from.
enum BodySource {
    /// The driver.
    Driver(Body<EdgeWorld>),
    /// The origin, around the cache.
    Origin(HttpBody),
}

impl BodySource {
    fn wait(mut self) -> Waiting {
        Box::pin(async move {
            let piece = match &mut self {
                Self::Driver(body) => body.next().await.map_err(|why| io::Error::other(format!("{why:?}"))),
                Self::Origin(body) => body.next().await.map_err(|why| io::Error::other(format!("{why:?}"))),
            };
            (self, piece)
        })
    }
}

impl Reply {
    /// A response without a body.
    pub(crate) fn empty(status: StatusCode) -> Response<Self> {
        let mut response = Response::new(Self(ReplyState::Ended));
        *response.status_mut() = status;
        response
    }

    /// A fresh hit in L0.
    pub(crate) fn whole(resident: &Resident<Bytes>, age: Duration) -> Response<Self> {
        let pieces = resident.chunks.iter().rev().cloned().collect();
        let mut response =
            response(&resident.head, Length::Known(resident.length), ReplyState::Whole(pieces));
        sign(&mut response, Answerer::Tier(TierId::L0));
        response.headers_mut().insert(header::AGE, http_head::age(age));
        response
    }

    /// What the driver hands over, piece by piece; nothing of it for HEAD.
    pub(crate) fn streamed(served: Served<EdgeWorld>, method: Method) -> Response<Self> {
        let state = match method {
            Method::Head => ReplyState::Ended,
            Method::Get | Method::Post | Method::OtherSafe | Method::Other => {
                ReplyState::Waiting(BodySource::Driver(served.body).wait())
            }
        };
        let mut response = response(&served.head, served.length, state);
        let by = match served.outcome {
            Outcome::Hit { tier } | Outcome::Stale { tier, .. } | Outcome::Revalidated { tier } => {
                Answerer::Tier(tier)
            }
            Outcome::Miss { .. } => Answerer::Origin,
        };
        sign(&mut response, by);
        response.headers_mut().insert(header::AGE, http_head::age(served.age));
        response
    }

    /// What the origin sends, around the cache.
    pub(crate) fn passed(head: &Head, body: HttpBody) -> Response<Self> {
        let mut response =
            response(head, head.length(), ReplyState::Waiting(BodySource::Origin(body).wait()));
        sign(&mut response, Answerer::Origin);
        response
    }
}

fn response(head: &Head, length: Length, state: ReplyState) -> Response<Reply> {
    let response = http_head::response(head).expect("a head that came over HTTP goes out over HTTP");
    let mut response = response.map(|()| Reply(state));
    if let Length::Known(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length.0));
    }
    response
}

fn sign(response: &mut Response<Reply>, by: Answerer) {
    response.headers_mut().insert(ANSWERED_BY, HeaderValue::from_static(by.as_str()));
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.0 {
            ReplyState::Ended => Poll::Ready(None),
            ReplyState::Whole(pieces) => Poll::Ready(pieces.pop().map(|piece| Ok(Frame::data(piece)))),
            ReplyState::Waiting(waiting) => {
                let (source, piece) = ready!(waiting.as_mut().poll(context));
                self.0 = match piece {
                    Ok(Some(_)) => ReplyState::Waiting(source.wait()),
                    Ok(None) | Err(_) => ReplyState::Ended,
                };
                Poll::Ready(piece.transpose().map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            ReplyState::Ended => true,
            ReplyState::Whole(pieces) => pieces.is_empty(),
            ReplyState::Waiting(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            ReplyState::Ended => SizeHint::with_exact(0),
            ReplyState::Whole(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            // The head's `Content-Length`, where there is one, tells the server.
            ReplyState::Waiting(_) => SizeHint::default(),
        }
    }
}
