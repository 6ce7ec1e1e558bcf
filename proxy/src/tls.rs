//! TLS towards clients: certificates by the names they are for, protocols by what both sides speak.
//!
//! rustls with its defaults: TLS 1.2 and 1.3, no renegotiation, no client certificates. Start at
//! [`Certificates::load`].

use crate::config::CertificateFiles;
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

/// Why a certificate cannot be used.
#[derive(Debug)]
pub struct CertificateError {
    file: PathBuf,
    why: String,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for CertificateError {}

/// The certificates that are shown to clients. They can be read anew while connections go on.
#[derive(Debug)]
pub struct Certificates {
    files: Vec<CertificateFiles>,
    loaded: RwLock<Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// Reads them all.
    ///
    /// # Errors
    /// A file cannot be read, holds no certificate or no key, or the two do not belong together.
    pub fn load(files: Vec<CertificateFiles>) -> Result<Arc<Self>, CertificateError> {
        let loaded = RwLock::new(read_all(&files)?);
        Ok(Arc::new(Self { files, loaded }))
    }

    /// Those that were read elsewhere. They stay as they are.
    pub fn of(loaded: Vec<Arc<CertifiedKey>>) -> Arc<Self> {
        Arc::new(Self { files: Vec::new(), loaded: RwLock::new(loaded) })
    }

    /// Reads them all again. Handshakes from now on show the new ones.
    ///
    /// # Errors
    /// As [`Certificates::load`]; then the old ones stay.
    pub fn reload(&self) -> Result<(), CertificateError> {
        if self.files.is_empty() {
            return Ok(());
        }
        let read = read_all(&self.files)?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// What a server speaks with these: HTTP/2 or HTTP/1.1, as the client prefers.
    pub fn server_config(self: &Arc<Self>) -> ServerConfig {
        let resolver: Arc<Self> = Arc::clone(self);
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

impl ResolvesServerCert for Certificates {
    /// The first certificate for the name that the client asks for; the first of all for one that names none,
    /// or one that nothing is for: it will see that for itself.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_for = |key: &&Arc<CertifiedKey>| name.as_ref().is_some_and(|name| is_for(key, name));
        loaded.iter().find(is_for).or_else(|| loaded.first()).map(Arc::clone)
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

fn read_all(files: &[CertificateFiles]) -> Result<Vec<Arc<CertifiedKey>>, CertificateError> {
    files.iter().map(|files| read(files).map(Arc::new)).collect()
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, CertificateError> {
    let CertificateFiles { certificate, key } = files;
    let failed = |file: &Path, why: String| CertificateError { file: file.to_owned(), why };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| failed(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(certificate, "holds no certificate in PEM".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider())
        .map_err(|error| failed(key, format!("is no key for {}: {error}", certificate.display())))
}
