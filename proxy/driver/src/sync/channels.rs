//! The channels of tokio as far as the driver uses them, each one mutex, so that a checker can look into
//! them.
//!
//! They keep tokio's promises: a waker is called when the lock is free, and what nobody will receive comes
//! back to its sender or is dropped.

use super::Mutex;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Changes what is shared, and wakes who waits for that.
fn change<T, R>(shared: &Mutex<T>, work: impl FnOnce(&mut T) -> (Option<Waker>, R)) -> R {
    let (waker, result) = work(&mut shared.lock().expect("the checkers know of no poison"));
    if let Some(waker) = waker {
        waker.wake();
    }
    result
}

/// The same from a `Drop`, which does nothing once a model has failed.
fn leave<T, R>(shared: &Mutex<T>, work: impl FnOnce(&mut T) -> (Option<Waker>, R)) {
    if !std::thread::panicking() {
        drop(change(shared, work));
    }
}

/// Asks what is shared; `Err` is where to leave a waker.
fn poll<T, R>(
    shared: &Mutex<T>,
    context: &Context<'_>,
    work: impl FnOnce(&mut T) -> Result<R, &mut Option<Waker>>,
) -> Poll<R> {
    let mut held = shared.lock().expect("the checkers know of no poison");
    match work(&mut held) {
        Ok(result) => Poll::Ready(result),
        Err(waker) => {
            *waker = Some(context.waker().clone());
            Poll::Pending
        }
    }
}

/// One value, once.
pub(crate) mod oneshot {
    use super::{Arc, Context, Future, Mutex, Pin, Poll, Waker, change, leave, poll};

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let slot = Arc::new(Mutex::new(Slot { value: None, waker: None, is_open: true }));
        (Sender(Arc::clone(&slot)), Receiver(slot))
    }

    struct Slot<T> {
        value: Option<T>,
        waker: Option<Waker>,
        /// Neither end is gone.
        is_open: bool,
    }

    impl<T> Slot<T> {
        fn close(&mut self) -> (Option<Waker>, ()) {
            self.is_open = false;
            (self.waker.take(), ())
        }
    }

    pub(crate) struct Sender<T>(Arc<Mutex<Slot<T>>>);

    impl<T> Sender<T> {
        /// Dropping `self` wakes the receiver.
        pub(crate) fn send(self, value: T) -> Result<(), T> {
            change(&self.0, |slot| {
                let result = if slot.is_open { Ok(slot.value = Some(value)) } else { Err(value) };
                (None, result)
            })
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            leave(&self.0, Slot::close);
        }
    }

    pub(crate) struct Receiver<T>(Arc<Mutex<Slot<T>>>);

    /// The sender went without a word.
    #[derive(Debug)]
    pub(crate) struct RecvError;

    impl<T> Future for Receiver<T> {
        type Output = Result<T, RecvError>;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            poll(&self.0, context, |slot| match slot.value.take() {
                Some(value) => Ok(Ok(value)),
                None if slot.is_open => Err(&mut slot.waker),
                None => Ok(Err(RecvError)),
            })
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            leave(&self.0, Slot::close);
        }
    }
}

/// A bounded queue with many senders.
pub(crate) mod mpsc {
    use super::{Arc, Mutex, Waker, change, leave, poll, poll_fn};
    use std::{collections::VecDeque, mem};

    pub(crate) fn channel<T>(room: usize) -> (Sender<T>, Receiver<T>) {
        let queue = Queue { waiting: VecDeque::new(), room, waker: None, senders: 1, is_read: true };
        let queue = Arc::new(Mutex::new(queue));
        (Sender(Arc::clone(&queue)), Receiver(queue))
    }

    struct Queue<T> {
        waiting: VecDeque<T>,
        room: usize,
        waker: Option<Waker>,
        senders: usize,
        is_read: bool,
    }

    pub(crate) struct Sender<T>(Arc<Mutex<Queue<T>>>);

    impl<T> Sender<T> {
        /// Gives the value back when there is no room or nobody who reads.
        pub(crate) fn try_send(&self, value: T) -> Result<(), T> {
            change(&self.0, |queue| {
                if !queue.is_read || queue.waiting.len() == queue.room {
                    return (None, Err(value));
                }
                queue.waiting.push_back(value);
                (queue.waker.take(), Ok(()))
            })
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            change(&self.0, |queue| (None, queue.senders += 1));
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            leave(&self.0, |queue| {
                queue.senders -= 1;
                (if queue.senders == 0 { queue.waker.take() } else { None }, ())
            });
        }
    }

    pub(crate) struct Receiver<T>(Arc<Mutex<Queue<T>>>);

    impl<T> Receiver<T> {
        /// `None` once it is empty and the last sender is gone.
        pub(crate) async fn recv(&mut self) -> Option<T> {
            poll_fn(|context| {
                poll(&self.0, context, |queue| match queue.waiting.pop_front() {
                    Some(value) => Ok(Some(value)),
                    None if queue.senders > 0 => Err(&mut queue.waker),
                    None => Ok(None),
                })
            })
            .await
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            leave(&self.0, |queue| {
                queue.is_read = false;
                (None, (mem::take(&mut queue.waiting), queue.waker.take()))
            });
        }
    }
}

/// The latest of many values.
pub(crate) mod watch {
    use super::{Arc, Mutex, Waker, change, leave, poll, poll_fn};
    use std::ops::Deref;

    pub(crate) fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        let watched = Arc::new(Mutex::new(Watched { value, version: 0, waker: None, is_open: true }));
        (Sender(Arc::clone(&watched)), Receiver { watched, seen: 0 })
    }

    struct Watched<T> {
        value: T,
        version: u64,
        waker: Option<Waker>,
        is_open: bool,
    }

    pub(crate) struct Sender<T>(Arc<Mutex<Watched<T>>>);

    impl<T> Sender<T> {
        pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) {
            change(&self.0, |watched| {
                let is_modified = modify(&mut watched.value);
                watched.version += u64::from(is_modified);
                (if is_modified { watched.waker.take() } else { None }, ())
            });
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            leave(&self.0, |watched| {
                watched.is_open = false;
                (watched.waker.take(), ())
            });
        }
    }

    pub(crate) struct Receiver<T> {
        watched: Arc<Mutex<Watched<T>>>,
        seen: u64,
    }

    /// The sender is gone.
    #[derive(Debug)]
    pub(crate) struct RecvError;

    /// A copy of the value, where tokio lends it under a lock.
    pub(crate) struct Ref<T>(T);

    impl<T> Deref for Ref<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T: Clone> Receiver<T> {
        pub(crate) fn borrow_and_update(&mut self) -> Ref<T> {
            let (value, seen) =
                change(&self.watched, |watched| (None, (watched.value.clone(), watched.version)));
            self.seen = seen;
            Ref(value)
        }

        /// Returns once there is a value that was not seen.
        pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
            poll_fn(|context| {
                poll(&self.watched, context, |watched| {
                    if watched.version != self.seen {
                        self.seen = watched.version;
                        return Ok(Ok(()));
                    }
                    if watched.is_open { Err(&mut watched.waker) } else { Ok(Err(RecvError)) }
                })
            })
            .await
        }
    }
}
