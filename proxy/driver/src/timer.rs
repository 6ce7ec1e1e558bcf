//! One task for each shard, and one for the feed: it wakes the machine when that asked to be woken.

use crate::{
    Clock, World,
    plant::{Fault, is_planted},
    shard::Shared,
    sync::watch,
};
use std::{future::Future, sync::Arc};
use tiergate_engine::Instant;

/// Sleeps until what `alarm` says and wakes, again and again. Ends when the machine is gone, and does not
/// keep it.
pub(crate) fn run<W: World, F: Fn(&Arc<Shared<W>>) + Send>(
    shared: &Arc<Shared<W>>,
    mut alarm: watch::Receiver<Option<Instant>>,
    wake: F,
) -> impl Future<Output = ()> + Send + use<W, F> {
    let clock = shared.parts.clock.clone();
    let shared = Arc::downgrade(shared);
    async move {
        loop {
            let armed = *alarm.borrow_and_update();
            if is_planted(Fault::LateAlarm) {
                alarm.borrow_and_update();
            }
            let slept = async {
                match armed {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                moved = alarm.changed() => match moved {
                    Ok(()) => continue,
                    // The sender went with the machine.
                    Err(_) => return,
                },
                () = slept => {}
            }
            match shared.upgrade() {
                Some(shared) => wake(&shared),
                None => return,
            }
        }
    }
}
