//! A real `redis-server` for a test, on a socket in a directory of its own.

use crate::connect::Connect;
use std::{
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;
use tokio::net::UnixStream;

/// A `redis-server` that ends with the test.
pub(crate) struct Server {
    process: Child,
    directory: TempDir,
}

impl Server {
    /// A new one, empty.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("the system has a place for temporary files");
        Self { process: run_in(&directory), directory }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub(crate) fn stop(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// At the same place, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.process = run_in(&self.directory);
    }

    /// Leads to it, whatever authority is asked for.
    pub(crate) fn connect(&self) -> UnixConnect {
        UnixConnect(self.socket())
    }

    /// Asks the server past a client of ours.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&[u8]]) -> T {
        let url = format!("unix://{}", self.socket().display());
        let client = redis::Client::open(url).expect("the path is a URL");
        let mut connection = client.get_connection().expect("the server runs");
        let mut words = redis::cmd(std::str::from_utf8(command[0]).expect("a command is ASCII"));
        for word in &command[1..] {
            words.arg(*word);
        }
        words.query(&mut connection).expect("the server answers")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been stopped by the test.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn run_in(directory: &TempDir) -> Child {
    let mut process = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(directory.path().join("socket"))
        .arg("--dir")
        .arg(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`redis-server` must be on the path for this test: install it, e.g. `apt-get install redis-server`");
    let said = process.stdout.take().expect("its output is a pipe");
    let mut lines = Vec::new();
    for line in BufReader::new(said).lines() {
        let line = line.expect("it writes text");
        if line.contains("eady to accept connections") {
            return process;
        }
        lines.push(line);
    }
    drop(process.wait());
    panic!("redis-server ended before it was ready: {lines:#?}");
}

/// Leads to one socket.
pub(crate) struct UnixConnect(PathBuf);

impl Connect for UnixConnect {
    type Stream = UnixStream;

    async fn connect(&self, _: &str) -> io::Result<UnixStream> {
        UnixStream::connect(&self.0).await
    }
}
