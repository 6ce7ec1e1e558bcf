//! One task for each shard: it wakes the engine when the engine asked to be woken.

use crate::{
    Clock, World,
    plant::{Fault, is_planted},
    shard::Shared,
    sync::watch,
};
use std::{future::Future, sync::Arc};
use tiergate_engine::{Input, Instant};

/// Sleeps until what `alarm` says and feeds `Wake`, again and again. Ends when the shard is gone, and does not keep it.
pub(crate) fn run<W: World>(
    shared: &Arc<Shared<W>>,
    shard: u32,
    mut alarm: watch::Receiver<Option<Instant>>,
) -> impl Future<Output = ()> + Send + use<W> {
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
                    // The sender went with the shard.
                    Err(_) => return,
                },
                () = slept => {}
            }
            match shared.upgrade() {
                Some(shared) => shared.feed(shard, Input::Wake),
                None => return,
            }
        }
    }
}
