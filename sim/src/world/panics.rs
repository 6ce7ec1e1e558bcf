//! Panics in a simulated world are counted, not lost: a spawned task that panics may otherwise end without a
//! trace.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    /// The messages of this thread's panics while it simulates.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Begins to count this thread's panics and keeps their texts off the terminal.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A panic while the list is borrowed can only come from the list itself.
            let is_ours = SEEN.with(|seen| match seen.try_borrow_mut() {
                Ok(mut seen) => seen.as_mut().map(|seen| seen.push(info.to_string())).is_some(),
                Err(_) => false,
            });
            if !is_ours {
                before(info);
            }
        }));
    });
    SEEN.with(|seen| *seen.borrow_mut() = Some(Vec::new()));
}

/// Stops counting and hands over what was seen.
pub(crate) fn unwatch() -> Vec<String> {
    SEEN.with(|seen| seen.borrow_mut().take()).unwrap_or_default()
}
