//! The address behind the origin's name, for requests that go around the cache.
//!
//! Looking a name up takes a thread of the system's and often a packet, which is too much for each request.
//! So an answer is kept for a few seconds, which is how long a change takes to be followed. Requests that
//! come when it is too old each look again: no request waits for another's.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// How long an answer is used without a question.
const FRESH_TIME: Duration = Duration::from_secs(5);
/// How old an answer may be that is used because a lookup failed.
const STALE_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a lookup may take before it counts as failed: as long as a connection.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(2);

/// The origin's name, and what is known of it.
#[derive(Debug)]
pub(super) struct OriginName {
    /// `host:port`.
    authority: String,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    address: SocketAddr,
    since: Instant,
}

impl OriginName {
    pub(super) fn new(authority: &str) -> Self {
        Self { authority: authority.to_owned(), known: Mutex::default() }
    }

    /// Its address. An address that stands for itself is not looked up, by the system or by `resolve`.
    pub(super) async fn address(&self) -> io::Result<SocketAddr> {
        self.address_by(|authority| async { Ok(tokio::net::lookup_host(authority).await?.next()) }).await
    }

    async fn address_by<F>(&self, resolve: impl FnOnce(String) -> F) -> io::Result<SocketAddr>
    where
        F: Future<Output = io::Result<Option<SocketAddr>>>,
    {
        if let Ok(literal) = self.authority.parse() {
            return Ok(literal);
        }
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let usable =
            |age_max| known.filter(|known| known.since.elapsed() < age_max).map(|known| known.address);
        if let Some(address) = usable(FRESH_TIME) {
            return Ok(address);
        }
        let asked = Instant::now();
        let looked_up = match timeout(LOOKUP_TIME_MAX, resolve(self.authority.clone())).await {
            Ok(Ok(Some(address))) => Ok(address),
            Ok(Ok(None)) => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "the lookup took too long")),
        };
        match (looked_up, usable(STALE_TIME_MAX)) {
            (Ok(address), _) => {
                let known = Known { address, since: asked };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                Ok(address)
            }
            (Err(error), Some(address)) => {
                tracing::debug!(%error, %address, "the origin's name cannot be looked up: an old answer is used");
                Ok(address)
            }
            (Err(error), None) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, future};

    /// A resolver that counts its questions, and a name that it is asked for.
    struct World {
        name: OriginName,
        asked: Cell<u32>,
    }

    impl World {
        fn new(authority: &str) -> Self {
            Self { name: OriginName::new(authority), asked: Cell::new(0) }
        }

        /// The last number of the address that is used, where the resolver has this one or none.
        async fn ask(&self, answer: Option<u8>) -> Option<u8> {
            let resolve = |authority: String| {
                assert_eq!(authority, self.name.authority);
                self.asked.set(self.asked.get() + 1);
                future::ready(match answer {
                    Some(last) => Ok(Some(SocketAddr::from(([192, 0, 2, last], 80)))),
                    None => Err(io::Error::other("no answer")),
                })
            };
            let address = self.name.address_by(resolve).await.ok()?;
            match address.ip() {
                std::net::IpAddr::V4(address) => Some(address.octets()[3]),
                std::net::IpAddr::V6(_) => None,
            }
        }
    }

    /// An answer is used for some seconds, and then a new one is.
    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_a_while() {
        let world = World::new("origin.example:80");
        assert_eq!(world.ask(Some(1)).await, Some(1));
        tokio::time::advance(FRESH_TIME - Duration::from_millis(1)).await;
        assert_eq!((world.ask(Some(2)).await, world.asked.get()), (Some(1), 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((world.ask(Some(2)).await, world.asked.get()), (Some(2), 2));
        assert_eq!((world.ask(Some(3)).await, world.asked.get()), (Some(2), 2));
    }

    /// While lookups fail, the old answer is used for a minute, with a new lookup each time; the failures are
    /// forgotten.
    #[tokio::test(start_paused = true)]
    async fn an_old_answer_is_used_while_lookups_fail() {
        let world = World::new("origin.example:80");
        assert_eq!((world.ask(None).await, world.ask(Some(1)).await), (None, Some(1)));
        tokio::time::advance(FRESH_TIME).await;
        assert_eq!((world.ask(None).await, world.ask(None).await), (Some(1), Some(1)));
        assert_eq!(world.asked.get(), 4);
        tokio::time::advance(STALE_TIME_MAX - FRESH_TIME - Duration::from_millis(1)).await;
        assert_eq!(world.ask(None).await, Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(world.ask(None).await, None);
        assert_eq!(world.ask(Some(2)).await, Some(2));
    }

    /// A resolver that does not answer has failed.
    #[tokio::test(start_paused = true)]
    async fn a_lookup_is_not_waited_for_forever() {
        let world = World::new("origin.example:80");
        let error = world.name.address_by(|_| future::pending()).await.expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(world.ask(Some(1)).await, Some(1));
        tokio::time::advance(FRESH_TIME).await;
        let address = world.name.address_by(|_| future::pending()).await.expect("the old one");
        assert_eq!(address.to_string(), "192.0.2.1:80");
    }

    /// An address is what it says.
    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let world = World::new("192.0.2.7:80");
        assert_eq!((world.ask(None).await, world.asked.get()), (Some(7), 0));
        let world = World::new("[2001:db8::1]:80");
        assert_eq!((world.ask(Some(1)).await, world.asked.get()), (None, 0));
        assert_eq!(world.name.address().await.expect("it is one").to_string(), "[2001:db8::1]:80");
    }
}
