//! Requests that few clients send: malformed ones, each of which must be refused with its own status, and
//! forms that are right and rare. They are written byte by byte, for no library would send most of them.

use super::{Client, connecting::Header, odd_h2};
use crate::world::{
    catalogue::AUTHORITY,
    links::End,
    stage::{Stage, edge_name},
    workload::Job,
};
use tiergate_config::RequestLimits;
use tiergate_invariants::Violation;
use tiergate_scenarios::{Figure, Link, ODD_REQUESTS};
use tiergate_tiers::Connect;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// What has to come of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This status.
    Is(u16),
    /// The stream is reset, or the connection ends with an error, or it is refused as malformed.
    Reset,
    /// Any, but a complaint about the request or about us.
    Good,
    /// Nothing need come.
    None,
    /// What is known of an object.
    Look,
}

/// What comes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Status(u16),
    /// The stream of HTTP/2 is reset, or its connection ends with an error.
    Reset,
}

use Answer::{Good, Is};

/// How many of the odd requests are of HTTP/1: the first ones.
const OF_HTTP1: usize = ODD_REQUESTS - odd_h2::REQUESTS.len();

/// `{t}` is a target and `{h}` its host; lines end with CR LF, unless there is a `\n` that is meant.
/// `{long}`, `{large}`, `{many}`, `{some}` and `{fields}` are too much of it.
const REQUESTS: [(&str, Answer); OF_HTTP1] = [
    // Malformed: RFC 9112, and the limits of the front.
    ("GET {t} HTTP/1.1\nHost: {h}\n\n", Is(400)),
    ("GET  {t} HTTP/1.1|Host: {h}||", Is(400)),
    ("GET {t}|Host: {h}||", Is(400)),
    ("GET {t} HTTP/3.1|Host: {h}||", Is(505)),
    ("GET {t} HTTP/1.1||", Is(400)),
    ("GET {t} HTTP/1.1|Host: {h}|Host: other.test||", Is(400)),
    ("GET {t} HTTP/1.1|Host: a b||", Is(400)),
    ("GET {t} HTTP/1.1|Host : {h}||", Is(400)),
    ("GET {t} HTTP/1.1|Host: {h}|X-A: 1| folded||", Is(400)),
    ("GET {t} HTTP/1.1|Host: {h}|no field||", Is(400)),
    ("GET no-path HTTP/1.1|Host: {h}||", Is(400)),
    ("GET http:// HTTP/1.1|Host: {h}||", Is(400)),
    ("POST {t} HTTP/1.1|Host: {h}|Content-Length: 3|Transfer-Encoding: chunked||0||", Is(400)),
    ("POST {t} HTTP/1.1|Host: {h}|Content-Length: 3|Content-Length: 4||abc", Is(400)),
    ("POST {t} HTTP/1.1|Host: {h}|Content-Length: three||abc", Is(400)),
    ("POST {t} HTTP/1.1|Host: {h}|Transfer-Encoding: gzip, chunked||0||", Is(501)),
    ("POST {t} HTTP/1.0|Host: {h}|Transfer-Encoding: chunked||0||", Is(400)),
    ("POST {t} HTTP/1.1|Host: {h}|Transfer-Encoding: chunked||no size|abc|0||", Answer::None),
    ("TRACE {t} HTTP/1.1|Host: {h}||", Is(405)),
    ("GET {t} HTTP/1.1|Host: {h}|Expect: the-best||", Is(417)),
    ("GET /{long} HTTP/1.1|Host: {h}||", Is(414)),
    ("GET {t} HTTP/1.1|Host: {h}|X-Large: {many}||", Is(431)),
    ("GET {t} HTTP/1.1|Host: {h}|{fields}|", Is(431)),
    ("\u{16}\u{3}\u{1}\u{0} a client that speaks TLS", Answer::None),
    ("GET {t} HTTP/1.1|Host: {h}", Answer::None),
    // Right, and rare.
    ("GET http://{h}{t} HTTP/1.1|Host: {h}||", Good),
    ("GET {t} HTTP/1.0|Host: {h}||", Good),
    ("HEAD {t} HTTP/1.0||", Good),
    (
        "GET {t} HTTP/1.1|Host: {h}|Connection: close|X-Forwarded-For: 192.0.2.1|X-Forwarded-Proto: https||",
        Good,
    ),
    ("GET {t} HTTP/1.1|Host: {h}|Range: bytes=-5||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Range: bytes=0-3,8-||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Range: bytes=99999999-||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Range: bytes=0-3|If-Range: \"another\"||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|If-Match: \"another\"||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Cache-Control: no-cache||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Cache-Control: only-if-cached, max-stale=10||", Answer::None),
    ("GET {t} HTTP/1.1|Host: {h}|Cache-Control: max-age=0, min-fresh=1|Pragma: no-cache||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Authorization: Basic YTpi|Cookie: session=1||", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Content-Length: 5||hello", Good),
    ("GET {t} HTTP/1.1|Host: {h}|Upgrade: websocket|Connection: upgrade, te|TE: trailers||", Good),
    ("OPTIONS * HTTP/1.1|Host: {h}||", Good),
    ("DELETE {t} HTTP/1.1|Host: {h}||", Good),
    ("PUT {t} HTTP/1.1|Host: {h}|Content-Length: 5|Expect: 100-continue||hello", Good),
    ("PATCH {t} HTTP/1.1|Host: {h}|Transfer-Encoding: chunked||5|hello|0|X-Sum: 1||", Good),
    ("GET {t} HTTP/1.1|Host: {h}||GET {t} HTTP/1.1|Host: {h}||", Good),
    ("GET {t}?a=1&b=%20 HTTP/1.1|Host: EXAMPLE.test:80||", Good),
    ("GET /nothing HTTP/1.1|Host: {h}||", Good),
    // What is almost HTTP/2, and who may not purge.
    ("PRI * HTTP/2.0||XX||", Is(505)),
    ("PRI * HTTP/2.0||S", Answer::None),
    ("PURGE {t} HTTP/1.1|Host: {h}||", Is(403)),
    ("PURGE {t} HTTP/1.1|Host: {h}|Authorization: Bearer wrong||", Is(403)),
];

/// Is the odd request with this number of HTTP/2?
pub(super) fn is_of_http2(number: u8) -> bool {
    usize::from(number) >= OF_HTTP1
}

impl Client {
    /// Sends the odd request with this number, and holds the edge to what must come of it. Where a link is
    /// cut or an edge is down nothing comes, and nothing is held against it.
    pub(super) async fn ask_oddly(&self, job: Job, number: u8) {
        let target = &self.stage.catalogue.object(job.object).target;
        let index = usize::from(number);
        let of_http2 = index.checked_sub(OF_HTTP1).map(|index| odd_h2::REQUESTS[index]);
        let (request, wanted) = of_http2.map_or_else(|| REQUESTS[index], |(text, _, wanted)| (text, wanted));
        let (text, time_max) = (filled(request, target), self.time_max());
        let (slot, key) = (&self.stage.edges[job.edge as usize], self.key(job));
        // One that is right changes the object, as any other does.
        let is_post = request.starts_with("POST ");
        if is_post {
            slot.post_begins(key);
        }
        let heard = match of_http2 {
            None => timeout(time_max, self.heard_of(job, &text.replace('|', "\r\n"))).await,
            Some((_, rest, _)) => timeout(time_max, self.heard_of_h2(job, &text, rest)).await,
        };
        if is_post {
            slot.post_ends(key);
        }
        let Some(heard) = heard.ok().flatten() else {
            return;
        };
        self.stage.log.count(Figure::OddAnswered, 1);
        // Too many of any kind are turned away alike, where there is such a limit.
        let RequestLimits { rate, under_way_max, .. } = self.stage.scenario.front.request_limits;
        let is_right = match (wanted, heard) {
            _ if self.header(job) == Header::Malformed => false,
            (_, Heard::Status(429)) if rate.is_some() => true,
            (_, Heard::Status(503)) if under_way_max.is_some() => true,
            (Is(only), Heard::Status(status)) => status == only,
            (Good, Heard::Status(status)) => {
                status >= 200 && ![400, 405, 414, 417, 431, 500, 501, 505, 508].contains(&status)
            }
            (Answer::Reset, Heard::Status(status)) => status == 400,
            (Answer::None | Answer::Look, Heard::Status(status)) => status != 500,
            (Is(_) | Good, Heard::Reset) => false,
            (Answer::Reset | Answer::None | Answer::Look, Heard::Reset) => true,
        };
        if !is_right {
            let detail = format!(
                "odd request {number}, {request:?}, was answered {heard:?}, where {wanted:?} is right"
            );
            self.stage.log.fail(Violation { rule: "odd", detail });
        }
    }

    /// What comes of a request of HTTP/1. Interim responses before the answer are for HTTP/1.1 alone.
    async fn heard_of(&self, job: Job, text: &str) -> Option<Heard> {
        let mut stream = self.connect(job).await?;
        stream.write_all(text.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        let takes_interim = !text.contains("HTTP/1.0\r\n");
        let mut read = Vec::new();
        loop {
            let mut piece = [0; 4 << 10];
            let count = stream.read(&mut piece).await.ok()?;
            read.extend_from_slice(&piece[..count]);
            while let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                match status(&read)? {
                    100..200 if takes_interim => drop(read.drain(..end + 4)),
                    status => return Some(Heard::Status(status)),
                }
            }
            if count == 0 {
                return None;
            }
        }
    }
}

/// The status and the body of what is answered, over a connection that the other end closes.
pub(super) async fn exchanged(stage: &Stage, job: Job, port: u16, text: &str) -> Option<(u16, Vec<u8>)> {
    let wire = stage.wire(Link::Clients, job.edge, End::Far);
    let mut stream = wire.connect(&format!("{}:{port}", edge_name(job.edge))).await.ok()?;
    stream.write_all(text.as_bytes()).await.ok()?;
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.ok()?;
    let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some((status(&read)?, read.split_off(end + 4)))
}

/// A request with what its placeholders stand for, except `|`.
fn filled(request: &str, target: &str) -> String {
    let much = |name: &str, text: &str, count: usize| {
        if request.contains(name) { text.repeat(count) } else { String::new() }
    };
    let fields = |name: &str, count: u32| -> String {
        if request.contains(name) {
            (0..count).map(|n| format!("x-{n}: 1|")).collect()
        } else {
            String::new()
        }
    };
    request
        .replace("{t}", target)
        .replace("{h}", AUTHORITY)
        .replace("{long}", &much("{long}", "a", 20_000))
        .replace("{large}", &much("{large}", "a", 40_000))
        .replace("{many}", &much("{many}", "a", 100_000))
        .replace("{some}", &fields("{some}", 150))
        .replace("{fields}", &fields("{fields}", 2_000))
}

/// The status that a head begins with.
fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}
