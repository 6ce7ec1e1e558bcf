//! A client that sends what no client of HTTP would.

use crate::harness::Server;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Far more than anything here takes: a test that hangs fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that gives up on silence.
pub(crate) fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    stream
}

/// Sends these bytes, and reads everything until the connection ends.
pub(crate) fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(bytes).expect("the server reads");
    read_to_end(&mut stream)
}

/// Everything that comes until the connection ends.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    let mut came = Vec::new();
    stream.read_to_end(&mut came).expect("the server answers, and closes");
    String::from_utf8(came).expect("an answer of this server's own is text")
}

/// Sends one byte of `bytes` after the other, each after a little silence, until the server answers or closes:
/// what it said. `None` if it took all of them.
pub(crate) fn drip(stream: &mut TcpStream, bytes: &[u8]) -> Option<String> {
    let mut answer = [0; 1];
    for byte in bytes {
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a time that is not zero");
        match stream.read(&mut answer) {
            Ok(0) => return Some(String::new()),
            Ok(_) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
                return Some(char::from(answer[0]).to_string() + &read_to_end(stream));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => panic!("the server broke off without a word: {error}"),
        }
        if stream.write_all(&[*byte]).is_err() {
            return Some(String::new());
        }
    }
    None
}
