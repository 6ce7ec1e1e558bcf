//! A bucket behind TLS.

use super::*;
use crate::S3Imitation;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

/// A service over TLS for `localhost`, its endpoint, and its certificate.
async fn serve() -> (String, CertificateDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("the two belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let imitation = S3Imitation::new(BUCKET, SystemClock);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (service, acceptor) = (imitation.clone(), acceptor.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    service.serve(stream).await;
                }
            });
        }
    });
    (format!("https://localhost:{port}"), certificate)
}

fn trusting(certificate: Option<CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if let Some(certificate) = certificate {
        roots.add(certificate).expect("it is a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Who is trusted is asked, and nobody else: not who shows another certificate, and not one for another name.
#[tokio::test]
async fn a_bucket_is_asked_over_tls_by_who_trusts_it() {
    let (endpoint, certificate) = serve().await;
    let trusted = S3Options { tls: Some(trusting(Some(certificate.clone()))), ..options(&endpoint) };
    let blobs = blobs(&trusted);
    assert_eq!(store(&blobs, blob(1), &body(9 << 20)).await, Ok(()));
    assert!(load(&blobs, blob(1)).await == Ok(Some(body(9 << 20).to_vec())));
    let by_address = endpoint.replace("localhost", "127.0.0.1");
    for (options, word) in [
        (S3Options { tls: Some(trusting(None)), ..options(&endpoint) }, "certificate"),
        (S3Options { tls: Some(trusting(Some(certificate))), ..options(&by_address) }, "certificate"),
        (options(&endpoint), "trusted"),
    ] {
        let told = super::blobs(&options).open(READER, blob(1)).await;
        assert!(matches!(&told, Err(TierError::Failed(why)) if why.contains(word)), "{told:?}");
    }
}
