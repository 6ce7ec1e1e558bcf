//! TLS on both sides: towards clients, with HTTP/2 for those who speak it, and towards an origin.

use crate::harness::{Origin, Server, Site};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};
use tokio::io::AsyncWriteExt as _;

/// A certificate for one name that nobody vouches for but itself, in files.
pub(crate) struct Certified {
    pub(crate) name: &'static str,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certified {
    pub(crate) fn new(directory: &Path, name: &'static str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = |kind: &str, text: String| {
            let file = directory.join(format!("{name}.{kind}"));
            std::fs::write(&file, text).expect("a file in a directory of ours");
            file
        };
        Self { name, certificate: file("pem", certificate.pem()), key: file("key", key.serialize_pem()) }
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.certificate).expect("it was just written")
    }

    pub(crate) fn files(&self) -> String {
        format!("{{ certificate: {:?}, key: {:?} }}", self.certificate, self.key)
    }
}

/// Where the server listens for TLS.
pub(crate) fn encrypted(server: &Server) -> SocketAddr {
    let (_, rest) = server.line.split_once("https://").expect("it listens for TLS");
    rest.split(',').next().and_then(|text| text.trim().parse().ok()).expect("an address")
}

/// What a client sends beside its request.
#[derive(Default)]
pub(crate) struct Said {
    /// Before the handshake.
    pub(crate) first: &'static [u8],
    /// More field lines.
    pub(crate) fields: &'static [(&'static str, &'static str)],
}

/// One answer over TLS: its status, `Cache-Status` and body, in the protocol that was asked for.
pub(crate) fn get(
    address: SocketAddr,
    name: &str,
    root: CertificateDer<'static>,
    alpn: &str,
    said: Said,
) -> Result<(u16, String, Bytes), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut roots = RootCertStore::empty();
        roots.add(root).expect("it is a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider's own")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
        stream.write_all(said.first).await.expect("the server has room for it");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let server_name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = connector.connect(server_name, stream).await.map_err(|error| error.to_string())?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
        let stream = TokioIo::new(stream);
        let request =
            http::Request::get(if alpn == "h2" { format!("https://{name}/a") } else { "/a".to_owned() });
        let request = if alpn == "h2" { request } else { request.header("host", name) };
        let request =
            said.fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Empty::<Bytes>::new()).expect("it is right");
        let response = if alpn == "h2" {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.expect("HTTP/1");
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let response = response.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let cache = response.headers()["cache-status"].to_str().expect("it is text").to_owned();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, cache, body))
    })
}

/// Both protocols are served from one cache, under the certificate for the name that is asked for; the clear
/// text of the same name is another object.
#[test]
fn clients_are_served_over_tls_in_both_protocols() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", b"hello".to_vec());
    let site = Site::new();
    let (one, two) = (Certified::new(site.path(), "one.example"), Certified::new(site.path(), "two.example"));
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\ntls: {{ listen: 127.0.0.1:0, certificates: [{}, {}] }}\n",
        origin.address,
        one.files(),
        two.files()
    ));
    let address = encrypted(&server);
    for certified in [&one, &two] {
        for (alpn, hit) in [("http/1.1", false), ("h2", true), ("http/1.1", true), ("h2", true)] {
            let (status, cache, body) =
                get(address, certified.name, certified.root(), alpn, Said::default()).expect("an answer");
            assert_eq!((status, &*body), (200, &b"hello"[..]), "{alpn}");
            assert_eq!(cache.contains("; hit; "), hit, "{} {alpn}: {cache}", certified.name);
        }
    }
    assert!(
        get(address, "one.example", two.root(), "h2", Said::default()).is_err(),
        "nobody else's certificate is shown"
    );
    let clear = server.send_to("one.example", "GET", "/a", "").head("GET");
    assert!(!clear.field("cache-status").contains("; hit"), "{clear:?}");
    let told: Vec<_> = origin.asked().iter().map(|asked| asked.head.to_ascii_lowercase()).collect();
    assert_eq!(told.len(), 3);
    for (head, proto) in told.iter().zip(["https", "https", "http"]) {
        assert!(head.contains(&format!("x-forwarded-proto: {proto}\r\n")), "{head}");
        assert!(head.contains("host: one.example\r\n") || head.contains("host: two.example\r\n"), "{head}");
    }
}

/// A certificate that is replaced is shown from the signal on; one that is broken is not, and the old one
/// stays.
#[test]
fn certificates_are_read_anew() {
    let origin = Origin::fixed("Cache-Control: max-age=600\r\n", b"hello".to_vec());
    let site = Site::new();
    let old = Certified::new(site.path(), "one.example");
    let old_root = old.root();
    let server = site.start(&format!(
        "listen: 127.0.0.1:0\norigin: http://{}\ntls: {{ listen: 127.0.0.1:0, certificates: [{}] }}\n",
        origin.address,
        old.files()
    ));
    let address = encrypted(&server);
    let new = Certified::new(site.path(), "one.example");
    assert!(
        get(address, "one.example", old_root, "h2", Said::default()).is_ok(),
        "files are not read before they are said to be new"
    );
    server.signal("HUP");
    site.wait_for_log("SIGHUP: the certificates were read anew");
    assert!(get(address, "one.example", new.root(), "h2", Said::default()).is_ok());
    let root = new.root();
    std::fs::write(&new.key, "no key").expect("a file of ours");
    server.signal("HUP");
    site.wait_for_log("the certificates stay as they were");
    assert!(get(address, "one.example", root, "h2", Said::default()).is_ok());
}

/// What is wrong with a certificate is said with its file, before anybody is served.
#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let site = Site::new();
    let (one, two) = (Certified::new(site.path(), "one.example"), Certified::new(site.path(), "two.example"));
    let file = site.path().join("wrong.yaml");
    let wrong = |certificate: &Path, key: &Path| {
        let text = format!(
            "listen: 127.0.0.1:0\norigin: http://127.0.0.1:1\ntls: {{ listen: 127.0.0.1:0, certificates: [{{ certificate: {certificate:?}, key: {key:?} }}] }}\n"
        );
        std::fs::write(&file, text).expect("a file of ours");
        let output = crate::harness::tiergate(&["serve", "-c", file.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let absent = site.path().join("absent.pem");
    for (certificate, key, named) in [
        (&absent, &one.key, &absent),
        (&one.key, &one.key, &one.key),
        (&one.certificate, &absent, &absent),
        (&one.certificate, &two.key, &two.key),
    ] {
        let message = wrong(certificate, key);
        assert!(
            message.contains("`tls.certificates`") && message.contains(&*named.to_string_lossy()),
            "{message}"
        );
    }
}

/// An origin that answers over TLS with one certificate, and how often it was asked.
fn encrypted_origin(certified: &Certified) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let key = PrivateKeyDer::from_pem_file(&certified.key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider's own")
        .with_no_client_auth()
        .with_single_cert(vec![certified.root()], key)
        .expect("they belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, log) = (Arc::clone(&config), Arc::clone(&log));
            thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("a configuration that is right");
                let mut reader = BufReader::new(StreamOwned::new(connection, stream.expect("a connection")));
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    // A client that does not trust this origin closes.
                    if !matches!(reader.read_line(&mut head), Ok(count) if count > 0) {
                        return;
                    }
                }
                let length =
                    if head.contains("content-length: 1\r\n") || head.contains("Content-Length: 1\r\n") {
                        1
                    } else {
                        0
                    };
                reader.read_exact(&mut vec![0; length]).expect("the body");
                log.lock().expect("no test panics with it").push(head);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\nConnection: close\r\n\r\nok";
                reader.get_mut().write_all(answer).expect("the server reads");
                reader.get_mut().conn.send_close_notify();
                drop(reader.get_mut().flush());
            });
        }
    });
    (address, asked)
}

/// An origin is asked over TLS, around the cache as well, and told the name that is configured; one that
/// nobody vouches for is not asked, and the client hears that it cannot be reached.
#[test]
fn an_origin_is_asked_over_tls_and_verified() {
    let site = Site::new();
    let certified = Certified::new(site.path(), "localhost");
    let (address, asked) = encrypted_origin(&certified);
    let config =
        |more: &str| format!("listen: 127.0.0.1:0\norigin: https://localhost:{}\n{more}", address.port());
    let trusting =
        format!("origin_tls: {{ ca_file: {:?} }}\norigin_host: bucket.example\n", certified.certificate);
    let server = site.start(&config(&trusting));
    assert_eq!(server.get("/a").head.status, 200);
    assert!(server.get("/a").cache_status().contains("; hit; "));
    assert_eq!(server.request("POST", "/b", "Content-Length: 1\r\n\r\nx").head.status, 200);
    let heads = asked.lock().expect("no test panics with it").clone();
    assert_eq!(heads.len(), 2);
    for head in heads {
        assert!(head.to_ascii_lowercase().contains("host: bucket.example\r\n"), "{head}");
    }
    let other = Certified::new(site.path(), "other.example");
    let distrusting = format!("origin_tls: {{ ca_file: {:?} }}\n", other.certificate);
    let server = site.start(&config(&distrusting));
    for (method, more) in [("GET", ""), ("POST", "Content-Length: 1\r\n\r\nx")] {
        assert_eq!(server.request(method, "/a", more).head.status, 502, "{method}");
    }
    assert_eq!(asked.lock().expect("no test panics with it").len(), 2);
}
