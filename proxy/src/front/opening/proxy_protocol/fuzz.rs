//! Headers as anybody may write them.

use super::*;

tiergate_fuzz::target!(
    /// A header is within what was read, is one whatever follows it, and is not seen before its last byte.
    proxy_header,
    [
        &b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\nGET / HTTP/1.1\r\n"[..],
        b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 80\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x0f\xa0\0\x50",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    ],
    |bytes: &[u8]| {
        let Ok(Some(header)) = parse(bytes) else { return };
        assert!(header.length <= bytes.len() && header.length <= BINARY_BYTES_MAX);
        assert_eq!(parse(&bytes[..header.length]).expect("as before"), Some(header));
        for end in 0..header.length {
            assert_eq!(parse(&bytes[..end]).expect("not wrong yet"), None, "{end}");
        }
    }
);
