//! Connections to the origin: TCP, and TLS over it where the origin's URL says `https`.

use crate::{
    config::{OriginAddress, OriginTls},
    verified::{RootsError, Server, Verified},
};
use rustls::RootCertStore;
use std::io;
use tiergate_tiers::{Connect, TcpConnect, http_head::Scheme};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// Connects to one origin, over what `C` connects.
#[derive(Clone)]
pub struct OriginConnect<C = TcpConnect> {
    connect: C,
    tls: Option<Verified>,
}

impl OriginConnect {
    /// Without TLS.
    pub const fn in_clear_text() -> Self {
        Self { connect: TcpConnect, tls: None }
    }

    /// Whom to trust is read once.
    ///
    /// # Errors
    /// The origin is `https`, and there is nobody to trust.
    pub fn new(origin: &OriginAddress, tls: &OriginTls) -> Result<Self, RootsError> {
        Self::trusting(TcpConnect, origin, |server| server.verified(tls.ca_file.as_deref()))
    }
}

impl<C> OriginConnect<C> {
    /// The same over another network, with these `roots` to trust.
    ///
    /// # Errors
    /// The origin is `https`, and its host is nobody whom a certificate could be for.
    pub fn over(connect: C, origin: &OriginAddress, roots: RootCertStore) -> Result<Self, RootsError> {
        Self::trusting(connect, origin, |server| server.verified_by(roots))
    }

    fn trusting(
        connect: C,
        origin: &OriginAddress,
        verified: impl FnOnce(Server<'_>) -> Result<Verified, RootsError>,
    ) -> Result<Self, RootsError> {
        if origin.scheme() == Scheme::Http {
            return Ok(Self { connect, tls: None });
        }
        let server = Server { says: "`origin` is https", host: origin.host(), ca_key: "origin_tls.ca_file" };
        Ok(Self { connect, tls: Some(verified(server)?) })
    }
}

impl<C: Connect> Connect for OriginConnect<C> {
    type Stream = Either<C::Stream, TlsStream<C::Stream>>;

    async fn connect(&self, authority: &str) -> io::Result<Self::Stream> {
        let stream = self.connect.connect(authority).await?;
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
