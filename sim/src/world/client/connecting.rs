//! How a client connects: in clear text or over TLS, and as a load balancer that says whose a connection is.

use super::{Client, odd};
use crate::world::{
    links::End,
    origin::forwarded::CLIENTS_OF_BALANCERS,
    stage::{PORT, TLS_PORT, edge_name},
    tls,
    workload::{Job, Wants},
};
use std::net::Ipv4Addr;
use tiergate_config::ToldBy;
use tiergate_proxy::front::Dialled;
use tiergate_scenarios::Link;
use tiergate_tiers::Connect;
use tokio::io::AsyncWriteExt as _;

/// How version 2 of the PROXY protocol begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// `PROXY`, and TCP over IPv4.
const COMMAND_AND_FAMILY: [u8; 2] = [0x21, 0x11];
/// One of the fields that may follow the addresses: `PP2_TYPE_NOOP`, three bytes.
const NOOP: [u8; 6] = [4, 0, 3, 0, 0, 0];

/// What a load balancer says before a connection's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Nothing.
    None,
    /// Whose the connection is.
    Right,
    /// What is no header: the edge has to close the connection.
    Malformed,
}

/// Headers that are none: what a client sends that speaks to the edge itself, addresses that are none, a
/// version that there is not, and addresses that are cut off.
const MALFORMED: [&[u8]; 4] = [
    b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n",
    b"PROXY TCP4 198.51.100.1 somewhere 4000 80\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xc6\x33\x64\x01\xc0\0\x02\x01\x0f\xa0\0\x50",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc6\x33\x64\x01",
];

impl Client {
    /// What a load balancer says before this request. One odd request in four begins with what is no header.
    pub(super) fn header(&self, job: Job) -> Header {
        match self.stage.scenario.told_by {
            ToldBy::Connection => Header::None,
            ToldBy::ProxyProtocol if job.is_odd() && number(job).is_multiple_of(4) => Header::Malformed,
            ToldBy::ProxyProtocol => Header::Right,
        }
    }

    /// The one of a load balancer's clients who makes this request.
    pub(super) fn balanced(job: Job) -> String {
        format!("{CLIENTS_OF_BALANCERS}{}", number(job) % 250)
    }

    /// Connects to the edge that the request is for.
    pub(super) async fn connect(&self, job: Job) -> Option<Box<dyn Dialled>> {
        let wire = self.stage.wire(Link::Clients, job.edge, End::Far);
        let port = if job.is_tls { TLS_PORT } else { PORT };
        let mut stream = wire.connect(&format!("{}:{port}", edge_name(job.edge))).await.ok()?;
        match self.header(job) {
            Header::None => {}
            Header::Right => stream.write_all(&header(job)).await.ok()?,
            Header::Malformed => {
                let number = usize::try_from(number(job) / 4).unwrap_or_default();
                stream.write_all(MALFORMED[number % MALFORMED.len()]).await.ok()?;
            }
        }
        if !job.is_tls {
            return Some(Box::new(stream));
        }
        let encrypted = tls::of_client(speaks_http2(job)).connect(tls::name(), stream).await.ok()?;
        Some(Box::new(encrypted))
    }
}

/// Odd requests are written in the one that they are about.
fn speaks_http2(job: Job) -> bool {
    if let Wants::Odd(number) = job.wants { odd::is_of_http2(number) } else { job.is_http2 }
}

/// A number that is as good as drawn.
fn number(job: Job) -> u64 {
    7 * job.at_ms + u64::from(job.object)
}

/// Whose the connection is, in version 1, in version 2, and in version 2 with more behind it.
fn header(job: Job) -> Vec<u8> {
    let client: Ipv4Addr = Client::balanced(job).parse().expect("it is an address");
    let version_2 = |more: &[u8]| {
        let rest = [&client.octets()[..], &[192, 0, 2, 1], &[0x0f, 0xa0, 0, 80], more].concat();
        let length = u16::try_from(rest.len()).expect("a header is short").to_be_bytes();
        [SIGNATURE, &COMMAND_AND_FAMILY, &length, &rest].concat()
    };
    match number(job) % 3 {
        0 => format!("PROXY TCP4 {client} 192.0.2.1 4000 80\r\n").into_bytes(),
        1 => version_2(&[]),
        _ => version_2(&NOOP),
    }
}
