//! The imitation passes the suite that a real Redis passes, through the same client.

use super::{Server, Temper};
use crate::world::medium::SimMedium;
use std::{io, sync::Arc, time::Duration};
use tiergate_scenarios::FaultKind;
use tiergate_tiers::{AnyTier, Connect, RedisOptions, RedisTier, conformance::conformance};
use tokio::io::DuplexStream;

/// A server that answers at once, or always this late.
struct Always(Duration);

impl Temper for Always {
    fn hits(&self, kind: FaultKind) -> Option<u64> {
        let delay_ms = u64::try_from(self.0.as_millis()).expect("a few milliseconds");
        (kind == FaultKind::SharedTierSlow).then_some(delay_ms)
    }

    fn evicted(&self, _: usize) -> Vec<bool> {
        Vec::new()
    }

    fn holds(&self, _: u64) {}
}

/// Connects to one server within the process.
struct InProcess(Arc<Server<Always>>);

impl Connect for InProcess {
    type Stream = DuplexStream;

    async fn connect(&self, _: &str) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let server = Arc::clone(&self.0);
        tokio::spawn(async move { drop(server.serve(theirs).await) });
        Ok(ours)
    }
}

/// At once and late, the client gets everything that a byte tier promises.
#[tokio::test(start_paused = true)]
async fn the_imitation_conforms() {
    for delay in [Duration::ZERO, Duration::from_millis(10)] {
        let server = Arc::new(Server::new(Always(delay)));
        let tier = RedisTier::new(InProcess(server), "shared-tier:80", RedisOptions::default());
        conformance(&AnyTier::<_, SimMedium>::Redis(tier)).await;
    }
}
