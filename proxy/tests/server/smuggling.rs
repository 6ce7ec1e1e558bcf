//! Requests that two servers might read differently: each is refused with its reason, or means the same to
//! everybody, and what follows it is never read as part of it, or the other way round.

use crate::{
    harness::{Origin, Site},
    raw::exchange,
};
use std::io::Read;

/// An origin that reads until the connection ends and says nothing: it answers no half request.
fn silent() -> Origin {
    Origin::start(|_, stream| drop(stream.read_to_end(&mut Vec::new())))
}

/// Each of these heads is refused for this, and the origin hears of none, nor of what comes after it.
fn refused(cases: &[(&[u8], &str, &str)]) {
    let origin = Origin::fixed("Cache-Control: max-age=60\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for (bytes, status, detail) in cases {
        let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let text = bytes.escape_ascii();
        let answer = exchange(&server, &[*bytes, smuggled].concat());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {answer}");
        assert!(answer.contains(&format!("Cache-Status: tiergate; detail={detail}\r\n")), "{text}: {answer}");
        assert_eq!(answer.matches("Via: 1.1 tiergate\r\n").count(), 1, "{text}: {answer}");
    }
    assert_eq!(origin.targets(), [""; 0], "nobody was asked");
}

/// A transfer coding is `chunked` in one field, however it is written, and beside no length.
#[test]
fn a_transfer_coding_is_chunked_or_refused() {
    let spellings: [(&[u8], &str, &str); 22] = [
        (b"Transfer-Encoding: xchunked", "501", "unknown-coding"),
        (b"Transfer-Encoding: chunkedx", "501", "unknown-coding"),
        (b"Transfer-Encoding: identity", "501", "unknown-coding"),
        (b"Transfer-Encoding: chunked, identity", "501", "unknown-coding"),
        (b"Transfer-Encoding: identity, chunked", "501", "unknown-coding"),
        (b"Transfer-Encoding: gzip, chunked", "501", "unknown-coding"),
        (b"Transfer-Encoding: chunked, chunked", "501", "unknown-coding"),
        (b"Transfer-Encoding: chunked;q=1", "501", "unknown-coding"),
        (b"Transfer-Encoding: \"chunked\"", "501", "unknown-coding"),
        (b"Transfer-Encoding: ,chunked", "501", "unknown-coding"),
        (b"Transfer-Encoding:", "501", "unknown-coding"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "501", "unknown-coding"),
        (b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "501", "unknown-coding"),
        (b"Transfer-Encoding: chunked\xff", "501", "unknown-coding"),
        (b"Transfer-Encoding : chunked", "400", "bad-field"),
        (b"Transfer-Encoding\t: chunked", "400", "bad-field"),
        (b" Transfer-Encoding: chunked", "400", "bad-field"),
        (b"Transfer-Encoding:\x0bchunked", "400", "bad-field"),
        (b"Transfer-Encoding: chunked\0", "400", "bad-field"),
        (b"Transfer-Encoding:\r\n chunked", "400", "bad-field"),
        (b"X: y\rTransfer-Encoding: chunked", "400", "bad-field"),
        (b"X: y\nTransfer-Encoding: chunked", "400", "bad-line-end"),
    ];
    let heads: Vec<_> = spellings
        .iter()
        .map(|(field, status, detail)| {
            let head = [&b"POST /a HTTP/1.1\r\nHost: a\r\n"[..], field, b"\r\n\r\n0\r\n\r\n"].concat();
            (head, *status, *detail)
        })
        .collect();
    refused(&heads.iter().map(|(head, status, detail)| (&**head, *status, *detail)).collect::<Vec<_>>());
    refused(&[
        (
            b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
            "length-and-coding",
        ),
        (
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "400",
            "length-and-coding",
        ),
        (
            b"POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
            "coding-in-http-1-0",
        ),
    ]);
}

/// A length is digits, once.
#[test]
fn a_length_is_a_number_once() {
    let heads: Vec<_> = [
        "+3",
        "-1",
        "0x3",
        "3,3",
        "3, 3",
        "3 3",
        "3;",
        "1e1",
        "3.0",
        "",
        "99999999999999999999",
        "three",
        "\u{663}",
        "3\r\nContent-Length: 3",
        "3\r\nContent-Length: 4",
        "0\r\nContent-Length: 0",
    ]
    .iter()
    .map(|length| format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nabc"))
    .collect();
    refused(&heads.iter().map(|head| (head.as_bytes(), "400", "bad-length")).collect::<Vec<_>>());
}

/// Lines end with CR LF, and a field is a name, a colon and a value on one line.
#[test]
fn a_head_is_lines_of_fields() {
    refused(&[
        (b"GET /a HTTP/1.1\nHost: a\r\n\r\n", "400", "bad-line-end"),
        (b"GET /a HTTP/1.1\r\nHost: a\n\r\n", "400", "bad-line-end"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\n", "400", "bad-line-end"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\n Host: a\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\nHost : a\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n", "400", "bad-field"),
        (b"GET /a HTTP/1.1\rHost: a\r\n\r\n", "400", "bad-line-end"),
        (b"GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-request-line"),
        (b"GET /a\tHTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-request-line"),
        (b"GET /a HTTP/1.1 \r\nHost: a\r\n\r\n", "400", "bad-line-end"),
        (b" GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-request-line"),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-request-line"),
        (b"GET /a HTTP/1.2\r\nHost: a\r\n\r\n", "505", "bad-version"),
        (b"GET /a http/1.1\r\nHost: a\r\n\r\n", "400", "bad-request-line"),
        (b"GET /a\r\n\r\n", "400", "bad-request-line"),
        (b"\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad-field"),
    ]);
}

/// A chunked body whose sizes or lines can be read in two ways is refused, and the connection is closed: what
/// comes after it is no request.
#[test]
fn chunks_that_can_be_read_in_two_ways_are_refused() {
    let origin = silent();
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(9_000));
    let trailers = format!("0\r\nX: {}\r\n\r\n", "y".repeat(9_000));
    for body in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "g\r\n\r\n",
        "\r\n\r\n",
        "ffffffffffffffff\r\nabc",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "0\r\nX: y\n\r\n",
        &long,
        &trailers,
    ] {
        let request = format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = exchange(&server, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:.40?}: {answer}");
        assert!(answer.contains("detail=bad-chunks\r\n"), "{body:.40?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{body:.40?}: {answer}");
    }
    assert!(origin.targets().iter().all(|target| target == "/a"), "{:?}", origin.targets());
}

/// Trailers go nowhere: one that looks like framing, or like a host, changes nothing for the request or the
/// one after it.
#[test]
fn trailers_change_nothing() {
    let origin = Origin::fixed("Cache-Control: no-store\r\n", b"x".to_vec());
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let answers = exchange(
        &server,
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Host\r\n\r\n\
        3\r\nabc\r\n0\r\nContent-Length: 30\r\nTransfer-Encoding: gzip\r\nHost: evil\r\n\r\n\
        GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
    assert_eq!(origin.targets(), ["/a", "/b"]);
    // No chunk and no trailer more than the client's body has.
    assert_eq!(origin.asked()[0].body.escape_ascii().to_string(), r"3\r\nabc\r\n0\r\n\r\n");
    for asked in origin.asked() {
        let head = asked.head.to_ascii_lowercase();
        assert!(head.contains("host: a\r\n") && !head.contains("evil"), "{head}");
        assert!(!head.contains("content-length") && !head.contains("gzip"), "{head}");
    }
}
