//! The wire of RESP2, as a server of Redis speaks it: commands in, replies out.
//!
//! Only what clients send: arrays of bulk strings. Inline commands and RESP3 are refused.

use bytes::{Buf, Bytes, BytesMut};

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK` and the like.
    Simple(&'static str),
    /// `-ERR …`.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes; `None` for what is not there.
    Bulk(Option<Bytes>),
    /// Several of these.
    Array(Vec<Option<Bytes>>),
}

impl Reply {
    /// Does it carry a value of some bytes?
    pub(crate) fn has_value(&self) -> bool {
        match self {
            Self::Bulk(value) => value.as_ref().is_some_and(|value| !value.is_empty()),
            Self::Array(values) => values.iter().flatten().any(|value| !value.is_empty()),
            Self::Simple(_) | Self::Error(_) | Self::Integer(_) => false,
        }
    }

    /// The same without the last bytes of its last value: a quarter of them, and at least one.
    pub(crate) fn truncated(self) -> Self {
        let cut = |value: &Bytes| value.slice(..(value.len() - value.len() / 4).min(value.len() - 1));
        match self {
            Self::Bulk(Some(value)) if !value.is_empty() => Self::Bulk(Some(cut(&value))),
            Self::Array(mut values) => {
                if let Some(value) = values.iter_mut().rev().flatten().find(|value| !value.is_empty()) {
                    *value = cut(value);
                }
                Self::Array(values)
            }
            other => other,
        }
    }
}

/// The peer does not speak RESP2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotResp;

/// The longest command: more arguments or bytes are refused, as a real server does.
const ARGUMENTS_MAX: usize = 1 << 20;
const BULK_MAX: usize = 512 << 20;

/// Takes one command off the buffer; `None` until all of it is there.
pub(crate) fn take_command(buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, NotResp> {
    let mut reader = Reader { bytes: buffer, at: 0 };
    let Some(count) = reader.number(b'*', ARGUMENTS_MAX)? else {
        return Ok(None);
    };
    let mut spans = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        let Some(length) = reader.number(b'$', BULK_MAX)? else {
            return Ok(None);
        };
        let Some(span) = reader.bulk(length)? else {
            return Ok(None);
        };
        spans.push(span);
    }
    let end = reader.at;
    let whole = buffer.split_to(end).freeze();
    Ok(Some(spans.into_iter().map(|(from, to)| whole.slice(from..to)).collect()))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// A line with this mark and a number no greater than `most`.
    fn number(&mut self, mark: u8, most: usize) -> Result<Option<usize>, NotResp> {
        let rest = &self.bytes[self.at..];
        match rest.first() {
            None => return Ok(None),
            Some(first) if *first == mark => {}
            Some(_) => return Err(NotResp),
        }
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return if rest.len() > 32 { Err(NotResp) } else { Ok(None) };
        };
        let digits = std::str::from_utf8(&rest[1..end]).map_err(|_| NotResp)?;
        let number = digits.parse().map_err(|_| NotResp)?;
        if number > most {
            return Err(NotResp);
        }
        self.at += end + 2;
        Ok(Some(number))
    }

    /// That many bytes and the end of the line.
    fn bulk(&mut self, length: usize) -> Result<Option<(usize, usize)>, NotResp> {
        let (from, to) = (self.at, self.at + length);
        match self.bytes.get(to..to + 2) {
            None => Ok(None),
            Some(b"\r\n") => {
                self.at = to + 2;
                Ok(Some((from, to)))
            }
            Some(_) => Err(NotResp),
        }
    }
}

impl Reply {
    /// Writes the reply.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Simple(text) => line(out, '+', text),
            Self::Error(text) => line(out, '-', text),
            Self::Integer(number) => line(out, ':', &number.to_string()),
            Self::Bulk(bytes) => bulk(out, bytes.as_ref()),
            Self::Array(all) => {
                line(out, '*', &all.len().to_string());
                for bytes in all {
                    bulk(out, bytes.as_ref());
                }
            }
        }
    }
}

fn bulk(out: &mut BytesMut, bytes: Option<&Bytes>) {
    let Some(bytes) = bytes else { return line(out, '$', "-1") };
    line(out, '$', &bytes.len().to_string());
    out.extend_from_slice(bytes.chunk());
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut BytesMut, mark: char, text: &str) {
    out.extend_from_slice(format!("{mark}{text}\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{NotResp, Reply, take_command};
    use bytes::{Bytes, BytesMut};

    /// A command is taken once all of it is there, at whatever byte it was cut, and the rest stays.
    #[test]
    fn a_command_is_taken_whole() {
        let text = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\nPING";
        let whole = text.len() - "PING".len();
        for cut in 0..whole {
            assert_eq!(take_command(&mut BytesMut::from(&text[..cut])), Ok(None), "cut at {cut}");
        }
        let mut buffer = BytesMut::from(&text[..]);
        let command = take_command(&mut buffer).expect("it is RESP").expect("it is whole");
        assert_eq!(command, ["SET", "k", "a\r\nb"].map(Bytes::from));
        assert_eq!(&buffer[..], b"PING");
        assert_eq!(take_command(&mut buffer), Err(NotResp));
    }

    /// Every kind of reply has the bytes that the protocol's page gives for it.
    #[test]
    fn replies_are_written_as_the_protocol_says() {
        let mut out = BytesMut::new();
        for reply in [
            Reply::Simple("OK"),
            Reply::Error("ERR no".to_owned()),
            Reply::Integer(-2),
            Reply::Bulk(None),
            Reply::Bulk(Some(Bytes::from("ab"))),
            Reply::Array(vec![Some(Bytes::from("ab")), None]),
        ] {
            reply.write(&mut out);
        }
        assert_eq!(&out[..], b"+OK\r\n-ERR no\r\n:-2\r\n$-1\r\n$2\r\nab\r\n*2\r\n$2\r\nab\r\n$-1\r\n");
    }
}
