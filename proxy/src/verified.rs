//! TLS towards servers whose certificates are verified: against the system's roots, or those of a file.
//! Nothing switches that off.

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::TlsConnector;

/// A server as a configuration names it.
pub(crate) struct Server<'a> {
    /// What says that it is spoken to over TLS, for errors.
    pub(crate) says: &'a str,
    /// Its name or address.
    pub(crate) host: &'a str,
    /// The key of the file with roots.
    pub(crate) ca_key: &'a str,
}

/// How to speak to a server, and whom its certificate must be for.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

/// Why a server's certificate could not be verified, if it were asked for one.
#[derive(Debug)]
pub struct RootsError {
    says: String,
    ca_key: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// The file with the roots cannot be read, or holds none.
    File(PathBuf, String),
    /// The system has none.
    System(String),
    /// The host is nobody whom a certificate could be for.
    Name(String),
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { says, ca_key, why } = self;
        match why {
            Why::File(file, why) => write!(f, "`{ca_key}` {}: {why}", file.display()),
            Why::System(why) => write!(
                f,
                "{says}, but the system has no root certificates ({why}): install ca-certificates, or name a file \
                 with `{ca_key}`"
            ),
            Why::Name(host) => write!(f, "{says}, but {host} is no name that a certificate is for"),
        }
    }
}

impl std::error::Error for RootsError {}

impl Server<'_> {
    /// By the system's roots, or those of a file, which are read once.
    ///
    /// # Errors
    /// There is nobody to trust, or nobody whom a certificate could be for.
    pub(crate) fn verified(&self, ca_file: Option<&Path>) -> Result<Verified, RootsError> {
        self.verified_by(roots(ca_file).map_err(|why| self.failed(why))?)
    }

    /// By these roots.
    ///
    /// # Errors
    /// There is nobody whom a certificate could be for.
    pub(crate) fn verified_by(&self, roots: RootCertStore) -> Result<Verified, RootsError> {
        let name = ServerName::try_from(self.host.to_owned());
        let name = name.map_err(|_| self.failed(Why::Name(self.host.to_owned())))?;
        Ok(Verified { connector: TlsConnector::from(client_config(roots)), name })
    }

    /// For a client that knows itself whom a certificate must be for.
    ///
    /// # Errors
    /// There is nobody to trust.
    #[cfg(feature = "s3")]
    pub(crate) fn config(&self, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, RootsError> {
        Ok(client_config(roots(ca_file).map_err(|why| self.failed(why))?))
    }

    fn failed(&self, why: Why) -> RootsError {
        RootsError { says: self.says.to_owned(), ca_key: self.ca_key.to_owned(), why }
    }
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Why> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let failed = |why: String| Why::File(file.to_owned(), why);
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
            let system =
                rustls_native_certs::load_native_certs().map_err(|error| Why::System(error.to_string()))?;
            // Some systems ship roots that are no certificates any more; they are of no use, and no harm.
            let (added, _ignored) = roots.add_parsable_certificates(system);
            if added == 0 {
                return Err(Why::System("none was found".to_owned()));
            }
        }
    }
    Ok(roots)
}
