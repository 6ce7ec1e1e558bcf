//! A real S3 server for a test: moto.

use super::*;
use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Requests that nobody signs: to make the bucket, the user, the key and what it may do.
const UNSIGNED: &str = "4";

/// A server that ends with the test.
pub(super) struct Moto {
    process: Child,
    address: String,
}

impl Moto {
    /// One that takes every signature, with an empty bucket.
    pub(super) fn start() -> Self {
        let moto = Self::start_with(None);
        moto.ask("PUT", &format!("/{BUCKET}"), "s3", "");
        moto
    }

    /// One that takes one key, whose secret it gives, with an empty bucket.
    pub(super) fn start_locked() -> (Self, S3Credentials) {
        let moto = Self::start_with(Some(UNSIGNED));
        moto.ask("PUT", &format!("/{BUCKET}"), "s3", "");
        let iam =
            |action: &str| moto.ask("POST", "/", "iam", &format!("{action}&UserName=t&Version=2010-05-08"));
        iam("Action=CreateUser");
        let key = iam("Action=CreateAccessKey");
        let part = |name: &str| {
            let rest = key.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
            let found = rest.and_then(|rest| rest.split_once("</"));
            found.unwrap_or_else(|| panic!("no {name} in {key}")).0.to_owned()
        };
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22\
                      Action%22%3A%22s3%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
        iam(&format!("Action=PutUserPolicy&PolicyName=all&PolicyDocument={policy}"));
        let (access_key_id, secret_access_key) = (part("AccessKeyId"), part("SecretAccessKey"));
        (moto, S3Credentials { access_key_id, secret_access_key, session_token: None })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn start_with(unsigned: Option<&str>) -> Self {
        let program = PathBuf::from(env::var_os("HOME").expect("a user has a home"))
            .join(".cache/tiergate/tools/moto-5.2.5/bin/moto_server");
        let mut command = Command::new(&program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(unsigned) = unsigned {
            command.env("INITIAL_NO_AUTH_ACTION_COUNT", unsigned);
        }
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{} must be there: `scripts/moto` installs it ({error})", program.display())
        });
        let mut said = BufReader::new(process.stderr.take().expect("its output is a pipe"));
        let mut lines = String::new();
        let address = loop {
            let begin = lines.len();
            if said.read_line(&mut lines).expect("it writes text") == 0 {
                drop(process.wait());
                panic!("moto ended before it was ready: {lines}");
            }
            if let Some((_, address)) = lines[begin..].split_once("Running on http://") {
                break address.trim().to_owned();
            }
        };
        // It tells of each request, and would wait for a reader.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { process, address }
    }

    /// A request past the client, whose signature is none; what was answered.
    fn ask(&self, method: &str, path: &str, service: &str, form: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let key = format!("Credential=t/20260101/us-east-1/{service}/aws4_request");
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: AWS4-HMAC-SHA256 {key}, SignedHeaders=host, \
             Signature=0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.address,
            form.len()
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.lines().next().is_some_and(|line| line.contains(" 200 ")), "{answer}");
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
