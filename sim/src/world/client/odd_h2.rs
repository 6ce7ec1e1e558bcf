//! Odd requests over HTTP/2 (RFC 9113). They are written frame by frame, for no library would send most of
//! them; of what comes back, only what ends a stream or answers it is read.

use super::{
    Client,
    odd::{Answer, Heard},
};
use crate::world::{edge::PURGE_TOKEN, workload::Job};
use Answer::{Good, Is, Reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What follows the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// A body of five bytes.
    Body,
    /// Some of a body, a reset, and a request that is right on the next stream: that is the one to be
    /// answered.
    Reset,
    /// A ping, which has to be answered as well.
    Ping,
    /// The client opens no more streams.
    GoAway,
    /// The same, as often as there are more streams than may be open.
    Many,
    /// Data of a stream that was never opened.
    Stray,
}

use Rest::{Body, Nothing};

/// Method, scheme, authority and path, each `-` where there is none, and the fields. Placeholders are those
/// of the odd requests of HTTP/1.
pub(super) const REQUESTS: [(&str, Rest, Answer); 35] = [
    // Malformed: RFC 9113 section 8, and the limits of the front.
    ("GET http {h} /{long}", Nothing, Is(414)),
    ("GET http {h} {t}|x-large: {large}", Nothing, Is(431)),
    ("GET http {h} {t}|x-large: {many}", Nothing, Answer::None),
    ("GET http {h} {t}|{some}", Nothing, Is(431)),
    ("TRACE http {h} {t}", Nothing, Is(405)),
    ("CONNECT - {h} -", Nothing, Is(405)),
    ("GET ftp {h} {t}", Nothing, Is(400)),
    ("GET http {h} no-path", Nothing, Reset),
    ("GET http {h} -", Nothing, Reset),
    ("GET http {h} *", Nothing, Is(400)),
    ("GET http {h} {t}|host: other.test", Nothing, Is(400)),
    ("GET http - {t}", Nothing, Is(400)),
    ("GET http u@{h} {t}", Nothing, Is(400)),
    ("GET http {h} {t}|transfer-encoding: chunked", Nothing, Reset),
    ("GET http {h} {t}|connection: close", Nothing, Reset),
    ("GET http {h} {t}|X-Capital: 1", Nothing, Reset),
    ("GET http {h} {t}|x-a: \0", Nothing, Reset),
    ("GET http {h} {t}|:path: /other", Nothing, Reset),
    ("GET http {h} {t}|expect: the-best", Nothing, Is(417)),
    ("POST http {h} {t}|content-length: three", Body, Reset),
    ("POST http {h} {t}|content-length: 3", Body, Reset),
    ("PURGE http {h} {t}|authorization: Bearer wrong", Nothing, Is(403)),
    ("GET http {h} {t}", Rest::Stray, Answer::None),
    // Right, and rare.
    ("PURGE http {h} {t}|authorization: Bearer {token}", Nothing, Good),
    ("HEAD http {h} {t}", Nothing, Good),
    ("OPTIONS http {h} *", Nothing, Good),
    ("DELETE http {h} {t}", Nothing, Good),
    ("GET http - {t}|host: {h}", Nothing, Good),
    ("GET http {h} {t}|cookie: a=1|cookie: b=2|cookie: c=3", Nothing, Good),
    ("POST http {h} {t}|cookie: a=1|cookie: b=2", Body, Good),
    ("GET http {h} {t}", Body, Good),
    ("POST http {h} {t}", Rest::Reset, Good),
    ("GET http {h} {t}", Rest::Ping, Good),
    ("GET http {h} {t}", Rest::GoAway, Good),
    ("GET http {h} {t}", Rest::Many, Good),
];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame that a peer takes which has not said otherwise.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// More than the 128 streams that the front lets a client open.
const STREAMS: u32 = 150;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// `END_STREAM` of data and heads, `ACK` of settings and pings.
const END_OR_ACK: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small");
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A head, in as many frames as it takes.
fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let pieces = block.chunks(FRAME_BYTES_MAX);
    let last = pieces.len() - 1;
    let frames = pieces.enumerate().map(|(number, piece)| {
        let ends = if number == last { END_HEADERS } else { 0 };
        match number {
            0 => frame(HEADERS, flags | ends, stream, piece),
            _ => frame(CONTINUATION, ends, stream, piece),
        }
    });
    frames.flatten().collect()
}

/// The fields of a request as HPACK has them that nobody is to remember (RFC 7541 section 6.2.2).
fn block(request: &str) -> Vec<u8> {
    let mut parts = request.split('|');
    let line = parts.next().unwrap_or_default().split(' ');
    let pseudo = [":method", ":scheme", ":authority", ":path"].into_iter().zip(line);
    let fields = parts.filter_map(|field| field.split_once(": "));
    let mut out = Vec::new();
    for (name, value) in pseudo.filter(|(_, value)| *value != "-").chain(fields) {
        out.push(0);
        put_string(&mut out, name);
        put_string(&mut out, value);
    }
    out
}

/// A string that is not compressed, behind its length (RFC 7541 section 5).
fn put_string(out: &mut Vec<u8>, text: &str) {
    const PREFIX_MAX: usize = 127;
    out.push(u8::try_from(text.len().min(PREFIX_MAX)).expect("seven bits"));
    if let Some(mut rest) = text.len().checked_sub(PREFIX_MAX) {
        while rest >= 128 {
            out.push(u8::try_from(rest % 128 + 128).expect("eight bits"));
            rest /= 128;
        }
        out.push(u8::try_from(rest).expect("seven bits"));
    }
    out.extend_from_slice(text.as_bytes());
}

/// All that the client sends, and the stream whose answer counts.
fn conversation(request: &str, rest: Rest) -> (Vec<u8>, u32) {
    let block = block(request);
    let open = |stream| headers(stream, 0, &block);
    let whole = |stream| headers(stream, END_OR_ACK, &block);
    let (frames, stream) = match rest {
        Rest::Nothing => (whole(1), 1),
        Rest::Body => ([open(1), frame(DATA, END_OR_ACK, 1, b"hello")].concat(), 1),
        Rest::Reset => {
            let cancel = frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
            let next = headers(3, END_OR_ACK, &self::block(&request.replacen("POST", "GET", 1)));
            ([open(1), frame(DATA, 0, 1, b"hel"), cancel, next].concat(), 3)
        }
        Rest::Ping => ([whole(1), frame(PING, 0, 0, b"a number")].concat(), 1),
        Rest::GoAway => ([whole(1), frame(GOAWAY, 0, 0, &[0; 8])].concat(), 1),
        Rest::Many => ((0..STREAMS).flat_map(|number| whole(1 + 2 * number)).collect(), 1),
        Rest::Stray => ([whole(1), frame(DATA, END_OR_ACK, 7, b"hello")].concat(), 1),
    };
    ([PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[]), frames].concat(), stream)
}

/// The status that a head begins with: it is the first field, from the static table or in digits (RFC 7541
/// section 6 and appendix A).
fn status(block: &[u8]) -> Option<u16> {
    // The size of the dynamic table may be said first.
    let block = if block.first()? & 0xe0 == 0x20 { &block[1..] } else { block };
    match *block {
        [indexed @ 0x88..=0x8e, ..] => Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]),
        [0x48 | 0x08 | 0x18, length, ref rest @ ..] => {
            let text = rest.get(..usize::from(length & 0x7f))?;
            let digits = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
            std::str::from_utf8(&digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Digits in the Huffman code of RFC 7541 appendix B: 0, 1 and 2 have five bits, the others six.
fn digits(coded: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let (mut at, mut out) = (0, Vec::new());
    while let Some(five) = bits.get(at..at + 5).map(number) {
        if five <= 2 {
            out.push(b'0' + five);
            at += 5;
            continue;
        }
        let Some(six) = bits.get(at..at + 6).map(number).filter(|six| (0x19..=0x1f).contains(six)) else {
            break;
        };
        out.push(b'3' + (six - 0x19));
        at += 6;
    }
    out
}

impl Client {
    /// What comes of a request: `None` if nothing does.
    pub(super) async fn heard_of_h2(&self, job: Job, request: &str, rest: Rest) -> Option<Heard> {
        let request = request.replace("{token}", PURGE_TOKEN);
        let (bytes, asked) = conversation(&request, rest);
        let mut stream = self.connect(job).await?;
        // Who is refused in the middle of it has an answer all the same.
        drop(stream.write_all(&bytes).await);
        drop(stream.flush().await);
        let (mut read, mut heard, mut needs_pong) = (Vec::new(), None, rest == Rest::Ping);
        loop {
            while let Some((kind, flags, of, payload)) = next_frame(&mut read) {
                match kind {
                    SETTINGS if flags & END_OR_ACK == 0 => {
                        drop(stream.write_all(&frame(SETTINGS, END_OR_ACK, 0, &[])).await);
                        drop(stream.flush().await);
                    }
                    PING if flags & END_OR_ACK != 0 => needs_pong = false,
                    HEADERS if of == asked => {
                        // Interim responses come before the answer.
                        let answer = status(&payload).filter(|status| *status >= 200);
                        heard = heard.or(answer.map(Heard::Status));
                    }
                    RST_STREAM if of == asked => heard = heard.or(Some(Heard::Reset)),
                    GOAWAY if payload.get(4..8).is_some_and(|reason| reason != [0; 4]) => {
                        return heard.or(Some(Heard::Reset));
                    }
                    _ => {}
                }
            }
            if heard.is_some() && !needs_pong {
                return heard;
            }
            let mut piece = [0; 4 << 10];
            match stream.read(&mut piece).await {
                Ok(count @ 1..) => read.extend_from_slice(&piece[..count]),
                Ok(0) | Err(_) => return None,
            }
        }
    }
}

/// Takes a whole frame from what was read: its kind, flags, stream and payload.
fn next_frame(read: &mut Vec<u8>) -> Option<(u8, u8, u32, Vec<u8>)> {
    let [a, b, c, kind, flags, stream @ ..] = *read.first_chunk::<9>()?;
    let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
    if read.len() < end {
        return None;
    }
    let payload = read[9..end].to_vec();
    read.drain(..end);
    Some((kind, flags, u32::from_be_bytes(stream), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statuses are read however a server writes them.
    #[test]
    fn a_status_is_read_in_each_form() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x20, 0x8d, 0x01]), Some(404));
        assert_eq!(status(b"\x48\x03431"), Some(431));
        // RFC 7541 appendix C.6.1 and C.6.2.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
        assert_eq!(status(&[0xc0]), None);
    }

    /// A string's length is said in one byte or in several.
    #[test]
    fn lengths_are_written_as_hpack_has_them() {
        let length = |count: usize| {
            let mut out = Vec::new();
            put_string(&mut out, &"a".repeat(count));
            out[..out.len() - count].to_vec()
        };
        assert_eq!(length(5), [5]);
        assert_eq!(length(127), [127, 0]);
        assert_eq!(length(1337), [127, 0xba, 0x09]);
    }
}
