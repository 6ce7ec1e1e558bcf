//! A server process, an origin and a client, all over plain sockets.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// Far more than anything here takes: a test that hangs fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A body of `size` bytes in which no two parts are alike.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(size + 16);
    for line in 0_u64.. {
        if body.len() >= size {
            break;
        }
        body.extend_from_slice(&line.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    body.truncate(size);
    body
}

/// Runs the program to its end.
pub(crate) fn tiergate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tiergate"))
        .args(arguments)
        .output()
        .expect("the program was built for this test")
}

/// An address at which nobody listens, and nobody will: its port is taken while this lives.
pub(crate) struct Refusing {
    pub(crate) address: SocketAddr,
    _bound: TcpSocket,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let bound = TcpSocket::new_v4().expect("a socket");
        bound.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        Self { address: bound.local_addr().expect("it is bound"), _bound: bound }
    }
}

/// A directory for one test's configuration and L2.
pub(crate) struct Site {
    directory: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts a server with L0 alone: what was read to its end is stored by then.
    pub(crate) fn serve_from_memory(&self, origin: SocketAddr) -> Server {
        self.start(&format!("listen: 127.0.0.1:0\norigin: http://{origin}\n"))
    }

    /// Starts a server with an L2 in this directory, and waits until it is known what that holds. `more` is
    /// added to its configuration.
    pub(crate) fn serve(&self, origin: SocketAddr, more: &str) -> Server {
        let is_ready = |log: &str| log.matches("a tier has joined").count();
        let before = is_ready(&self.log());
        let server = self.start(&self.config(origin, "", more));
        while is_ready(&self.log()) == before {
            thread::yield_now();
        }
        server
    }

    /// The configuration of a server with an L2 in this directory. `storage` is added to what its disk is,
    /// `more` to the whole. Where `storage` does not say how the disk is asked, `L2_IO` does: `L2_IO=pool
    /// cargo test -p tiergate --test server` runs everything without io_uring.
    pub(crate) fn config(&self, origin: SocketAddr, storage: &str, more: &str) -> String {
        let io = std::env::var("L2_IO").map(|io| format!("io: {io}")).unwrap_or_default();
        let storage = if storage.is_empty() { &io } else { storage };
        let more_cache = if more.contains("cache:") { "" } else { "cache: { l2: { capacity: 64MiB } }\n" };
        format!(
            "listen: 127.0.0.1:0\norigin: http://{origin}\nlog: access\nstorage: {{ l2: {{ directory: {:?}, {storage} }} }}\n{more}{more_cache}",
            self.l2()
        )
    }

    /// Where L2 is.
    pub(crate) fn l2(&self) -> PathBuf {
        self.path().join("l2")
    }

    /// What the servers of this site have written to standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("stderr")).unwrap_or_default()
    }

    /// Waits until a server of this site has written this to standard error.
    pub(crate) fn wait_for_log(&self, words: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(std::time::Instant::now() < deadline, "no `{words}` in `{}`", self.log());
            thread::yield_now();
        }
    }

    /// Starts a server with this configuration.
    pub(crate) fn start(&self, config: &str) -> Server {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_tiergate")), config)
    }

    /// The same, by a shell that does this first: its limits are the server's.
    pub(crate) fn start_under(&self, first: &str, config: &str) -> Server {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{first} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_tiergate")]);
        self.start_by(shell, config)
    }

    fn start_by(&self, program: Command, config: &str) -> Server {
        let config = format!("{config}purge_token: purge-token-of-tests\n");
        let file = self.path().join("tiergate.yaml");
        std::fs::write(&file, config).expect("a file in a directory of ours");
        let log = File::options().create(true).append(true).open(self.path().join("stderr"));
        let log = Stdio::from(log.expect("a file in a directory of ours"));
        Server::start_with(program, &["serve", "-c", file.to_str().expect("temporary paths are UTF-8")], log)
    }
}

/// The program, listening.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The first that it said.
    pub(crate) line: String,
}

impl Server {
    /// Waits for the line that says where it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(Command::new(env!("CARGO_BIN_EXE_tiergate")), arguments, Stdio::inherit())
    }

    /// The same, with its standard error going there.
    fn start_with(mut program: Command, arguments: &[&str], log: Stdio) -> Self {
        let mut child = program
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program was built for this test");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it was asked to be piped"))
            .read_line(&mut line)
            .expect("the program prints text");
        let address = line
            .split_once("listening on http://")
            .and_then(|(_, rest)| rest.split(',').next()?.trim().parse().ok())
            .unwrap_or_else(|| panic!("no address in `{line}`"));
        Self { child, address, line }
    }

    /// Where operators ask. The configuration has an `admin` section.
    pub(crate) fn admin(&self) -> SocketAddr {
        let admin = self.line.split_once("admin on http://").map(|(_, rest)| rest.trim().parse());
        admin.unwrap_or_else(|| panic!("no admin listener in `{}`", self.line)).expect("an address")
    }

    /// What the admin listener answers to whoever is on this machine.
    pub(crate) fn ask_admin(&self, method: &str, target: &str, more: &str) -> Response {
        let stream = TcpStream::connect(self.admin()).expect("the admin listener listens");
        let mut exchange =
            Exchange::begin(stream, "localhost", method, target, more).expect("the listener reads");
        let head = exchange.head(method);
        exchange.finish(head)
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .expect("`kill` is on every system that has signals");
        assert!(sent.success(), "the server is gone already");
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    /// Waits until nobody listens any more.
    pub(crate) fn wait_until_closed(&self) {
        while TcpStream::connect(self.address).is_ok() {
            thread::yield_now();
        }
    }

    /// How many descriptors it may have.
    pub(crate) fn descriptors_max(&self) -> u64 {
        let limits =
            std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).expect("the process lives");
        let line =
            limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Linux tells it");
        line.split_whitespace().next().and_then(|soft| soft.parse().ok()).expect("a number")
    }

    /// The most memory it ever had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib * 1024
    }

    /// `GET`, to the end.
    pub(crate) fn get(&self, target: &str) -> Response {
        self.request("GET", target, "")
    }

    /// A request with more field lines, each ended by CRLF; an empty line and a body may follow them.
    pub(crate) fn request(&self, method: &str, target: &str, more: &str) -> Response {
        let mut exchange = self.send(method, target, more);
        let head = exchange.head(method);
        exchange.finish(head)
    }

    /// A `GET` in HTTP/1.0: all that comes until the connection ends, head and body.
    pub(crate) fn get_in_1_0(&self, target: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
        let text = format!("GET {target} HTTP/1.0\r\nHost: site.example\r\n\r\n");
        stream.write_all(text.as_bytes()).expect("the server reads");
        let mut came = Vec::new();
        refuse_silence(&stream.read_to_end(&mut came));
        let head = came.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let body = came.split_off(head + 4);
        (String::from_utf8(came).expect("a head is text"), body)
    }

    /// The same, of a server that may be killed meanwhile: `None` if no whole head came.
    pub(crate) fn try_request(&self, method: &str, target: &str, more: &str) -> Option<Response> {
        let stream = TcpStream::connect(self.address).ok()?;
        let mut exchange = Exchange::begin(stream, "site.example", method, target, more).ok()?;
        let head = exchange.try_head(method)?;
        Some(exchange.finish(head))
    }

    /// The same, with the response still to be read. The host is always the same one: a restart changes the
    /// port.
    pub(crate) fn send(&self, method: &str, target: &str, more: &str) -> Exchange {
        self.send_to("site.example", method, target, more)
    }

    /// A `GET` from another host, to the end.
    pub(crate) fn get_from(&self, host: &str, target: &str) -> Response {
        let mut exchange = self.send_to(host, "GET", target, "");
        let head = exchange.head("GET");
        exchange.finish(head)
    }

    /// The same, for another host, or for that one in other letters.
    pub(crate) fn send_to(&self, host: &str, method: &str, target: &str, more: &str) -> Exchange {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        Exchange::begin(stream, host, method, target, more).expect("the server reads")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only one that a test did not wait for is still there.
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// A response's head.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    lines: Vec<(String, String)>,
    framing: Framing,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

impl ResponseHead {
    /// The values of a field, joined.
    pub(crate) fn field(&self, name: &str) -> String {
        let values: Vec<&str> = self
            .lines
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        values.join(", ")
    }
}

/// A response, and whether the connection said that it was whole.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) head: ResponseHead,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every promised byte came, or the last chunk.
    Whole,
    /// The connection ended before.
    Broken,
}

impl Response {
    /// A body that is text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    pub(crate) fn cache_status(&self) -> String {
        self.head.field("cache-status")
    }
}

/// A response that is being read.
pub(crate) struct Exchange {
    reader: BufReader<TcpStream>,
}

impl Exchange {
    pub(crate) fn begin(
        mut stream: TcpStream,
        host: &str,
        method: &str,
        target: &str,
        more: &str,
    ) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let known = if method == "PURGE" { "Authorization: Bearer purge-token-of-tests\r\n" } else { "" };
        let more = if more.contains("\r\n\r\n") { more.to_owned() } else { format!("{more}\r\n") };
        let text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{known}{more}");
        stream.write_all(text.as_bytes())?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    pub(crate) fn head(&mut self, method: &str) -> ResponseHead {
        self.try_head(method).expect("a whole head")
    }

    fn try_head(&mut self, method: &str) -> Option<ResponseHead> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in `{first}`"));
        let mut head = ResponseHead { status, lines: Vec::new(), framing: Framing::Length(0) };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            head.lines.push((name.to_owned(), value.trim().to_owned()));
        }
        let bodiless = method == "HEAD" || matches!(status, 204 | 304);
        if !bodiless && head.field("transfer-encoding") == "chunked" {
            head.framing = Framing::Chunked;
        } else if !bodiless {
            let length = head.field("content-length");
            head.framing = Framing::Length(length.parse().unwrap_or_else(|_| panic!("no length: {head:?}")));
        }
        Some(head)
    }

    /// Reads the rest.
    pub(crate) fn finish(mut self, head: ResponseHead) -> Response {
        let (body, end) = match head.framing {
            Framing::Length(length) => self.exactly(length),
            Framing::Chunked => self.chunks(),
        };
        Response { head, body, end }
    }

    /// Reads a response to a `GET`, and keeps the connection, on which nothing more happens.
    pub(crate) fn into_idle(mut self) -> TcpStream {
        let Framing::Length(length) = self.head("GET").framing else { panic!("a body of known length") };
        self.first_bytes(length);
        self.reader.into_inner()
    }

    /// Reads the rest and compares it, without keeping it.
    pub(crate) fn matches(mut self, expected: &[u8]) -> bool {
        let mut buffer = vec![0; 64 << 10];
        let mut at = 0;
        while at < expected.len() {
            let most = buffer.len().min(expected.len() - at);
            match self.reader.read(&mut buffer[..most]) {
                Ok(read) if read > 0 && buffer[..read] == expected[at..at + read] => at += read,
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }

    /// Waits for `count` bytes of a body that is not chunked.
    pub(crate) fn first_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).expect("that much comes");
        bytes
    }

    /// `None` when the connection ends before the line does.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        refuse_silence(&read);
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }

    fn exactly(&mut self, length: usize) -> (Vec<u8>, End) {
        let mut body = Vec::new();
        let read = self.reader.by_ref().take(length as u64).read_to_end(&mut body);
        refuse_silence(&read);
        let end = if body.len() == length { End::Whole } else { End::Broken };
        (body, end)
    }

    fn chunks(&mut self) -> (Vec<u8>, End) {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            refuse_silence(&self.reader.read_line(&mut line));
            let Ok(size) = usize::from_str_radix(line.trim(), 16) else {
                return (body, End::Broken);
            };
            let (chunk, end) = self.exactly(size + 2);
            body.extend_from_slice(&chunk[..chunk.len().min(size)]);
            match end {
                End::Broken => return (body, End::Broken),
                End::Whole if size == 0 => return (body, End::Whole),
                End::Whole => {}
            }
        }
    }
}

/// A connection that breaks is an answer; one that just stays silent is none.
fn refuse_silence(read: &io::Result<usize>) {
    if let Err(error) = read {
        assert!(
            !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            "the server neither sent nor closed: {error}"
        );
    }
}

/// One request to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    /// As it came, chunks included.
    pub(crate) body: Vec<u8>,
}

/// An origin that answers each request on a thread of its own, and closes.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Origin {
    /// `answer` writes the whole response, from its status line on.
    pub(crate) fn start(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                thread::spawn(move || {
                    let mut stream = stream.expect("a connection");
                    // A probe of the server's connects and asks nothing.
                    if let Some(asked) = read_request(&stream) {
                        log.lock().expect("no test panics with it").push(asked.clone());
                        answer(&asked, &mut stream);
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// Answers everything with these field lines, each ended by CRLF, and this body.
    pub(crate) fn fixed(fields: &'static str, body: Vec<u8>) -> Self {
        Self::start(move |asked, stream| {
            let sent = if asked.method == "HEAD" { &[][..] } else { &body };
            respond(stream, fields, body.len(), sent);
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics with it").clone()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.target).collect()
    }
}

/// A 200 that promises `length` bytes, and `sent` of its body. A client that left is no concern of an
/// origin's.
pub(crate) fn respond(stream: &mut TcpStream, fields: &str, length: usize, sent: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n{fields}\r\n");
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent)));
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked\r\n") {
        while !body.ends_with(b"\r\n0\r\n\r\n") && body != b"0\r\n\r\n" {
            let mut byte = [0];
            reader.read_exact(&mut byte).ok()?;
            body.push(byte[0]);
        }
    }
    Some(Asked { method, target, head, body })
}
