//! Connections to the origin: TCP, and TLS over it where the origin's URL says `https`.
//!
//! A certificate is always verified: against the system's roots, or those of a file. Nothing switches that
//! off.

use crate::config::{OriginAddress, OriginTls};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{fmt, io, path::PathBuf, sync::Arc};
use tiergate_tiers::{Connect, TcpConnect, http_head::Scheme};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

/// Connects to one origin, over what `C` connects.
#[derive(Clone)]
pub struct OriginConnect<C = TcpConnect> {
    connect: C,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why the origin's certificate could not be verified, if it were asked for one.
#[derive(Debug)]
pub enum RootsError {
    /// The file with the roots cannot be read, or holds none.
    File(PathBuf, String),
    /// The system has none.
    System(String),
    /// The origin's URL names nobody whom a certificate could be for.
    Name(String),
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, why) => write!(f, "`origin_tls.ca_file` {}: {why}", file.display()),
            Self::System(why) => write!(
                f,
                "`origin` is https, but the system has no root certificates ({why}): install ca-certificates, or name a \
                 file with `origin_tls.ca_file`"
            ),
            Self::Name(host) => {
                write!(f, "`origin` is https, but {host} is no name that a certificate is for")
            }
        }
    }
}

impl std::error::Error for RootsError {}

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
        Self::over(TcpConnect, origin, || roots(tls))
    }
}

impl<C> OriginConnect<C> {
    /// The same over another network, with these `roots` to trust.
    ///
    /// # Errors
    /// As [`OriginConnect::new`].
    pub fn over(
        connect: C,
        origin: &OriginAddress,
        roots: impl FnOnce() -> Result<RootCertStore, RootsError>,
    ) -> Result<Self, RootsError> {
        if origin.scheme() == Scheme::Http {
            return Ok(Self { connect, tls: None });
        }
        let name = ServerName::try_from(origin.host().to_owned())
            .map_err(|_| RootsError::Name(origin.host().to_owned()))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots()?)
            .with_no_client_auth();
        Ok(Self { connect, tls: Some((TlsConnector::from(Arc::new(config)), name)) })
    }
}

fn roots(tls: &OriginTls) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            let failed = |why: String| RootsError::File(file.clone(), why);
            let certificates =
                CertificateDer::pem_file_iter(file).map_err(|error| failed(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(failed("holds no certificate in PEM".to_owned()));
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs()
                .map_err(|error| RootsError::System(error.to_string()))?;
            // Some systems ship roots that are no certificates any more; they are of no use, and no harm.
            let (added, _ignored) = roots.add_parsable_certificates(system);
            if added == 0 {
                return Err(RootsError::System("none was found".to_owned()));
            }
        }
    }
    Ok(roots)
}

impl<C: Connect> Connect for OriginConnect<C> {
    type Stream = Either<C::Stream, TlsStream<C::Stream>>;

    async fn connect(&self, authority: &str) -> io::Result<Self::Stream> {
        let stream = self.connect.connect(authority).await?;
        match &self.tls {
            None => Ok(Either::Left(stream)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.inspect_err(|error| {
                    tracing::debug!(%error, "the origin's side of a handshake was not as it must be");
                })?;
                Ok(Either::Right(stream))
            }
        }
    }
}
