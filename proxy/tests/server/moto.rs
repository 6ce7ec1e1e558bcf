//! A real S3 server for a test: moto.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

/// A server that takes every signature, and ends with the test.
pub(crate) struct Moto {
    process: Child,
    address: String,
}

impl Moto {
    /// One with a bucket of this name, which is empty.
    pub(crate) fn start(bucket: &str) -> Self {
        let program = PathBuf::from(env::var_os("HOME").expect("a user has a home"))
            .join(".cache/tiergate/tools/moto-5.2.5/bin/moto_server");
        let mut process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} must be there: `scripts/moto` installs it ({error})", program.display())
            });
        let mut said = BufReader::new(process.stderr.take().expect("its output is a pipe"));
        let address = said.by_ref().lines().map_while(Result::ok).find_map(|line| {
            line.split_once("Running on http://").map(|(_, address)| address.trim().to_owned())
        });
        // It tells of each request, and would wait for a reader.
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        let moto = Self { process, address: address.expect("moto says where it listens") };
        moto.ask("PUT", &format!("/{bucket}"));
        moto
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A request that nobody signs; what was answered.
    pub(crate) fn ask(&self, method: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head =
            format!("{method} {target} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers in text");
        assert!(answer.lines().next().is_some_and(|line| line.contains(" 200 ")), "{answer}");
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
