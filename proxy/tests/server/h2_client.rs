//! Clients of HTTP/2 in clear text: one that keeps to the rules, and one that writes whatever frames a test
//! wants.

use crate::harness::{Server, Site};
use ::h2::{
    Reason, RecvStream,
    client::{ResponseFuture, SendRequest},
};
use bytes::Bytes;
use http::{HeaderMap, Request, request};
use std::{
    future::poll_fn,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};

/// Far more than anything here takes: a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts a server with L0 alone that speaks HTTP/2 in clear text. `more` is added to its configuration.
pub(crate) fn serve(site: &Site, origin: SocketAddr, more: &str) -> Server {
    site.start(&format!("listen: 127.0.0.1:0\norigin: http://{origin}\nh2c: true\n{more}"))
}

/// Runs a client to its end.
pub(crate) fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime = Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async { timeout(PATIENCE, client).await });
    ended.expect("the server neither answered nor closed")
}

/// A connection by the rules.
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
    /// How the connection ends.
    pub(crate) connection: JoinHandle<Result<(), ::h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    /// Interim responses that came before it.
    pub(crate) interim: Vec<(u16, HeaderMap)>,
    /// All of it, or why the stream was reset.
    pub(crate) body: Result<Vec<u8>, Option<Reason>>,
}

impl Told {
    pub(crate) fn field(&self, name: &str) -> String {
        let values = self.fields.get_all(name).iter().map(|value| value.to_str().expect("text"));
        values.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn cache_status(&self) -> String {
        self.field("cache-status")
    }
}

/// A `GET` of `site.example`.
pub(crate) fn get(path: &str) -> request::Builder {
    to("GET", path)
}

/// A request to `site.example`.
pub(crate) fn to(method: &str, path: &str) -> request::Builder {
    Request::builder().method(method).uri(format!("http://site.example{path}"))
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let stream = tokio::net::TcpStream::connect(server.address).await.expect("the server listens");
        let mut options = ::h2::client::Builder::new();
        // So much that one stream that is not read leaves room for others.
        options.initial_connection_window_size(1 << 20);
        let (sender, connection) = options.handshake(stream).await.expect("it speaks HTTP/2");
        Self { sender, connection: tokio::spawn(connection) }
    }

    /// Sends a request without a body; its answer is still to be read.
    pub(crate) async fn send(&mut self, request: request::Builder) -> ResponseFuture {
        self.begin(request, true).await.0
    }

    pub(crate) async fn begin(
        &mut self,
        request: request::Builder,
        ends: bool,
    ) -> (ResponseFuture, ::h2::SendStream<Bytes>) {
        poll_fn(|context| self.sender.poll_ready(context)).await.expect("the server takes more requests");
        self.sender.send_request(request.body(()).expect("it is right"), ends).expect("it can be sent")
    }

    pub(crate) async fn ask(&mut self, request: request::Builder) -> Told {
        told(self.send(request).await).await
    }

    /// Sends a body as well, and trailers.
    pub(crate) async fn bring(&mut self, request: request::Builder, mut body: Bytes) -> Told {
        let (response, mut stream) = self.begin(request, false).await;
        while !body.is_empty() {
            stream.reserve_capacity(body.len());
            let room = poll_fn(|context| stream.poll_capacity(context)).await.expect("the stream is open");
            stream.send_data(body.split_to(room.expect("room")), false).expect("there is room");
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", http::HeaderValue::from_static("ignored"));
        stream.send_trailers(trailers).expect("the stream is open");
        told(response).await
    }
}

/// Reads an answer to its end.
pub(crate) async fn told(mut response: ResponseFuture) -> Told {
    let mut interim = Vec::new();
    while let Some(Ok(early)) = poll_fn(|context| response.poll_informational(context)).await {
        let (parts, ()) = early.into_parts();
        interim.push((parts.status.as_u16(), parts.headers));
    }
    match response.await {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            Told { status: parts.status.as_u16(), fields: parts.headers, interim, body: whole(body).await }
        }
        Err(error) => Told { status: 0, fields: HeaderMap::new(), interim, body: Err(error.reason()) },
    }
}

/// All of a body, or why it broke off.
pub(crate) async fn whole(mut body: RecvStream) -> Result<Vec<u8>, Option<Reason>> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| error.reason())?;
        body.flow_control().release_capacity(piece.len()).expect("it was just received");
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Kinds of frames (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of `HEADERS`.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Codes of errors (RFC 9113 section 7).
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The code of an error, of a `RST_STREAM` or a `GOAWAY`.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// A connection on which a test writes what it wants.
pub(crate) struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Has said its preface and its settings.
    pub(crate) fn connect(server: &Server, settings: &[u8]) -> Self {
        let mut stream = TcpStream::connect(server.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time that is not zero");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the server reads");
        let mut raw = Self { stream };
        raw.write(&frame(SETTINGS, 0, 0, settings)).expect("the server reads");
        raw
    }

    /// Writes, which fails once the server has closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// What comes next. `None` at the end of the connection.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload)?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Everything that comes until the connection ends.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.read()).collect()
    }

    /// The first frame of this kind.
    pub(crate) fn wait_for(&mut self, kind: u8) -> Frame {
        std::iter::from_fn(|| self.read()).find(|frame| frame.kind == kind).expect("it comes")
    }

    fn fill(&mut self, into: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(into) {
            Ok(()) => Some(()),
            Err(error) => {
                let is_silence = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                assert!(!is_silence, "the server neither sent nor closed: {error}");
                None
            }
        }
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A block of fields (RFC 7541): one of the static table by its index, literals by name and value.
pub(crate) fn block(method: u8, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // `:scheme: http`, and the names of `:authority` and `:path`.
    let mut block = vec![method, 0x86];
    let mut literal = |first: u8, name: Option<&str>, value: &str| {
        block.push(first);
        for text in name.into_iter().chain([value]) {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    };
    literal(1, None, "site.example");
    literal(4, None, path);
    for (name, value) in fields {
        literal(0, Some(name), value);
    }
    block
}

/// `GET` and `POST` in the static table.
pub(crate) const GET: u8 = 0x82;
pub(crate) const POST: u8 = 0x83;

/// Settings, each a number and a value.
pub(crate) fn settings(of: &[(u16, u32)]) -> Vec<u8> {
    let bytes = |(number, value): &(u16, u32)| [&number.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
    of.iter().flat_map(bytes).collect()
}
