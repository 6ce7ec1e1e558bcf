//! A real Redis for a test.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A `redis-server` that ends with the test.
pub(crate) struct Redis {
    pub(crate) process: Child,
    pub(crate) port: u16,
    _directory: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with("--port", &[])
    }

    /// One whose port is given by this option, with more of them. Somebody may take the port that was found,
    /// before it does: then on another one.
    pub(crate) fn start_with(port: &str, more: &[&str]) -> Self {
        let started = (0..10).find_map(|_| Self::try_start(port, more));
        started.expect("one of ten free ports stays free for a moment")
    }

    fn try_start(option: &str, more: &[&str]) -> Option<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        Self::try_start_at(port, option, more)
    }

    /// On the port where one was before.
    pub(crate) fn start_at(port: u16) -> Self {
        Self::try_start_at(port, "--port", &[]).expect("the port was a server's that has ended")
    }

    fn try_start_at(port: u16, option: &str, more: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", option, &port.to_string(), "--dir"])
            .arg(directory.path())
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("`redis-server` must be on the path: `scripts/need redis-server` installs it");
        let said = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let is_ready = |line: &String| line.contains("eady to accept connections");
        let is_up = said.lines().map_while(Result::ok).any(|line| is_ready(&line));
        is_up.then_some(Self { process, port, _directory: directory })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
