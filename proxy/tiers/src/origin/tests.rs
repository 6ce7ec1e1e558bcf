//! The origin client against scripted peers in memory, on tokio's paused clock; and twice over real loopback
//! sockets.

use super::*;
use crate::TcpConnect;
use Step::{Hold, Read, Send};
use tiergate_engine::Fields;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Interim responses are of no interest here.
fn unheard(_: Head) {}

/// One thing that a scripted origin does on a connection. At the end of its script it closes.
#[derive(Clone, Copy)]
enum Step {
    /// Reads one request.
    Read,
    /// Sends these bytes.
    Send(&'static str),
    /// Keeps the connection open and does nothing.
    Hold,
}

/// Gives each connection the next script. When they run out, connecting takes for ever.
struct Scripted {
    scripts: Mutex<Vec<&'static [Step]>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Connect for Scripted {
    type Stream = DuplexStream;

    async fn connect(&self, _: &str) -> io::Result<DuplexStream> {
        let script = self.scripts.lock().expect("no test panics inside").pop();
        let Some(script) = script else { std::future::pending().await };
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        tokio::spawn(play(theirs, script, Arc::clone(&self.asked)));
        Ok(ours)
    }
}

async fn play(mut stream: DuplexStream, script: &[Step], asked: Arc<Mutex<Vec<String>>>) {
    for step in script {
        match step {
            Read => {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    request.push(byte);
                }
                let request = String::from_utf8(request).expect("requests of these tests are ASCII");
                asked.lock().expect("no test panics inside").push(request);
            }
            Send(text) => {
                // A client that has gone away is what some scripts are about.
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Hold => std::future::pending().await,
        }
    }
}

struct Rig {
    origin: HttpOrigin<Scripted>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    fn new(scripts: &[&'static [Step]]) -> Self {
        Self::with_options(scripts, OriginOptions::default())
    }

    fn with_options(scripts: &[&'static [Step]], options: OriginOptions) -> Self {
        let asked = Arc::default();
        let connector = Scripted {
            scripts: Mutex::new(scripts.iter().rev().copied().collect()),
            asked: Arc::clone(&asked),
        };
        Self { origin: HttpOrigin::new(connector, "origin:80", options), asked }
    }

    /// Asks for `target` and reads the body to its end: what came of it, and how it ended.
    async fn ask(&self, target: &str) -> Result<(u16, String, Result<(), OriginFailure>), OriginFailure> {
        let (head, mut body) = self.origin.fetch(request(Method::Get, target), unheard).await?;
        let (text, end) = read(&mut body).await;
        Ok((head.status, text, end))
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("no test panics inside").len()
    }

    fn unused_scripts(&self) -> usize {
        self.origin.connector.scripts.lock().expect("no test panics inside").len()
    }
}

fn request(method: Method, target: &str) -> Arc<RequestHead> {
    Arc::new(RequestHead {
        method,
        authority: "shop.example".into(),
        target: target.into(),
        fields: Fields::from_iter([("accept", "*/*"), ("content-length", "3"), ("x-a", "1")]),
    })
}

async fn read(body: &mut HttpBody) -> (String, Result<(), OriginFailure>) {
    let mut text = String::new();
    loop {
        match body.next().await {
            Ok(Some(chunk)) => {
                assert!(!chunk.is_empty(), "an empty chunk was handed out");
                text.push_str(std::str::from_utf8(&chunk).expect("bodies of these tests are ASCII"));
            }
            Ok(None) => return (text, Ok(())),
            Err(failure) => return (text, Err(failure)),
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn hello() -> Result<(u16, String, Result<(), OriginFailure>), OriginFailure> {
    Ok((200, "hello".to_owned(), Ok(())))
}

/// The request goes out with the client's authority as `Host`, in origin form, and with nothing that it did
/// not say.
#[tokio::test(start_paused = true)]
async fn a_request_goes_out_as_it_came_in() {
    let rig = Rig::new(&[&[Read, Send(OK)]]);
    assert_eq!(rig.ask("/a?b=%20c").await, hello());
    assert_eq!(
        *rig.asked.lock().expect("no test panics inside"),
        ["GET /a?b=%20c HTTP/1.1\r\naccept: */*\r\nx-a: 1\r\nhost: shop.example\r\n\r\n"]
    );
}

/// A configured `Host` takes the place of the client's.
#[tokio::test(start_paused = true)]
async fn a_fixed_host_is_sent_instead() {
    let host = HostField::Fixed("bucket.internal".to_owned());
    let options = OriginOptions { host, ..OriginOptions::default() };
    let rig = Rig::with_options(&[&[Read, Send(OK)]], options);
    assert_eq!(rig.ask("/").await, hello());
    let asked = rig.asked.lock().expect("no test panics inside");
    assert!(asked[0].contains("\r\nhost: bucket.internal\r\n"), "{asked:?}");
    assert!(!asked[0].contains("shop.example"), "{asked:?}");
}

/// The response's end-to-end fields come back in their order, and no others.
#[tokio::test(start_paused = true)]
async fn a_response_comes_back_without_hop_by_hop_fields() {
    let rig = Rig::new(&[&[
        Read,
        Send(
            "HTTP/1.1 404 Nope\r\nETag: \"x\"\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
             Vary: a\r\nTransfer-Encoding: chunked\r\nVary: b\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n",
        ),
    ]]);
    let fetched = rig.origin.fetch(request(Method::Get, "/"), unheard).await;
    let (head, mut body) = fetched.expect("the script answers");
    assert_eq!(head.status, 404);
    assert_eq!(head.fields, Fields::from_iter([("etag", "\"x\""), ("vary", "a"), ("vary", "b")]));
    assert_eq!(read(&mut body).await, ("abcde".to_owned(), Ok(())));
    assert_eq!(body.next().await, Ok(None), "the end stays the end");
}

/// A connection whose body was read to its end carries the next request.
#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again() {
    let rig = Rig::new(&[&[Read, Send(OK), Read, Send(OK), Hold]]);
    assert_eq!(rig.ask("/1").await, hello());
    assert_eq!(rig.ask("/2").await, hello());
    assert_eq!(rig.asked(), 2);
}

/// A HEAD's response has no body, whatever its length says, and leaves the connection usable.
#[tokio::test(start_paused = true)]
async fn the_answer_to_head_has_no_body() {
    let rig =
        Rig::new(&[&[Read, Send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"), Read, Send(OK), Hold]]);
    let (head, mut body) =
        rig.origin.fetch(request(Method::Head, "/"), unheard).await.expect("the script answers");
    assert_eq!(head.fields, Fields::from_iter([("content-length", "5")]));
    assert_eq!(read(&mut body).await, (String::new(), Ok(())));
    assert_eq!(rig.ask("/").await, hello());
}

/// A body dropped half way takes its connection with it: the next request has a new one.
#[tokio::test(start_paused = true)]
async fn a_connection_with_an_unread_body_is_not_used_again() {
    let rig = Rig::new(&[&[Read, Send(OK), Read, Send("not this"), Hold], &[Read, Send(OK)]]);
    let fetched = rig.origin.fetch(request(Method::Get, "/1"), unheard).await;
    drop(fetched.expect("the script answers"));
    assert_eq!(rig.ask("/2").await, hello());
    assert_eq!(rig.unused_scripts(), 0);
}

/// A body that is dropped after its last byte, without a look at its end, leaves the connection usable.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_body_was_read_to_its_last_byte_is_used_again() {
    let rig = Rig::new(&[&[Read, Send(OK), Read, Send(OK), Hold]]);
    let (_, mut body) =
        rig.origin.fetch(request(Method::Get, "/1"), unheard).await.expect("the script answers");
    assert_eq!(body.next().await.expect("it comes").as_deref(), Some(&b"hello"[..]));
    drop(body);
    assert_eq!(rig.ask("/2").await, hello());
    assert_eq!(rig.unused_scripts(), 0);
}

/// A 304, or any other answer without a body, is dropped unread and leaves the connection usable.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_answer_has_no_body_is_used_again() {
    const UNCHANGED: &str = "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n";
    const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for rig in [
        Rig::new(&[&[Read, Send(UNCHANGED), Read, Send(OK), Hold]]),
        Rig::new(&[&[Read, Send(EMPTY), Read, Send(OK), Hold]]),
    ] {
        drop(rig.origin.fetch(request(Method::Get, "/1"), unheard).await.expect("the script answers"));
        assert_eq!(rig.ask("/2").await, hello());
        assert_eq!(rig.unused_scripts(), 0);
    }
}

/// An idle connection that closes on the next request, before any byte of an answer, costs one try on a new
/// one.
#[tokio::test(start_paused = true)]
async fn a_request_on_a_closed_idle_connection_is_sent_once_more() {
    let rig = Rig::new(&[&[Read, Send(OK), Read], &[Read, Send(OK)]]);
    assert_eq!(rig.ask("/1").await, hello());
    assert_eq!(rig.ask("/2").await, hello());
    assert_eq!(rig.asked(), 3);
}

/// The second try is the last: a new connection that breaks is a failure, used before or not.
#[tokio::test(start_paused = true)]
async fn a_new_connection_that_breaks_is_a_failure() {
    let rig = Rig::new(&[&[Read], &[Read, Send(OK)]]);
    assert_eq!(rig.ask("/").await, Err(OriginFailure::Broken));
    assert_eq!(rig.unused_scripts(), 1, "a new connection is not tried again");

    let rig = Rig::new(&[&[Read, Send(OK), Read], &[Read], &[Read, Send(OK)]]);
    assert_eq!(rig.ask("/1").await, hello());
    assert_eq!(rig.ask("/2").await, Err(OriginFailure::Broken));
    assert_eq!(rig.unused_scripts(), 1, "a second new connection was tried");
}

/// A GET whose answer broke off within its head is sent once more too: nothing of it was handed on.
#[tokio::test(start_paused = true)]
async fn half_a_head_on_an_idle_connection_counts_as_none() {
    let rig = Rig::new(&[&[Read, Send(OK), Read, Send("HTTP/1.1 500 Oops\r\nx: ")], &[Read, Send(OK)]]);
    assert_eq!(rig.ask("/1").await, hello());
    assert_eq!(rig.ask("/2").await, hello());
    assert_eq!(rig.asked(), 3);
}

/// A body that breaks off is told from one that ends, in every framing; and it does not end later either.
#[tokio::test(start_paused = true)]
async fn a_truncated_body_never_ends_cleanly() {
    for (response, text, failure) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", "hell", OriginFailure::TooShort),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "", OriginFailure::TooShort),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "hello",
            OriginFailure::Broken,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", "hel", OriginFailure::Broken),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            "hello",
            OriginFailure::Broken,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
            "hello",
            OriginFailure::Malformed,
        ),
    ] {
        let script: &'static [Step] = Box::leak(Box::new([Read, Send(response)]));
        let rig = Rig::new(&[script]);
        let fetched = rig.origin.fetch(request(Method::Get, "/"), unheard).await;
        let (_, mut body) = fetched.expect("the head is whole");
        assert_eq!(read(&mut body).await, (text.to_owned(), Err(failure)), "{response:?}");
        assert_eq!(body.next().await, Err(failure), "{response:?}");
    }
}

/// Without a length, the end of the connection is the end of the body (RFC 9112 section 6.3).
#[tokio::test(start_paused = true)]
async fn a_body_without_a_length_ends_with_its_connection() {
    let rig = Rig::new(&[&[Read, Send("HTTP/1.0 200 OK\r\n\r\nhello")]]);
    assert_eq!(rig.ask("/").await, hello());
}

/// Heads that are not HTTP, and framings that contradict themselves or that we cannot undo, are refused.
#[tokio::test(start_paused = true)]
async fn bad_heads_are_refused() {
    for response in [
        "220 mail.example ESMTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let script: &'static [Step] = Box::leak(Box::new([Read, Send(response)]));
        let rig = Rig::new(&[script]);
        assert_eq!(rig.ask("/").await, Err(OriginFailure::Malformed), "{response:?}");
    }
}

/// A response whose head has exactly so many bytes, and a body of which the first read brings some.
fn with_head_of(bytes: usize) -> String {
    let rest = "HTTP/1.1 200 OK\r\nx: \r\ncontent-length: 5\r\n\r\n".len();
    format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 5\r\n\r\nhello", "y".repeat(bytes - rest))
}

/// A head is refused for its bytes alone, and however they arrive: with as many as may be it comes whole, and
/// with one more it does not.
#[tokio::test(start_paused = true)]
async fn a_head_is_taken_up_to_its_last_byte() {
    let options = OriginOptions::default();
    for bytes in [64 << 10, 70 << 10, options.head_bytes_max] {
        let text = with_head_of(bytes).leak();
        for script in [
            vec![Read, Send(text)],
            vec![Read, Send(&text[..bytes - 1]), Send(&text[bytes - 1..])],
            vec![Read, Send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"), Read, Send(text)],
        ] {
            let again = script.len() == 4;
            let rig = Rig::new(&[script.leak()]);
            if again {
                assert_eq!(rig.ask("/").await, hello());
            }
            assert_eq!(rig.ask("/").await, hello(), "{bytes} bytes");
        }
    }
    let text = with_head_of(options.head_bytes_max + 1).leak();
    let interim = format!("HTTP/1.1 103 Early Hints\r\nx: {}\r\n\r\n", "y".repeat(1024)).repeat(128).leak();
    let endless = "HTTP/1.1 200 OK\r\nx: ".to_owned() + &"y".repeat(2 * options.head_bytes_max);
    for script in [
        vec![Read, Send(text), Hold],
        vec![Read, Send(&text[..1]), Send(&text[1..]), Hold],
        vec![Read, Send(interim), Send(OK), Hold],
        vec![Read, Send(endless.leak()), Hold],
    ] {
        let rig = Rig::new(&[script.leak()]);
        assert_eq!(rig.ask("/").await, Err(OriginFailure::Malformed));
    }
}

/// A head that is too large is no reason to ask once more, on a connection that was idle or not.
#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_not_asked_for_again() {
    let text = with_head_of(OriginOptions::default().head_bytes_max + 1).leak();
    let rig = Rig::new(&[vec![Read, Send(OK), Read, Send(text), Hold].leak(), &[Read, Send(OK)]]);
    assert_eq!(rig.ask("/1").await, hello());
    assert_eq!(rig.ask("/2").await, Err(OriginFailure::Malformed));
    assert_eq!(rig.unused_scripts(), 1);
}

/// A body is no head, however many bytes and lines it has.
#[tokio::test(start_paused = true)]
async fn a_body_is_not_counted_as_a_head() {
    let body = "\r\nHTTP/1.1 100 x\r\n".repeat(20_000);
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let rig = Rig::new(&[vec![Read, Send(text.leak())].leak()]);
    assert_eq!(rig.ask("/").await, Ok((200, body, Ok(()))));
}

/// A head with as many lines as are allowed comes whole, and one with one more does not.
#[tokio::test(start_paused = true)]
async fn a_long_head_comes_whole() {
    let most = OriginOptions::default().field_lines_max;
    let text = |lines: usize| {
        let lines = "x: y\r\n".repeat(lines);
        format!("HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n")
    };
    let rig = Rig::new(&[vec![Read, Send(text(most - 1).leak())].leak()]);
    let (head, _) = rig.origin.fetch(request(Method::Get, "/"), unheard).await.expect("the script answers");
    assert_eq!(head.fields.all("x").count(), most - 1);
    let rig = Rig::new(&[vec![Read, Send(text(most).leak()), Hold].leak()]);
    assert_eq!(rig.ask("/").await, Err(OriginFailure::Malformed));
}

/// Bytes that come after a body and were not asked for are never taken for the next answer.
#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_is_not_taken_for_the_next() {
    let rig = Rig::new(&[
        &[
            Read,
            Send(
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            ),
            Hold,
        ],
        &[Read, Send(OK)],
    ]);
    assert_eq!(rig.ask("/1").await, hello());
    assert_eq!(rig.ask("/2").await, hello());
    assert_eq!(rig.unused_scripts(), 0);
}

/// Each wait has its limit, and its own failure.
#[tokio::test(start_paused = true)]
async fn waiting_has_limits() {
    let options = OriginOptions {
        connect_time_max: Duration::from_secs(1),
        head_time_max: Duration::from_secs(2),
        chunk_time_max: Duration::from_secs(3),
        ..OriginOptions::default()
    };
    let timed = async |scripts: &[&'static [Step]]| {
        let rig = Rig::with_options(scripts, options.clone());
        let began = Instant::now();
        let answer = rig.ask("/").await;
        (answer, began.elapsed().as_secs())
    };
    assert_eq!(timed(&[]).await, (Err(OriginFailure::Unreachable), 1));
    assert_eq!(timed(&[&[Read, Hold]]).await, (Err(OriginFailure::TimedOut), 2));
    let stalled = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel";
    let script: &'static [Step] = Box::leak(Box::new([Read, Send(stalled), Hold]));
    let broken_off = (200, "hel".to_owned(), Err(OriginFailure::TimedOut));
    assert_eq!(timed(&[script]).await, (Ok(broken_off), 3));
}

/// A connection that was idle too long is closed, not used.
#[tokio::test(start_paused = true)]
async fn a_connection_is_not_kept_idle_for_ever() {
    let rig = Rig::new(&[&[Read, Send(OK), Read, Send("late"), Hold], &[Read, Send(OK)]]);
    assert_eq!(rig.ask("/1").await, hello());
    tokio::time::advance(rig.origin.options.idle_time_max).await;
    assert_eq!(rig.ask("/2").await, hello());
    assert_eq!(rig.unused_scripts(), 0);
}

/// No more idle connections are kept than the options say.
#[tokio::test(start_paused = true)]
async fn idle_connections_are_bounded() {
    let options = OriginOptions { idle_connections_max: NonZeroUsize::MIN, ..OriginOptions::default() };
    let script: &'static [Step] = &[Read, Send(OK), Hold];
    let rig = Rig::with_options(&[script, script, script], options);
    let fetch = || rig.origin.fetch(request(Method::Get, "/"), unheard);
    let (one, two, three) = tokio::join!(fetch(), fetch(), fetch());
    for fetched in [one, two, three] {
        let (_, mut body) = fetched.expect("the script answers");
        assert_eq!(read(&mut body).await, ("hello".to_owned(), Ok(())));
    }
    let idle = rig.origin.idle.connections.lock().expect("no test panics inside");
    assert_eq!(idle.len(), 1);
}

/// A method that the engine never fetches with is refused before a connection is made.
#[tokio::test(start_paused = true)]
async fn other_methods_are_not_sent() {
    let rig = Rig::new(&[&[Read, Send(OK)]]);
    let fetched = rig.origin.fetch(request(Method::Other, "/"), unheard).await;
    assert_eq!(fetched.map(|_| ()), Err(OriginFailure::Unsendable));
    assert_eq!(rig.asked(), 0);
}

/// What a client asked for and cannot be written as HTTP is the client's fault, not the origin's: no
/// connection is made for it, and one that is idle is not lost.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_not_sent() {
    let rig = Rig::new(&[&[Read, Send(OK), Read, Send(OK)]]);
    let odd = |target: &str, fields: Fields| {
        let head =
            RequestHead { target: target.into(), fields, ..RequestHead::clone(&request(Method::Get, "/")) };
        rig.origin.fetch(Arc::new(head), unheard)
    };
    let bad = || odd("?q", Fields::new());
    assert_eq!(bad().await.map(|_| ()), Err(OriginFailure::Unsendable));
    assert_eq!(rig.asked(), 0);
    assert_eq!(rig.ask("/").await, Ok((200, "hello".to_owned(), Ok(()))));
    assert_eq!(bad().await.map(|_| ()), Err(OriginFailure::Unsendable));
    let field = Fields::from_iter([("x", "a\nb")]);
    assert_eq!(odd("/", field).await.map(|_| ()), Err(OriginFailure::Unsendable));
    assert_eq!(rig.ask("/").await, Ok((200, "hello".to_owned(), Ok(()))));
    assert_eq!(rig.unused_scripts(), 0);
}

/// Over a real loopback socket, a response comes; at a port that nobody listens on, none does.
#[tokio::test]
async fn real_sockets_work() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let authority = listener.local_addr().expect("it is bound").to_string();
    let origin = HttpOrigin::new(TcpConnect, authority, OriginOptions::default());
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("the client connects");
        let mut request = [0; 512];
        let got = stream.read(&mut request).await.expect("the client asks");
        assert!(request[..got].starts_with(b"GET /real HTTP/1.1\r\n"));
        stream.write_all(OK.as_bytes()).await.expect("the client reads");
    };
    let ask = async {
        let (head, mut body) = origin.fetch(request(Method::Get, "/real"), unheard).await?;
        Ok::<_, OriginFailure>((head.status, read(&mut body).await))
    };
    let (answer, ()) = tokio::join!(ask, serve);
    assert_eq!(answer, Ok((200, ("hello".to_owned(), Ok(())))));
    drop(listener);
    let fetched = origin.fetch(request(Method::Get, "/"), unheard).await;
    assert_eq!(fetched.map(|_| ()), Err(OriginFailure::Unreachable));
}
