use super::*;

pub(in crate::access_log) fn entry() -> Entry<'static> {
    Entry {
        client: [192, 0, 2, 7].into(),
        time: UNIX_EPOCH + Duration::from_micros(1_709_210_096_000_123),
        method: b"GET",
        host: b"site.example",
        target: b"/a?b=c",
        protocol: "HTTP/1.1",
        status: 200,
        bytes: 1234,
        duration: Duration::from_micros(1_000_250),
        referer: None,
        user_agent: Some(b"curl/8"),
        cache_status: b"tiergate; hit; ttl=60",
        request_id: b"0af7",
    }
}

fn written(entry: &Entry<'_>, format: Format) -> String {
    let mut line = Vec::new();
    entry.write(format, &mut line);
    String::from_utf8(line).expect("both formats are text, whatever a client sent")
}

/// A combined line is what nginx writes of the same request.
#[test]
fn a_combined_line_is_as_nginx_writes_it() {
    assert_eq!(
        written(&entry(), Format::Combined),
        "192.0.2.7 - - [29/Feb/2024:12:34:56 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234 \"-\" \"curl/8\"\n"
    );
    let entry = Entry { referer: Some(b"http://a/"), user_agent: None, ..entry() };
    assert!(written(&entry, Format::Combined).ends_with("200 1234 \"http://a/\" \"-\"\n"));
}

/// A JSON line has the same, and the duration, the id and what the cache did.
#[test]
fn a_json_line_is_an_object() {
    assert_eq!(
        written(&Entry { referer: Some(b"http://a/"), ..entry() }, Format::Json),
        "{\"time\":\"2024-02-29T12:34:56.000123Z\",\"client\":\"192.0.2.7\",\"method\":\"GET\",\
         \"host\":\"site.example\",\"target\":\"/a?b=c\",\"protocol\":\"HTTP/1.1\",\"status\":200,\"bytes\":1234,\
         \"duration_s\":1.000250,\"referer\":\"http://a/\",\"user_agent\":\"curl/8\",\
         \"cache\":\"tiergate; hit; ttl=60\",\"request_id\":\"0af7\"}\n"
    );
    let bare = written(&Entry { user_agent: None, ..entry() }, Format::Json);
    assert!(!bare.contains("referer") && !bare.contains("user_agent"), "{bare}");
}

/// Whatever bytes a client sends, a line stays one line, and nothing in it ends a string early.
#[test]
fn what_strangers_send_is_escaped() {
    let hostile = b"\"\\\x01\n\xff\xc3\xa9\x7f";
    let entry =
        Entry { user_agent: Some(hostile), target: hostile, host: hostile, method: hostile, ..entry() };
    let combined = written(&entry, Format::Combined);
    let escaped = "\\x22\\x5C\\x01\\x0A\\xFF\\xC3\\xA9\\x7F";
    assert!(combined.contains(&format!("\"{escaped} {escaped} HTTP/1.1\"")), "{combined}");
    assert!(combined.ends_with(&format!("\"{escaped}\"\n")), "{combined}");
    let json = written(&entry, Format::Json);
    let escaped = "\\\"\\\\\\u0001\\u000a\u{fffd}é\\u007f";
    for name in ["method", "host", "target", "user_agent"] {
        assert!(json.contains(&format!("\"{name}\":\"{escaped}\"")), "{name} in {json}");
    }
    assert_eq!((combined.lines().count(), json.lines().count()), (1, 1));
}

/// Passwords in URLs are not written; what only looks like one in a query is.
#[test]
fn credentials_in_urls_are_left_out() {
    let (with, without) = (b"http://user:secret@host/a@b", "http://host/a@b");
    let entry = Entry { target: with, referer: Some(with), ..entry() };
    for format in [Format::Combined, Format::Json] {
        let line = written(&entry, format);
        assert!(!line.contains("secret"), "{line}");
        assert_eq!(line.matches(without).count(), 2, "{line}");
    }
    let entry = Entry { target: b"/?u=http://x@y/", ..entry };
    assert!(written(&entry, Format::Combined).contains("GET /?u=http://x@y/ HTTP"));
}

/// A field without end does not make a line without end.
#[test]
fn long_fields_are_cut() {
    let long = vec![b'a'; FIELD_BYTES_MAX + 1];
    let entry = Entry { target: &long, referer: Some(&long), user_agent: Some(&long), ..entry() };
    for format in [Format::Combined, Format::Json] {
        let line = written(&entry, format);
        let runs: Vec<_> = line.split(|c| c != 'a').map(str::len).filter(|length| *length > 9).collect();
        assert_eq!(runs, [FIELD_BYTES_MAX; 3]);
    }
}

/// Leap days, ends of years and centuries are where the calendar has them.
#[test]
fn the_calendar_is_right() {
    for (seconds, date) in [
        (0, (1970, 1, 1)),
        (951_782_400, (2000, 2, 29)),
        (951_868_800, (2000, 3, 1)),
        (978_307_199, (2000, 12, 31)),
        (4_107_542_400, (2100, 3, 1)),
    ] {
        let time = Time::of(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!((time.year, time.month, time.day), date, "{seconds}");
    }
}
