//! `tls`: where clients connect over TLS, and with which certificates.

use super::{check_listen, error::Problem, trusted};
use crate::{ToldBy, TrustedProxies};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// TLS towards clients, with HTTP/2.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    /// Where clients connect over TLS: an IP address and a port. Needed.
    pub listen: String,
    /// Which certificates they are shown, by the name they ask for; the first where none is for it. At least
    /// one.
    pub certificates: Vec<RawCertificate>,
    /// Whether each connection begins with a header of the PROXY protocol, before TLS. Default `false`.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// A certificate's files, both PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCertificate {
    /// The certificate, and those that lead to a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A certificate's chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those that lead from it to a root, in that order.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// What TLS towards clients runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// At least one.
    pub certificates: Vec<CertificateFiles>,
    /// Who says whose a connection is.
    pub told_by: ToldBy,
}

/// TLS towards the origin, where its URL says `https`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginTls {
    /// PEM file with the roots to trust. Default: the system's.
    pub ca_file: Option<PathBuf>,
}

impl RawTls {
    pub(super) fn check(self, trusted: &TrustedProxies) -> Result<Tls, Problem> {
        let told_by = trusted::told_by("tls.proxy_protocol", self.proxy_protocol, trusted)?;
        let listen = check_listen("tls.listen", &self.listen)?;
        if self.certificates.is_empty() {
            return Err(Problem::field(
                "tls.certificates",
                "is empty: name at least one certificate and its key",
            ));
        }
        let files = |RawCertificate { certificate, key }| CertificateFiles { certificate, key };
        Ok(Tls { listen, certificates: self.certificates.into_iter().map(files).collect(), told_by })
    }
}
