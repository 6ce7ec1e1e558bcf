//! Where a chunked body ends (RFC 9112 section 7.1), read strictly.
//!
//! Nothing is decoded here: Pingora does that, and what goes on to an origin has chunks of Pingora's own. But
//! what follows the body is the next request, so where it begins must not depend on how leniently somebody
//! reads a size. A line that a bare line feed ends, a size that is no number, and lines without end are
//! refused.

/// Bytes of all chunk extensions, and of all trailers, at most: nobody has a use for either.
const REST_BYTES_MAX: usize = 8 << 10;
/// Digits of a size at most; more of them, leading zeros included, are no body's.
const SIZE_DIGITS_MAX: u8 = 15;

/// A body on its way.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    /// What extensions and trailers may still have.
    rest_left: usize,
}

/// What the next byte belongs to.
///
/// ```text
/// Size ──;──▶ Extension ──CR──▶ SizeEnd ──▶ Data ──▶ DataEnd ──▶ Size
///   └───────────CR─────────────────┘└─last─▶ Trailer ──empty line──▶ Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd { next: LineEnd },
    Trailer { is_empty: bool },
    TrailerEnd { is_empty: bool },
    Done,
}

/// A byte of a line's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    Return,
    Feed,
}

/// These are no chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadChunks;

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { place: Place::Size { digits: 0, size: 0 }, rest_left: REST_BYTES_MAX }
    }

    pub(super) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// How many of these bytes, which come next, belong to the body.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<usize, BadChunks> {
        let mut at = 0;
        while at < bytes.len() && self.place != Place::Done {
            if let Place::Data { left } = &mut self.place {
                let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= skipped as u64;
                at += skipped;
                if *left == 0 {
                    self.place = Place::DataEnd { next: LineEnd::Return };
                }
                continue;
            }
            self.place = self.after(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// Where the byte after this one belongs.
    fn after(&mut self, byte: u8) -> Result<Place, BadChunks> {
        match (self.place, byte) {
            (Place::Size { digits, size }, _) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS_MAX => {
                let digit = (byte as char).to_digit(16).map(u64::from).ok_or(BadChunks)?;
                Ok(Place::Size { digits: digits + 1, size: size << 4 | digit })
            }
            (Place::Size { digits: 1.., size } | Place::Extension { size }, b'\r') => {
                Ok(Place::SizeEnd { size })
            }
            (Place::Size { digits: 1.., size }, b';') => self.rest(Place::Extension { size }),
            (Place::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => self.rest(Place::Extension { size }),
            (Place::SizeEnd { size: 0 }, b'\n') => Ok(Place::Trailer { is_empty: true }),
            (Place::SizeEnd { size }, b'\n') => Ok(Place::Data { left: size }),
            (Place::DataEnd { next: LineEnd::Return }, b'\r') => Ok(Place::DataEnd { next: LineEnd::Feed }),
            (Place::DataEnd { next: LineEnd::Feed }, b'\n') => Ok(Place::Size { digits: 0, size: 0 }),
            (Place::Trailer { is_empty }, b'\r') => Ok(Place::TrailerEnd { is_empty }),
            (Place::Trailer { .. }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.rest(Place::Trailer { is_empty: false })
            }
            (Place::TrailerEnd { is_empty: true }, b'\n') => Ok(Place::Done),
            (Place::TrailerEnd { is_empty: false }, b'\n') => Ok(Place::Trailer { is_empty: true }),
            (
                Place::Size { .. }
                | Place::Extension { .. }
                | Place::SizeEnd { .. }
                | Place::DataEnd { .. }
                | Place::Trailer { .. }
                | Place::TrailerEnd { .. }
                | Place::Data { .. }
                | Place::Done,
                _,
            ) => Err(BadChunks),
        }
    }

    /// One more byte of what nobody has a use for.
    fn rest(&mut self, next: Place) -> Result<Place, BadChunks> {
        self.rest_left = self.rest_left.checked_sub(1).ok_or(BadChunks)?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of this is a body, read in pieces of `piece` bytes: `None` if it is no body, or has no end.
    fn body(bytes: &[u8], piece: usize) -> Option<usize> {
        let mut chunks = Chunks::new();
        let mut ended = 0;
        for part in bytes.chunks(piece) {
            let used = chunks.follow(part).ok()?;
            ended += used;
            assert_eq!(used < part.len() && !part.is_empty(), chunks.is_done() && used < part.len());
        }
        chunks.is_done().then_some(ended)
    }

    /// A body ends where its last line does, however it arrives, and what follows is not of it.
    #[test]
    fn a_body_ends_with_its_last_line() {
        for text in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "3\r\n\r\n0\r\n00000\r\n\r\n",
            "0A;a=b;c=\"d e\"\r\n0123456789\r\n0;x\r\n\r\n",
            "1\r\na\r\n0\r\nA: b\r\nContent-Length: 3\r\n\r\n",
        ] {
            let next = format!("{text}GET / HTTP/1.1\r\n\r\n");
            for piece in 1..=next.len() {
                assert_eq!(body(next.as_bytes(), piece), Some(text.len()), "{text:?} by {piece}");
            }
        }
    }

    /// What two readers might end in different places is no body.
    #[test]
    fn what_can_be_read_in_two_ways_is_no_body() {
        let endless = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(REST_BYTES_MAX));
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(REST_BYTES_MAX / 4 + 1));
        let many = format!("{}0\r\n\r\n", "1;x\r\na\r\n".repeat(REST_BYTES_MAX));
        for text in [
            "\r\n\r\n",
            ";a\r\n\r\n",
            "0\n\n",
            "0\r\n\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "-1\r\n\r\n",
            "+0\r\n\r\n",
            " 0\r\n\r\n",
            "0 \r\n\r\n",
            "0\t;a\r\n\r\n",
            "3_\r\nabc\r\n0\r\n\r\n",
            "g\r\n\r\n",
            "\u{ff10}\r\n\r\n",
            "ffffffffffffffff\r\n\r\n",
            "10000000000000000\r\n\r\n",
            "0000000000000000\r\n\r\n",
            "1;\n\r\na\r\n0\r\n\r\n",
            "1;a\0\r\na\r\n0\r\n\r\n",
            "1;a\rb\r\na\r\n0\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\nA: b\r\r\n\r\n",
            "0\r\n\r",
            "1\r\na\r\n0\r\n",
            "1\r\na\r\n",
            &endless,
            &trailers,
            &many,
        ] {
            for piece in [1, 2, 7, text.len()] {
                assert_eq!(body(text.as_bytes(), piece), None, "{text:.40} by {piece}");
            }
        }
    }
}
