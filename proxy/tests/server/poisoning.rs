//! What one client sends must not change what another one is answered: keys, hosts, fields, personal pages.

use crate::{
    harness::{Asked, Origin, Site, respond},
    raw::exchange,
};

/// An origin that answers with the target that it was asked for.
fn echo(fields: &'static str) -> Origin {
    Origin::start(move |asked, stream| {
        respond(stream, fields, asked.target.len(), asked.target.as_bytes());
    })
}

/// A target is keyed as it is written, byte by byte, and the origin is asked for exactly these bytes, whether
/// it is fetched or passed: nothing is decoded, joined or resolved in between.
#[test]
fn a_target_is_keyed_and_forwarded_as_it_is_written() {
    let origin = echo("Cache-Control: max-age=60\r\n");
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let targets = [
        "/a",
        "//a",
        "/a/",
        "/a//",
        "/./a",
        "/b/../a",
        "/%2e%2e/a",
        "/b/%2e%2e/a",
        "/%61",
        "/A",
        "/a%2fb",
        "/a%2Fb",
        "/a/b",
        "/a;b",
        "/a;/../b",
        "/a%3bb",
        "/a?",
        "/a??",
        "/a?&",
        "/a?b",
        "/a?b=",
        "/a?b=c&d=e",
        "/a?d=e&b=c",
        "/a?b=c;d=e",
        "/a?b=c&b=d",
        "/a?b=%63",
        "/a?b=c%26d=e",
        "/a%3fb",
        "/a%23b",
        "/a%00",
        "/a%0a",
        "/a%0d%0aX:y",
        "/a+b",
        "/a%20b",
        "/a*",
        "/a:80",
        "/a@b",
        "/http://evil/a",
        "/a?http://evil/",
        "/a|b",
        "/{a}",
        "/a\"b",
    ];
    let mut fetched = Vec::new();
    for target in targets {
        let first = server.get(target);
        // A few no URL may have (RFC 3986 section 2), and are refused.
        if first.head.status == 400 {
            assert!(target.contains(['|', '{', '"']), "{target}");
            continue;
        }
        fetched.push(target);
        assert_eq!(
            (first.text(), &*first.cache_status()),
            (target, "tiergate; fwd=uri-miss; detail=storing")
        );
        let second = server.get(target);
        assert_eq!(second.text(), target);
        assert!(second.cache_status().contains("; hit; "), "{target}: {}", second.cache_status());
    }
    assert_eq!(origin.targets(), fetched);
    for target in &fetched {
        assert_eq!(server.request("POST", target, "Content-Length: 0\r\n").text(), *target);
    }
    assert_eq!(origin.targets()[fetched.len()..], fetched);
}

/// A host is a name or an address with an optional port, whole: whatever else stands there is refused, in the
/// field and in the target.
#[test]
fn a_host_is_a_host() {
    let origin = echo("Cache-Control: max-age=60\r\n");
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for host in [
        "a@b",
        "user:pass@a",
        "a#b",
        "a/b",
        "a\\b",
        "a?b",
        "a,b",
        "a b",
        "a\tb",
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a%00",
        "a%2eb",
        "a:80:80",
        "a:-1",
        "a:+80",
        "a:65536",
        "a:x",
        ":80",
        "[::1",
        "::1",
        "[::1]x",
        "[::1%25eth0]",
        "[a]",
        "http://a",
        "\u{e4}",
        "a'b",
        "a\"b",
        "a;b",
        "a$b",
    ] {
        for request in [
            format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"),
        ] {
            let answer = exchange(&server, request.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400 "), "{host}: {answer}");
            assert!(answer.contains("detail=bad-host\r\n"), "{host}: {answer}");
        }
        let target = format!("GET http://{host}/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = exchange(&server, target.as_bytes());
        // Some of them end before the path begins, and then the host is the rest.
        let is_other = ["a/b", "a?b", "http://a"].contains(&host);
        assert!(is_other || answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
        let head =
            |asked: &Asked| asked.head.contains("host: a\r\n") || asked.head.contains("host: http\r\n");
        assert!(!is_other || origin.asked().last().is_some_and(head), "{target}");
    }
    let before = origin.targets().len();
    for (host, other) in [("a.example", "A.EXAMPLE.:80"), ("[::1]:81", "[0:0::1]:81"), ("[::1]", "[::1]:80")]
    {
        assert_eq!(server.get_from(host, "/h").head.status, 200);
        let hit = server.get_from(other, "/h");
        assert!(hit.cache_status().contains("; hit; "), "{other}: {hit:?}");
    }
    assert_eq!(origin.targets().len(), before + 3);
}

/// A target that names a host wins over `Host`, which must be one all the same; and the origin hears of that
/// one only.
#[test]
fn a_target_that_names_a_host_wins() {
    let origin = echo("Cache-Control: no-store\r\n");
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for method in ["GET", "POST"] {
        let request = format!(
            "{method} http://good.example/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        assert!(exchange(&server, request.as_bytes()).starts_with("HTTP/1.1 200 "));
    }
    for asked in origin.asked() {
        assert_eq!(asked.target, "/a");
        let head = asked.head.to_ascii_lowercase();
        assert!(head.contains("host: good.example\r\n") && !head.contains("evil"), "{head}");
    }
    let two = b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    assert!(exchange(&server, two).contains("detail=many-hosts\r\n"));
}

/// Fields that no key has and that applications take for a part of the request reach no origin, whether it is
/// fetched or passed; an override of the method only where the request may change something anyway.
#[test]
fn fields_that_make_it_another_request_go_nowhere() {
    let origin = echo("Cache-Control: max-age=60\r\n");
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let names = [
        "X-Forwarded-Host",
        "X-Forwarded-Server",
        "X-Forwarded-Scheme",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Path",
        "X-Forwarded-Uri",
        "X-Forwarded-Ssl",
        "X-Host",
        "X-Original-Host",
        "X-Original-URL",
        "X-Original-URI",
        "X-Rewrite-URL",
        "X-Override-URL",
        "X-Url-Scheme",
        "X-Real-IP",
        "Forwarded",
        "Front-End-Https",
        "Proxy",
        "X-Middleware-Subrequest",
        "X_Forwarded_Host",
        "x_original_url",
        "Content_Length",
        "Transfer_Encoding",
        "Host_",
        "Cookie_",
        "X-Harmless",
    ];
    let lines: String = names.iter().map(|name| format!("{name}: evil-{name}\r\n")).collect();
    let overrides = "X-HTTP-Method-Override: PURGE\r\nX-HTTP-Method: PURGE\r\nX_Method_Override: PURGE\r\n";
    for (method, more) in [
        ("GET", ""),
        ("GET", "Range: bytes=0-0\r\n"),
        ("GET", "Upgrade: websocket\r\nConnection: upgrade, close\r\n"),
        ("HEAD", ""),
        ("OPTIONS", ""),
        ("POST", "Content-Length: 0\r\n"),
    ] {
        let answer = exchange(
            &server,
            format!(
                "{method} /a?{} HTTP/1.1\r\nHost: a\r\n{lines}{overrides}{more}{}\r\n",
                more.len(),
                if more.contains("upgrade") { "" } else { "Connection: close\r\n" }
            )
            .as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        let asked = origin.asked().pop().expect("it was asked");
        let evil: Vec<_> = asked.head.lines().filter(|line| line.contains("evil")).collect();
        assert_eq!(evil.len(), 3, "{method}: {evil:?}");
        for harmless in ["evil-X-Harmless", "evil-Host_", "evil-Cookie_"] {
            assert!(evil.iter().any(|line| line.ends_with(harmless)), "{method}: {evil:?}");
        }
        let overridden = asked.head.matches("PURGE").count();
        assert_eq!(overridden, if method == "POST" { 3 } else { 0 }, "{}", asked.head);
    }
}

/// The list is the operator's: it takes the place of the default, on both ways to the origin.
#[test]
fn what_is_not_passed_on_is_configured() {
    let origin = echo("Cache-Control: max-age=60\r\n");
    let site = Site::new();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\nforward: {{ remove: [X-Own] }}\n",
        origin.address
    ));
    for method in ["GET", "POST"] {
        let lines =
            "X-Own: gone\r\nX-Forwarded-Prefix: kept\r\nX-Forwarded-Host: gone\r\nContent-Length: 0\r\n";
        assert_eq!(server.request(method, "/a", lines).head.status, 200);
        let head = origin.asked().pop().expect("it was asked").head;
        assert!(head.contains("kept") && !head.contains("gone"), "{method}: {head}");
    }
}

/// A `GET` with a body is passed with it, and its answer is nobody else's.
#[test]
fn a_get_with_a_body_poisons_nothing() {
    let origin = Origin::start(|asked, stream| {
        let body = [asked.target.as_bytes(), b" ", &asked.body].concat();
        respond(stream, "Cache-Control: max-age=60\r\n", body.len(), &body);
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    let fat = server.request("GET", "/a", "Content-Length: 4\r\n\r\nevil");
    assert_eq!(fat.text(), "/a evil");
    assert_eq!(server.get("/a").text(), "/a ", "the other one was not stored");
    assert!(server.get("/a").cache_status().contains("; hit; "));
    let fat = server.request("GET", "/a", "Content-Length: 4\r\n\r\nevil");
    assert_eq!(fat.text(), "/a evil", "nor does what is stored answer it");
    assert_eq!(server.get("/a").text(), "/a ");
}

/// A personal page is not stored because its URL looks like a file's, as far as the origin says in any way
/// that it is one's own: cookies it sets, cookies it was sent with no lifetime in the answer, or a directive.
#[test]
fn a_personal_page_is_not_stored_for_its_name() {
    let origin = Origin::start(|asked, stream| {
        let alice = asked.head.to_ascii_lowercase().contains("cookie: alice");
        let body = if alice { "alice's" } else { "a stranger's" };
        let kind = asked.target.rsplit('?').next().expect("a query");
        let fields = match kind {
            "sets" => "Set-Cookie: session=1\r\nCache-Control: max-age=60\r\n",
            "guessed" => "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
            "none" => "",
            "private" => "Cache-Control: private, max-age=60\r\n",
            "no-store" => "Cache-Control: no-store, max-age=60\r\n",
            other => panic!("{other}"),
        };
        respond(stream, fields, body.len(), body.as_bytes());
    });
    let site = Site::new();
    let server = site.serve_from_memory(origin.address);
    for kind in ["sets", "guessed", "none", "private", "no-store"] {
        for path in [
            "/account.php/x.css",
            "/account%0ax.css",
            "/account;x.css",
            "/account%3bx.css",
            "/account%00.js",
            "/account/..%2fx.js",
        ] {
            let target = format!("{path}?{kind}");
            for _ in 0..2 {
                let page = server.request("GET", &target, "Cookie: alice=1\r\n");
                assert_eq!((page.head.status, page.text()), (200, "alice's"), "{target}");
            }
            assert_eq!(server.get(&target).text(), "a stranger's", "{target}");
        }
    }
}
