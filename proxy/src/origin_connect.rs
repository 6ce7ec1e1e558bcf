//! Connections to the origin: TCP, and TLS over it where the origin's URL says `https`.

use crate::{
    config::{OriginAddress, OriginTls},
    verified::{RootsError, Server, Verified},
};
use std::io;
use tiergate_tiers::{Connect, TcpConnect, http_head::Scheme};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// Connects to one origin.
#[derive(Clone)]
pub struct OriginConnect {
    tls: Option<Verified>,
}

impl OriginConnect {
    /// Without TLS.
    pub const fn in_clear_text() -> Self {
        Self { tls: None }
    }

    /// Whom to trust is read once.
    ///
    /// # Errors
    /// The origin is `https`, and there is nobody to trust.
    pub fn new(origin: &OriginAddress, tls: &OriginTls) -> Result<Self, RootsError> {
        if origin.scheme() == Scheme::Http {
            return Ok(Self::in_clear_text());
        }
        let server = Server {
            says: "`origin` is https",
            host: origin.host(),
            ca_key: "origin_tls.ca_file",
            ca_file: tls.ca_file.as_deref(),
        };
        Ok(Self { tls: Some(server.verified()?) })
    }
}

impl Connect for OriginConnect {
    type Stream = Either<TcpStream, TlsStream<TcpStream>>;

    async fn connect(&self, authority: &str) -> io::Result<Self::Stream> {
        let stream = TcpConnect.connect(authority).await?;
        match &self.tls {
            None => Ok(Either::Left(stream)),
            Some(Verified { connector, name }) => {
                let stream = connector.connect(name.clone(), stream).await.inspect_err(|error| {
                    tracing::debug!(%error, "the origin's side of a handshake was not as it must be");
                })?;
                Ok(Either::Right(stream))
            }
        }
    }
}
