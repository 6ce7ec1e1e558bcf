//! What the engine passes: one request of HTTP/1 for Pingora, over a pipe in memory, and its answer.
//!
//! Pingora has the connections to the origin. It reads from the pipe what it would read from a client of
//! HTTP/1 whose head was judged; hyper writes that and reads the answer. Trailers are not carried, as in
//! HTTP/1.

use super::answering::{Answering, Brought, End, Ended, Unsent, send};
use crate::{
    config::{FIELD_LINES_MOST, Standing, Unforwarded},
    front::{
        forwarding,
        handover::HandedOver,
        pace::{Meter, Pace},
        pingora::Passed,
        request_head::Framing,
        wire::Wire,
    },
};
use ::h2::{Reason, RecvStream};
use ::pingora::{apps::HttpServerApp, protocols::http::ServerSession};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header, request};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tiergate_driver::World;
use tiergate_tiers::http_head;
use tokio::{
    io::DuplexStream,
    sync::{mpsc, oneshot},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What either side may have written that the other has not read.
const PIPE_BYTES: usize = 64 << 10;
/// Interim responses that wait to be sent; more are dropped.
const INTERIMS_MAX: usize = 8;
/// Fields of an answer: the origin's, and those that are added to it.
const ANSWER_FIELDS_MAX: usize = 2 * FIELD_LINES_MOST;

/// Has the request answered around the cache. Pingora's side tells of the response.
pub(super) async fn pass<W: World>(
    mut answering: Answering<W>,
    passed: Passed,
    framing: Framing,
    brought: Brought<W>,
) -> Ended {
    let Brought { parts, body, peer, scheme, proxy, stop } = brought;
    let standing = answering.front.trusted.standing(peer.ip());
    let front = &answering.front;
    let sending = Meter::new(Pace::of_sending(&front.timeouts));
    let body = RequestBody { stream: body, framing, sending };
    let host = http_head::host_field(&passed.head.authority);
    let request = written_anew(parts, body, host, (standing, &front.unforwarded));
    let Some(request) = request else {
        answering.respond.send_reset(Reason::INTERNAL_ERROR);
        return Ended::Answered;
    };
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    // Nothing follows this request, so whatever comes is it; and the pipe is of no use afterwards.
    let (wire, (back, _)) = (Wire::new(theirs, peer, scheme), oneshot::channel());
    let handed = HandedOver::new(wire, Bytes::new(), Framing::Empty, true, Pace::ANY, back)
        .with_date(passed.date.clone());
    let mut session = ServerSession::new_http1(Box::new(handed));
    session.set_keepalive(None);
    session.set_connection_user_context(Some(Box::new(passed)));
    let (_, relayed) =
        tokio::join!(proxy.process_new_http(session, &stop), relay(&mut answering, ours, request));
    match relayed {
        Ok(()) => Ended::Answered,
        Err(unsent) => {
            if unsent == Unsent::Broken {
                answering.respond.send_reset(Reason::INTERNAL_ERROR);
            }
            unsent.into()
        }
    }
}

/// The request in HTTP/1: what was judged, and nothing that can be read otherwise.
fn written_anew(
    parts: request::Parts,
    body: RequestBody,
    host: &str,
    (standing, unforwarded): (Standing, &Unforwarded),
) -> Option<Request<RequestBody>> {
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 2);
    headers.insert(header::HOST, HeaderValue::from_str(host).ok()?);
    for (name, value) in &parts.headers {
        let method = (parts.method.as_str(), false);
        if *name != header::TE && forwarding::goes_on(name.as_str(), method, standing, unforwarded) {
            headers.append(name, value.clone());
        }
    }
    if body.framing == Framing::Chunked {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let target = parts.uri.path_and_query()?.clone();
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::builder().path_and_query(target).build().ok()?;
    *request.method_mut() = parts.method;
    *request.headers_mut() = headers;
    Some(request)
}

/// Sends the request into the pipe, and what comes back to the client.
async fn relay<W: World>(
    answering: &mut Answering<W>,
    pipe: DuplexStream,
    mut request: Request<RequestBody>,
) -> Result<(), Unsent> {
    let (heard, mut interims) = mpsc::channel(INTERIMS_MAX);
    hyper::ext::on_informational(&mut request, move |interim| {
        let head = tiergate_engine::Head {
            status: interim.status().as_u16(),
            fields: http_head::end_to_end(interim.headers()),
        };
        // A client that is sent so many has no use for one more.
        let _ = heard.try_send(head);
    });
    let shaken = http1::Builder::new().max_headers(ANSWER_FIELDS_MAX).handshake(TokioIo::new(pipe)).await;
    let (mut sender, connection) = shaken.map_err(|_| Unsent::Broken)?;
    let mut connection = pin!(connection);
    let mut relayed = pin!(async {
        let mut response = pin!(sender.send_request(request));
        let response = loop {
            tokio::select! {
                biased;
                Some(interim) = interims.recv() => answering.send_interim(&interim),
                response = &mut response => break response.map_err(|_| Unsent::Broken)?,
                _ = poll_fn(|context| answering.respond.poll_reset(context)) => return Err(Unsent::Client),
            }
        };
        send_answer(answering, response).await
    });
    tokio::select! {
        biased;
        ended = &mut relayed => return ended,
        // It may have ended with the answer still to be sent.
        _ = &mut connection => {}
    }
    relayed.await
}

async fn send_answer<W: World>(
    answering: &mut Answering<W>,
    response: Response<Incoming>,
) -> Result<(), Unsent> {
    let wait = answering.front.timeouts.write;
    let (mut parts, mut body) = response.into_parts();
    // These were said to hyper.
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        parts.headers.remove(name);
    }
    let mut head = Response::new(());
    (*head.status_mut(), *head.headers_mut()) = (parts.status, parts.headers);
    let mut stream = answering.respond.send_response(head, body.is_end_stream())?;
    if body.is_end_stream() {
        return Ok(());
    }
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            _ = poll_fn(|context| stream.poll_reset(context)) => return Err(Unsent::Client),
        };
        match frame {
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    send(&mut stream, piece, End::Later, wait).await?;
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "a body broke off");
                return Err(Unsent::Broken);
            }
            None => {
                stream.send_data(Bytes::new(), true)?;
                return Ok(());
            }
        }
    }
}

/// A request's body, as its stream brings it. The client may send more when the pipe has taken some.
struct RequestBody {
    stream: RecvStream,
    framing: Framing,
    /// How fast the client sends it.
    sending: Meter,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { stream, sending, .. } = &mut *self;
        let Poll::Ready(data) = stream.poll_data(context) else {
            ready!(sending.poll_late(context));
            return Poll::Ready(Some(Err("the body of a request is too slow".into())));
        };
        let Some(data) = data else { return Poll::Ready(None) };
        let taken = data.and_then(|data| {
            sending.moved(data.len());
            stream.flow_control().release_capacity(data.len())?;
            Ok(Frame::data(data))
        });
        Poll::Ready(Some(taken.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.framing == Framing::Empty
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Empty => SizeHint::with_exact(0),
            Framing::Length(length) => SizeHint::with_exact(length),
            Framing::Chunked => SizeHint::default(),
        }
    }
}
