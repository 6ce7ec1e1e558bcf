//! TLS in this world: the certificate of its servers, and who trusts it.
//!
//! Both sides are rustls, as production has it: an edge with [`Certificates`] and [`Opening`], towards an
//! origin with [`OriginConnect`]. The key is the same in every world and protects nothing. It is of Ed25519,
//! whose signatures all have one length: a handshake draws chance that is not the seed's, so its bytes differ
//! from run to run, but neither how many there are nor when they are sent. No ticket is used twice by clients
//! here, and the certificate is valid longer than anybody's calendar goes.
//!
//! [`Opening`]: tiergate_proxy::front::Opening
//! [`OriginConnect`]: tiergate_proxy::origin_connect::OriginConnect

use super::{catalogue::AUTHORITY, stage::ORIGIN};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    sign::CertifiedKey,
};
use std::sync::{Arc, LazyLock};
use tiergate_proxy::tls::Certificates;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What a key of Ed25519 has before its 32 bytes (RFC 8410 section 7).
const KEY_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A certificate for the names of this world that nobody vouches for but itself.
struct Certified {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// It takes a signature to make, and is the same for all worlds.
static CERTIFIED: LazyLock<Certified> = LazyLock::new(|| {
    let key = PrivatePkcs8KeyDer::from([&KEY_PREFIX[..], &[7; 32]].concat());
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519).expect("any 32 bytes are a key");
    let names = vec![AUTHORITY.to_owned(), ORIGIN.to_owned()];
    let params = CertificateParams::new(names).expect("both are names");
    let certificate = params.self_signed(&pair).expect("it is its own key").der().clone();
    Certified { certificate, key: key.into() }
});

fn certified_key() -> CertifiedKey {
    let Certified { certificate, key } = &*CERTIFIED;
    CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), &ring::default_provider())
        .expect("it was made for this key")
}

/// Whom everybody trusts.
pub(super) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CERTIFIED.certificate.clone()).expect("it is a certificate");
    roots
}

/// What shakes hands at an edge.
pub(super) fn at_edge() -> TlsAcceptor {
    let certificates = Certificates::of(vec![Arc::new(certified_key())]);
    TlsAcceptor::from(Arc::new(certificates.server_config()))
}

/// What shakes hands at the origin, which speaks HTTP/1.1.
pub(super) fn at_origin() -> TlsAcceptor {
    let Certified { certificate, key } = &*CERTIFIED;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.clone_key())
        .expect("it was made for this key");
    TlsAcceptor::from(Arc::new(config))
}

/// What a client shakes hands with that speaks HTTP/2, or HTTP/1.1.
pub(super) fn of_client(is_http2: bool) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots())
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![if is_http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    TlsConnector::from(Arc::new(config))
}

/// Whom clients ask for.
pub(super) fn name() -> ServerName<'static> {
    ServerName::try_from(AUTHORITY).expect("it is a name")
}
