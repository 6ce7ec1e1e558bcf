//! Answers that are not as long as they say, of an origin that does not know it.
//!
//! Less than was announced and then nothing, on a connection that stays open: who waits for the rest must
//! give up, and take what comes on the connection for nothing else. Or more than was announced, which looks
//! like another answer: who takes the first one as it says it is must not read on.

use super::{head::Represented, raw::MALFORMED};
use crate::world::{
    body,
    catalogue::{Framing, between, percent},
    stage::Stage,
};
use bytes::Bytes;
use http::{Method, Response, header, request};
use tiergate_scenarios::{Between, FaultKind};

/// What comes behind an answer: it would be stored, and a client must never see it.
fn another_answer() -> Vec<u8> {
    let text = "nobody asked for this";
    format!(
        "HTTP/1.1 200 OK\r\n{MALFORMED}: behind another\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

/// A head as it is written.
fn written(head: &Response<()>) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {}\r\n", head.status()).into_bytes();
    for (name, value) in head.headers() {
        out.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    out
}

impl Stage {
    /// Does the origin lie about the length of the answer with this number about an object, in this version?
    /// Then this is what it sends.
    pub(super) fn lie(
        &self,
        asked: &request::Parts,
        (number, version, answer): (u32, u32, u32),
    ) -> Option<Bytes> {
        let kind = FaultKind::OriginLies;
        if self.is_healed() || asked.method == Method::POST {
            return None;
        }
        let mut random =
            self.seed.split(&format!("{}: answer {answer} about object {number}", kind.as_str()));
        let mut befalls = self.faults.of(kind).iter().filter(|fault| fault.is_of(number, answer));
        if !befalls.any(|fault| percent(&mut random, fault.percent)) {
            return None;
        }
        self.log.plan(kind, 1);
        self.log.arm(kind);
        self.log.fire_answer(kind, number, answer);
        let object = self.catalogue.object(number);
        let Represented { head, language, is_still_right } = Represented::of(object, version, asked);
        let length = object.version(version).length;
        let has_body = asked.method != Method::HEAD && !is_still_right;
        let says_length = head.headers().contains_key(header::CONTENT_LENGTH);
        let is_less = has_body && says_length && length > 0 && random.chance(1, 2);
        let sent = if is_less { between(&mut random, Between(0, length - 1)) } else { length };
        let mut bytes = written(&head);
        let body = body::bytes(body::number(number, language), version, 0, sent);
        match (has_body, object.framing) {
            (false, _) => bytes.extend(b"\r\n"),
            (true, Framing::Length) => bytes.extend([b"\r\n", &body[..]].concat()),
            (true, Framing::Chunks) => {
                let size = format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
                // A chunk of no bytes is the last one.
                let last: &[u8] = if length > 0 { b"\r\n0\r\n\r\n" } else { b"\r\n" };
                bytes.extend([size.as_bytes(), &body, last].concat());
            }
        }
        if !is_less {
            bytes.extend(another_answer());
        }
        Some(bytes.into())
    }
}
