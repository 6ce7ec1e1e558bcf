//! `tiergate serve` without a configuration: an origin of our own if none is named, L0, and L2 in a temporary
//! directory.

use super::{Prepared, StartError, bind};
use crate::{
    Failure,
    config::{self, OriginAddress, Overrides},
    demo_origin,
};
use std::{net::SocketAddr, path::Path};
use tempfile::TempDir;

/// What a demonstration needs while it runs.
pub(super) struct Demo {
    /// Removed when it is dropped.
    directory: TempDir,
    origin: DemoOrigin,
}

/// Who answers what the cache does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DemoOrigin {
    BuiltIn,
    Named,
}

/// Takes the usual port, or a free one when that is taken and nobody asked for it.
pub(super) fn prepare(overrides: Overrides) -> Result<Prepared, Failure> {
    let directory = tempfile::Builder::new().prefix("tiergate-demo-").tempdir().map_err(StartError::Demo)?;
    let origin = match overrides.origin {
        Some(_) => DemoOrigin::Named,
        None => DemoOrigin::BuiltIn,
    };
    let asked = overrides.listen.is_some();
    let config = config::for_demo(overrides, directory.path())?;
    let (listener, address) = match bind(config.listen) {
        Err(StartError::Listen { .. }) if !asked => bind(SocketAddr::new(config.listen.ip(), 0))?,
        bound => bound?,
    };
    let demo = Demo { directory, origin };
    Ok(Prepared { config, listener, address, demo: Some(demo) })
}

impl Demo {
    /// The origin to ask: `named`, or our own, which is started.
    pub(super) async fn start_origin(&self, named: OriginAddress) -> Result<OriginAddress, StartError> {
        match self.origin {
            DemoOrigin::Named => Ok(named),
            DemoOrigin::BuiltIn => {
                let (listener, address) = demo_origin::bind().await.map_err(StartError::Demo)?;
                tokio::spawn(demo_origin::run(listener));
                Ok(OriginAddress::from(address))
            }
        }
    }

    /// What runs where, how the disk is asked, and what to try.
    pub(super) fn announcement(
        &self,
        cache: SocketAddr,
        origin: &OriginAddress,
        disk: &str,
        admin: Option<SocketAddr>,
    ) -> String {
        let directory: &Path = self.directory.path();
        let (of, examples) = match self.origin {
            DemoOrigin::Named => ("", String::new()),
            DemoOrigin::BuiltIn => (" (a demonstration origin, built in)", examples(cache)),
        };
        let operating = admin.map(|admin| operating(cache, admin)).unwrap_or_default();
        format!(
            "tiergate: listening on http://{cache}, origin {origin}{of}\n\
             tiers: L0 in memory, L2 in {} through {disk} (removed at exit)\n\
             {examples}{operating}\n\
             Stop with Ctrl-C. For a configuration of your own: tiergate serve --help\n",
            directory.display()
        )
    }
}

fn examples(cache: SocketAddr) -> String {
    format!(
        "\n\
         Try each twice, and look at Cache-Status and Age:\n\
         \x20 curl -i http://{cache}/hello              fresh for 60 s: a miss, then a hit\n\
         \x20 curl -i http://{cache}/nostore            may not be stored: always from the origin\n\
         \x20 curl -i http://{cache}/slow               takes 3 s, once\n\
         \x20 curl -o /dev/null http://{cache}/big?mb=50  streamed; memory stays small\n"
    )
}

fn operating(cache: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "\n\
         For operators, on this machine only:\n\
         \x20 curl http://{admin}/metrics               for Prometheus; /healthz and /readyz for load balancers\n\
         \x20 curl -d url=http://{cache}/hello http://{admin}/purge   removes it from every tier\n\
         \x20 curl -d all=true http://{admin}/purge                       removes everything\n"
    )
}
