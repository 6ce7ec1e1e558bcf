//! Connections to the servers that stores are on: TCP, and TLS over it where the configuration says so.

use crate::{
    config::Encryption,
    verified::{RootsError, Server, Verified},
};
use std::io;
use tiergate_tiers::{Connect, TcpConnect};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// How a client of PostgreSQL asks for TLS: the length of this message, and a number that is no version.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// The server's consent. Whatever else it says, the connection is of no use.
const TLS_CONSENT: u8 = b'S';

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With the first byte.
    AtOnce,
    /// Once a PostgreSQL server has agreed to it.
    OnConsent,
}

/// Connects to one server.
#[derive(Clone)]
pub struct StoreConnect {
    tls: Option<(Verified, Begin)>,
}

impl StoreConnect {
    /// Without TLS.
    pub(crate) const fn in_clear_text() -> Self {
        Self { tls: None }
    }

    /// Whom to trust is read once. `key` is where the server is configured.
    ///
    /// # Errors
    /// It is spoken to over TLS, and there is nobody to trust.
    pub(crate) fn new(
        key: &str,
        host: &str,
        encryption: &Encryption,
        begin: Begin,
    ) -> Result<Self, RootsError> {
        let Encryption::Tls { ca_file } = encryption else { return Ok(Self::in_clear_text()) };
        let server =
            Server { says: &format!("`{key}` is over TLS"), host, ca_key: &format!("{key}.ca_file") };
        Ok(Self { tls: Some((server.verified(ca_file.as_deref())?, begin)) })
    }
}

impl Connect for StoreConnect {
    type Stream = Either<TcpStream, TlsStream<TcpStream>>;

    async fn connect(&self, authority: &str) -> io::Result<Self::Stream> {
        let mut stream = TcpConnect.connect(authority).await?;
        let Some((Verified { connector, name }, begin)) = &self.tls else { return Ok(Either::Left(stream)) };
        if *begin == Begin::OnConsent {
            stream.write_all(&TLS_REQUEST).await?;
            // Nothing more is read before the handshake: it could not be trusted.
            if stream.read_u8().await? != TLS_CONSENT {
                return Err(io::Error::other("the server does not speak TLS"));
            }
        }
        Ok(Either::Right(connector.connect(name.clone(), stream).await?))
    }
}
