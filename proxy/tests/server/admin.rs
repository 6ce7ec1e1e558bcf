//! The admin listener as operators meet it: health, metrics, purges, and who may ask.

use crate::harness::{Exchange, Origin, Refusing, Response, Server, Site, pattern, respond, tiergate};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Mutex, mpsc::channel},
};

const FRESH: &str = "Cache-Control: max-age=60\r\nSurrogate-Key: pages\r\n";
const ADMIN: &str = "admin: { listen: \"127.0.0.1:0\" }\n";

/// A server with L0 alone and an admin listener.
fn in_memory(site: &Site, origin: SocketAddr, admin: &str) -> Server {
    site.start(&format!("listen: 127.0.0.1:0\norigin: http://{origin}\nshards: 2\n{admin}"))
}

/// The value of one series.
fn value(server: &Server, series: &str) -> f64 {
    let metrics = server.ask_admin("GET", "/metrics", "");
    assert_eq!(metrics.head.status, 200);
    assert_eq!(metrics.head.field("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {}", metrics.text())).parse().expect("a number")
}

/// Clients' port has none of it: the paths are the origin's.
#[test]
fn the_clients_port_does_not_answer_for_operators() {
    let origin = Origin::fixed(FRESH, b"the origin's".to_vec());
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    for target in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(server.get(target).text(), "the origin's");
    }
}

/// Without the section nothing listens but clients' port.
#[test]
fn without_the_section_there_is_no_admin_listener() {
    let origin = Origin::fixed(FRESH, Vec::new());
    let site = Site::new();
    assert!(!in_memory(&site, origin.address, "").line.contains("admin"));
}

/// Health is told, other paths are listed, and a method that a path does not take is refused.
#[test]
fn health_is_told() {
    let origin = Origin::fixed(FRESH, Vec::new());
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    let told = |method, target| server.ask_admin(method, target, "");
    assert_eq!((told("GET", "/healthz").head.status, told("GET", "/healthz").text()), (200, "ok\n"));
    assert_eq!((told("GET", "/readyz").head.status, told("GET", "/readyz").text()), (200, "ready\n"));
    assert_eq!(told("HEAD", "/healthz").head.status, 200);
    let missing = told("GET", "/nothing");
    assert_eq!(missing.head.status, 404);
    assert!(missing.text().contains("/metrics"), "{}", missing.text());
    let refused = told("DELETE", "/healthz");
    assert_eq!((refused.head.status, refused.head.field("allow")), (405, "GET, HEAD".to_owned()));
    let refused = told("GET", "/purge?all=true");
    assert_eq!((refused.head.status, refused.head.field("allow")), (405, "POST".to_owned()));
}

/// What is known of a URL is told, tier by tier, also of variants, and of what cannot be stored.
#[test]
fn what_is_known_of_a_url_is_told() {
    let origin = Origin::start(|asked, stream| match asked.target.as_str() {
        "/none" => respond(stream, "Cache-Control: no-store\r\n", 1, b"x"),
        "/vary" => respond(stream, "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", 2, b"de"),
        _ => respond(stream, &format!("{FRESH}Age: 10\r\n"), 5, b"hello"),
    });
    let site = Site::new();
    let server =
        site.serve(origin.address, &format!("shards: 2\n{ADMIN}cache: {{ l2: {{ capacity: 64MiB }} }}\n"));
    let told = |path: &str| {
        let url = format!("/object?url=http%3A%2F%2Fsite.example{path}");
        let response = server.ask_admin("GET", &url, "");
        assert_eq!(
            (response.head.status, response.head.field("content-type")),
            (200, "application/json".into())
        );
        response.text().to_owned()
    };
    assert!(
        told("/a").ends_with("\"varies_on\":[],\"fills\":0,\"uncacheable\":false,\"l0\":[],\"l2\":[]}\n")
    );
    server.get("/a");
    while told("/a").contains("\"l2\":[]") || told("/a").contains("\"fills\":1") {
        std::thread::yield_now();
    }
    let has = told("/a");
    let response =
        |usable: &str| format!("[{{\"status\":200,\"bytes\":5,\"age\":10,\"fresh_for\":50{usable}}}]");
    let (l0, l2) = (response(",\"usable\":true"), response(""));
    assert!(has.contains(&format!("\"l0\":{l0},\"l2\":{l2}}}")), "{has}");
    server.get("/none");
    assert!(told("/none").contains("\"uncacheable\":true"), "{}", told("/none"));
    server.request("GET", "/vary", "Accept-Language: de\r\n");
    let varies = told("/vary");
    assert!(varies.contains("\"varies_on\":[\"accept-language\"]"), "{varies}");
    assert!(
        varies.contains("\"l0\":[{\"variant\":\"") && varies.contains("\"vary\":\"Accept-Language\""),
        "{varies}"
    );
    for wrong in
        ["/object", "/object?url=", "/object?url=/a", "/object?url=http://a/&url=http://b/", "/object?tag=a"]
    {
        let refused = server.ask_admin("GET", wrong, "");
        assert_eq!(refused.head.status, 400, "{wrong}: {}", refused.text());
    }
    assert_eq!(origin.targets(), ["/a", "/none", "/vary"], "nobody is asked");
}

/// A server that drains is alive and not ready, until its last transfer is over.
#[test]
fn a_server_that_drains_is_not_ready() {
    let (go_on, told) = channel::<()>();
    let told = Mutex::new(told);
    let body = pattern(100_000);
    let origin = Origin::start(move |_, stream| {
        respond(stream, FRESH, body.len(), &body[..50_000]);
        if told.lock().expect("no test panics with it").recv().is_ok() {
            drop(stream.write_all(&body[50_000..]));
        }
    });
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    let mut exchange = server.send("GET", "/a", "");
    let head = exchange.head("GET");
    server.signal("TERM");
    server.wait_until_closed();
    let ready = server.ask_admin("GET", "/readyz", "");
    assert_eq!((ready.head.status, ready.text()), (503, "not ready: draining\n"));
    assert_eq!(server.ask_admin("GET", "/healthz", "").head.status, 200);
    go_on.send(()).expect("the origin waits");
    assert!(exchange.finish(head).body == pattern(100_000));
    assert_eq!(server.wait().code(), Some(0));
}

/// What clients did is counted: a miss, hits of the fast path, what went around the cache, what failed.
#[test]
fn requests_are_counted_by_outcome() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    for _ in 0..3 {
        assert_eq!(server.get("/a").body, b"hello");
    }
    server.request("POST", "/a", "Content-Length: 0\r\n");
    let count = |outcome: &str, tier: &str| {
        value(&server, &format!("tiergate_requests_total{{outcome=\"{outcome}\",tier=\"{tier}\"}}"))
    };
    assert_eq!((count("miss", "none"), count("hit", "l0"), count("pass", "none")), (1.0, 2.0, 1.0));
    assert_eq!(value(&server, "tiergate_misses_total{reason=\"absent\"}"), 1.0);
    assert_eq!(value(&server, "tiergate_passes_total{reason=\"method\"}"), 1.0);
    assert_eq!(value(&server, "tiergate_origin_fetches_total{purpose=\"shared\"}"), 1.0);
    assert_eq!(value(&server, "tiergate_origin_head_seconds_count"), 1.0);
    assert_eq!(value(&server, "tiergate_origin_body_bytes_total"), 5.0);
    assert_eq!(value(&server, "tiergate_breaker_shards{dependency=\"origin\",state=\"closed\"}"), 2.0);
    assert!(value(&server, "process_resident_memory_bytes") > 1e6);
    assert!(value(&server, "process_open_fds") > 3.0);
}

/// A breaker that opens is counted, shown, and told in the log once, and so is its closing.
#[test]
fn a_breaker_that_opens_is_told() {
    let origin = Refusing::new();
    let address = origin.address;
    let site = Site::new();
    let breaker = "cache: { resilience: { breaker: { failures_in_a_row: 1, open_ms_first: 3600000, open_ms_max: 3600000 }, retry: { attempts_max: 1 } } }";
    let server =
        site.start(&format!("listen: 127.0.0.1:0\norigin: http://{address}\nshards: 1\n{breaker}\n{ADMIN}"));
    assert_eq!(server.get("/a").head.status, 502);
    assert_eq!(server.get("/b").head.status, 503);
    assert_eq!(value(&server, "tiergate_refusals_total{reason=\"origin_unreachable\"}"), 1.0);
    assert_eq!(value(&server, "tiergate_refusals_total{reason=\"breaker_open\"}"), 1.0);
    assert_eq!(value(&server, "tiergate_breaker_shards{dependency=\"origin\",state=\"open\"}"), 1.0);
    let transitions = "tiergate_breaker_transitions_total{dependency=\"origin\",state=\"open\"}";
    assert_eq!(value(&server, transitions), 1.0);
    site.wait_for_log("a breaker has opened");
    assert_eq!(site.log().matches("a breaker has opened").count(), 1, "{}", site.log());
}

fn purge(server: &Server, query: &str) -> (u16, String) {
    let response = server.ask_admin("POST", &format!("/purge?{query}"), "");
    (response.head.status, response.text().to_owned())
}

/// Each kind of purge takes what it names and nothing else, and says what it saw.
#[test]
fn purges_take_what_they_name() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    let is_stored = |target: &str| server.get(target).cache_status().starts_with("tiergate; hit");
    let fill = || {
        for target in ["/a/1", "/a/2", "/b"] {
            server.get(target);
            assert!(is_stored(target));
        }
    };
    fill();
    let (status, line) = purge(&server, "url=http%3A%2F%2FSITE.example%2Fa%2F1");
    assert_eq!(status, 200, "{line}");
    assert!(
        line.starts_with("{\"key\":\"") && line.contains("\"l0\":{\"outcome\":\"removed\",\"bytes\":"),
        "{line}"
    );
    assert!(!is_stored("/a/1") && is_stored("/a/2") && is_stored("/b"));
    fill();
    let (status, line) = purge(&server, "prefix=http://site.example/a/");
    assert_eq!(
        (status, line.starts_with("{\"purged\":\"prefix\",\"l0\":{\"outcome\":\"removed\"")),
        (200, true),
        "{line}"
    );
    assert!(!is_stored("/a/1") && !is_stored("/a/2") && is_stored("/b"));
    fill();
    assert!(purge(&server, "tag=other").1.contains("\"l0\":{\"outcome\":\"absent\"}"));
    assert!(is_stored("/a/1"));
    let (status, line) = purge(&server, "tag=other&tag=pages");
    assert_eq!((status, line.starts_with("{\"purged\":\"tags\",\"tags\":2,")), (200, true), "{line}");
    assert!(!is_stored("/a/1") && !is_stored("/b"));
    fill();
    assert_eq!(purge(&server, "all=true").0, 200);
    assert!(!is_stored("/a/1") && !is_stored("/a/2") && !is_stored("/b"));
    fill();
    assert!(purge(&server, "all=true&soft=true").1.contains("\"outcome\":\"staled\""));
    assert_eq!(value(&server, "tiergate_purges_total{kind=\"all\"}"), 2.0);
    assert_eq!(value(&server, "tiergate_purges_total{kind=\"tag\"}"), 3.0);
}

/// A tier that cannot be asked may still hold what was purged, and the answer says so.
#[test]
fn a_purge_that_a_tier_missed_is_no_success() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let redis = Refusing::new();
    let site = Site::new();
    let tiers =
        format!("cache: {{ l1: {{}} }}\nstorage: {{ l1: {{ redis: \"{}\" }} }}\n{ADMIN}", redis.address);
    let server = in_memory(&site, origin.address, &tiers);
    let (status, line) = purge(&server, "url=http://site.example/a");
    assert_eq!((status, line.contains("\"l1\":{\"outcome\":\"failed\"}")), (502, true), "{line}");
    assert_eq!(value(&server, "tiergate_purges_unconfirmed_total{kind=\"key\"}"), 1.0);
    assert_eq!(value(&server, "tiergate_tier_failures_total{tier=\"l1\",operation=\"delete\"}"), 1.0);
}

/// A form in the body asks for the same as a query; what is no form, or too much of one, is refused, and
/// nothing is purged.
#[test]
fn a_purge_can_be_a_form() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    server.get("/a");
    let post = |kind: &str, body: &str| {
        let more = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let response = server.ask_admin("POST", "/purge", &more);
        (response.head.status, response.text().to_owned())
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(post("text/plain", "all=true").0, 415);
    assert_eq!(post(form, &"a".repeat(70_000)).0, 413);
    let (status, line) = post(form, "everything=1");
    assert_eq!(
        (status, line.as_str()),
        (400, "{\"error\":\"the names are url, tag, prefix, all and soft\"}\n")
    );
    assert!(server.get("/a").cache_status().starts_with("tiergate; hit"), "nothing was purged");
    let (status, line) = post(form, "url=http%3A%2F%2Fsite.example%2Fa\r\n");
    assert_eq!((status, line.contains("\"outcome\":\"removed\"")), (200, true), "{line}");
    assert!(!server.get("/a").cache_status().starts_with("tiergate; hit"));
}

/// Asks with other fields than the harness sends.
fn ask(server: &Server, host: &str, method: &str, target: &str, more: &str) -> Response {
    let stream = TcpStream::connect(server.admin()).expect("the admin listener listens");
    let mut exchange = Exchange::begin(stream, host, method, target, more).expect("the listener reads");
    let head = exchange.head(method);
    exchange.finish(head)
}

/// A browser on this machine is no way in: neither by a name that points to loopback, nor by a form.
#[test]
fn a_web_page_cannot_ask_or_purge() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    server.get("/a");
    for target in ["/metrics", "/healthz", "/readyz", "/"] {
        assert_eq!(ask(&server, "evil.example", "GET", target, "").head.status, 421, "{target}");
    }
    assert_eq!(ask(&server, "evil.example:9080", "POST", "/purge?all=true", "").head.status, 421);
    for fields in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(ask(&server, "localhost", "POST", "/purge?all=true", fields).head.status, 403, "{fields}");
    }
    assert!(server.get("/a").cache_status().starts_with("tiergate; hit"), "nothing was purged");
}

/// With a token in a file, nothing but probes is answered without it.
#[test]
fn a_token_is_asked_for() {
    let origin = Origin::fixed(FRESH, b"hello".to_vec());
    let site = Site::new();
    let file = site.path().join("token");
    fs::write(&file, "0123456789abcdef\n").expect("a file of ours");
    let admin = format!("admin: {{ listen: \"0.0.0.0:0\", token_file: {file:?} }}\n");
    let server = in_memory(&site, origin.address, &admin);
    server.get("/a");
    let with = |token: &str| format!("Authorization: Bearer {token}\r\n");
    for more in [String::new(), with("0123456789abcdeF")] {
        let metrics = ask(&server, "edge", "GET", "/metrics", &more);
        assert_eq!((metrics.head.status, metrics.head.field("www-authenticate")), (401, "Bearer".to_owned()));
        assert_eq!(ask(&server, "edge", "POST", "/purge?all=true", &more).head.status, 401);
    }
    assert!(server.get("/a").cache_status().starts_with("tiergate; hit"), "nothing was purged");
    assert_eq!(ask(&server, "edge", "GET", "/readyz", "").head.status, 200);
    let right = with("0123456789abcdef");
    assert_eq!(ask(&server, "edge", "GET", "/metrics", &right).head.status, 200);
    assert_eq!(ask(&server, "edge", "POST", "/purge?all=true", &right).head.status, 200);
    assert!(!server.get("/a").cache_status().starts_with("tiergate; hit"));
}

/// What is wrong with the listener, its token or the access log ends the server before it serves, and says
/// which key to change.
#[test]
fn a_listener_that_cannot_be_is_told() {
    let site = Site::new();
    let (config, token) = (site.path().join("c.yaml"), site.path().join("token"));
    fs::write(&token, "short\n").expect("a file of ours");
    let cases = [
        (
            "admin: { token_file: /nowhere/token }",
            2,
            "`admin.token_file` is /nowhere/token, which cannot be read: ",
        ),
        (
            &format!("admin: {{ token_file: {token:?} }}"),
            2,
            "which must have 16 to 1024 visible ASCII characters",
        ),
        ("access_log: { file: /nowhere/log }", 1, "choose another `access_log.file`"),
    ];
    for (section, code, words) in cases {
        let text = format!("listen: 127.0.0.1:0\norigin: http://127.0.0.1:1\n{section}\n");
        fs::write(&config, text).expect("a file of ours");
        let output = tiergate(&["serve", "-c", config.to_str().expect("temporary paths are UTF-8")]);
        let message = String::from_utf8(output.stderr).expect("messages are text");
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(words), "{message}");
        assert_eq!((message.lines().count(), output.stdout), (1, Vec::new()), "{message}");
    }
}

/// An admin port that is taken is told by its own key.
#[test]
fn a_taken_admin_port_is_told() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let config = site.path().join("c.yaml");
    let text =
        format!("listen: 127.0.0.1:0\norigin: http://127.0.0.1:1\nadmin: {{ listen: \"{address}\" }}\n");
    fs::write(&config, text).expect("a file of ours");
    let output = tiergate(&["serve", "-c", config.to_str().expect("temporary paths are UTF-8")]);
    let message = String::from_utf8(output.stderr).expect("messages are text");
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(&format!("cannot listen on {address}: ")), "{message}");
    assert!(message.contains("with `admin.listen`"), "{message}");
}

/// A head without end is not read without end.
#[test]
fn a_head_that_is_too_long_is_refused() {
    let origin = Origin::fixed(FRESH, Vec::new());
    let site = Site::new();
    let server = in_memory(&site, origin.address, ADMIN);
    let mut stream = TcpStream::connect(server.admin()).expect("the admin listener listens");
    let line = format!("X: {}\r\n", "x".repeat(1000));
    let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", line.repeat(30));
    // The listener may close before it has read everything.
    drop(stream.write_all(head.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(server.ask_admin("GET", "/healthz", "").head.status, 200);
}
