//! How many may be connected at a time, in all and from one address.

use crate::{config::ConnectionLimits, front::one_client};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Clients that were turned away and are still read from, at a time.
const LINGERING_MAX: usize = 64;

/// Who is connected.
#[derive(Debug)]
pub(in crate::serve) struct Admission {
    limits: ConnectionLimits,
    connected: Mutex<Connected>,
    lingering: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Connected {
    total: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// One connection. Its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    /// Whose it is, once that is known.
    address: Option<IpAddr>,
}

impl Admission {
    pub(in crate::serve) fn new(limits: ConnectionLimits) -> Arc<Self> {
        let lingering = Arc::new(Semaphore::new(LINGERING_MAX));
        Arc::new(Self { limits, connected: Mutex::default(), lingering })
    }

    /// Room for one that is turned away, if there is some.
    pub(super) fn linger(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.lingering).try_acquire_owned().ok()
    }

    /// A place, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        self.admit_unknown()?.known_as(address)
    }

    /// A place for somebody whose address is not known yet, if there is one.
    pub(super) fn admit_unknown(self: &Arc<Self>) -> Option<Admitted> {
        let mut connected = self.lock();
        if connected.total >= self.limits.connections_max {
            return None;
        }
        connected.total += 1;
        Some(Admitted { admission: Arc::clone(self), address: None })
    }

    fn lock(&self) -> MutexGuard<'_, Connected> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// The same place, if this address may have one more.
    pub(super) fn known_as(mut self, address: IpAddr) -> Option<Self> {
        assert_eq!(self.address, None, "a connection has one address");
        let address = one_client(address);
        {
            let mut connected = self.admission.lock();
            let from_there = connected.by_address.entry(address).or_default();
            // A count of zero is never left: nobody has one at a limit of at least one.
            if *from_there >= self.admission.limits.per_address_max {
                return None;
            }
            *from_there += 1;
        }
        self.address = Some(address);
        Some(self)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut connected = self.admission.lock();
        connected.total -= 1;
        let Some(address) = self.address else { return };
        if let Some(count) = connected.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                connected.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// A place is one for as long as it is held, in all and for each address, whatever it is written as.
    #[test]
    fn places_are_counted() {
        let admission = Admission::new(ConnectionLimits { connections_max: 3, per_address_max: 2 });
        let one = admission.admit(address("10.0.0.1")).expect("the first");
        let two = admission.admit(address("::ffff:10.0.0.1")).expect("the second of that address");
        assert!(admission.admit(address("10.0.0.1")).is_none());
        let three = admission.admit(address("10.0.0.2")).expect("another address");
        assert!(admission.admit(address("10.0.0.3")).is_none());
        drop(one);
        drop(admission.admit(address("10.0.0.1")).expect("its place is free"));
        drop((two, three));
        assert!(admission.lock().by_address.is_empty());
    }

    /// A place whose owner is not known yet counts in all, and for its address from when that is known.
    #[test]
    fn an_address_may_be_known_later() {
        let admission = Admission::new(ConnectionLimits { connections_max: 3, per_address_max: 1 });
        let unknown = || admission.admit_unknown().expect("there is room");
        let one = unknown().known_as(address("10.0.0.1")).expect("the first");
        assert!(unknown().known_as(address("10.0.0.1")).is_none());
        let two =
            unknown().known_as(address("10.0.0.2")).expect("another address, and the place is free again");
        let three = unknown();
        assert!(admission.admit_unknown().is_none());
        drop((one, two, three));
        let connected = admission.lock();
        assert_eq!((connected.total, connected.by_address.len()), (0, 0));
    }

    /// One network of IPv6 is one client.
    #[test]
    fn a_network_is_one_client() {
        let admission = Admission::new(ConnectionLimits { connections_max: 9, per_address_max: 1 });
        let _held = admission.admit(address("2001:db8::1")).expect("the first");
        assert!(admission.admit(address("2001:db8::2")).is_none());
        assert!(admission.admit(address("2001:db8:0:1::2")).is_some());
    }
}
