use super::*;

/// Version 2: command, family, the length that is said, and what comes then.
fn binary(command: u8, family: u8, length: u16, rest: &[u8]) -> Vec<u8> {
    [&SIGNATURE[..], &[command, family], &length.to_be_bytes(), rest].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x0f, 0xa0, 0, 80];

/// Every way to say who the client is, and every way to say nothing of it, ends where it says.
#[test]
fn a_header_says_who_the_client_is() {
    let mut v6 = [0; 36];
    v6[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().expect("an address").octets());
    v6[32..34].copy_from_slice(&4000_u16.to_be_bytes());
    let with_more = [&V4[..], &[4, 0, 1, 0]].concat();
    let cases: [(Vec<u8>, Option<&str>); 12] = [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\n".to_vec(), Some("192.0.2.1:4000")),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 80\r\n".to_vec(), Some("[2001:db8::1]:4000")),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 0 65535\r\n".to_vec(), Some("192.0.2.1:0")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 what ever\r\n".to_vec(), None),
        (binary(0x21, 0x11, 12, &V4), Some("192.0.2.1:4000")),
        (binary(0x21, 0x11, 16, &with_more), Some("192.0.2.1:4000")),
        (binary(0x21, 0x21, 36, &v6), Some("[2001:db8::1]:4000")),
        (binary(0x21, 0x00, 0, &[]), None),
        (binary(0x21, 0x31, 216, &[b'a'; 216]), None),
        (binary(0x20, 0x00, 0, &[]), None),
        (binary(0x20, 0x11, 12, &V4), None),
    ];
    for (bytes, source) in cases {
        let source = source.map(|text| text.parse().expect("an address"));
        let header = Header { length: bytes.len(), source };
        let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        for given in [&bytes, &followed] {
            assert_eq!(parse(given).expect("it is right"), Some(header), "{}", given.escape_ascii());
        }
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]).expect("it may become right"), None, "{}", bytes.escape_ascii());
        }
    }
}

/// What is written in another way is no header, and that is known at once.
#[test]
fn what_is_no_header_is_refused() {
    let cases: Vec<Vec<u8>> = vec![
        b"G".to_vec(),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"proxy TCP4 192.0.2.1 192.0.2.2 4000 80\r\n".to_vec(),
        b"PROXY\r\n".to_vec(),
        b"PROXY \r\n".to_vec(),
        b"PROXY TCP5 192.0.2.1 192.0.2.2 4000 80\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\n".to_vec(),
        b"PROXY TCP4  192.0.2.1 192.0.2.2 4000 80\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80 \r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4000\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 65536\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 +400 80\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 04 80\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.256 192.0.2.2 4000 80\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::1 2001:db8::2 4000 80\r\n".to_vec(),
        b"PROXY TCP6 192.0.2.1 192.0.2.2 4000 80\r\n".to_vec(),
        [&b"PROXY UNKNOWN "[..], &[b'a'; 100]].concat(),
        [&b"PROXY UNKNOWN "[..], &[b'a'; 100], b"\r\n"].concat(),
        binary(0x11, 0x11, 12, &V4),
        binary(0x22, 0x11, 12, &V4),
        binary(0x21, 0x12, 12, &V4),
        binary(0x21, 0x41, 12, &V4),
        binary(0x21, 0x11, 11, &V4),
        binary(0x21, 0x21, 12, &V4),
        binary(0x21, 0x11, 4081, &V4),
        b"\r\n\r\n\0\r\nQUIX".to_vec(),
    ];
    for bytes in cases {
        assert!(matches!(parse(&bytes), Err(HeaderError::Malformed)), "{}", bytes.escape_ascii());
    }
}
