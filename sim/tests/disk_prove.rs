//! Each fault that can be planted in the store is caught by one of its checks; without one, none complains.
#![cfg(feature = "plant")]

use tiergate_engine::store::StoreFault;
use tiergate_sim::disk::prove::hunt;

/// The first few seeds catch every one of them.
#[test]
fn every_fault_of_the_store_is_caught() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut needed = 1;
    let mut uncaught = Vec::new();
    for fault in StoreFault::ALL {
        match hunt(Some(*fault), 40) {
            Some(caught) => {
                println!(
                    "{} {:?} by {} after {}: {}",
                    fault.as_str(),
                    fault,
                    caught.by,
                    caught.seeds,
                    caught.why
                );
                needed = needed.max(caught.seeds);
            }
            None => uncaught.push(fault),
        }
    }
    assert!(uncaught.is_empty(), "{uncaught:?}");
    assert!(hunt(None, needed).is_none());
}
