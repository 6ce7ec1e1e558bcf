//! An executor for tasks: [`Executor`] keeps those that are ready, and a thread of the model works on them.

use super::checker::Condvar;
use crate::{Spawn, sync::Mutex};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

type BoxedFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks that are ready, and the threads that wait for one.
#[derive(Clone)]
pub(super) struct Executor(Arc<Inner>);

struct Inner {
    work: Mutex<Work>,
    more: Condvar,
}

struct Work {
    ready: VecDeque<Arc<Task>>,
    /// Every task that was spawned.
    tasks: Vec<Weak<Task>>,
    is_over: bool,
}

struct Task {
    executor: Weak<Inner>,
    /// `None` once it has ended or was dropped.
    future: Mutex<Option<BoxedFuture>>,
    /// Is it among the ready ones? Only spares polls, so the checker need not see it.
    is_ready: AtomicBool,
}

impl Executor {
    pub(super) fn new() -> Self {
        let work = Work { ready: VecDeque::new(), tasks: Vec::new(), is_over: false };
        Self(Arc::new(Inner { work: Mutex::new(work), more: Condvar::new() }))
    }

    /// Works until [`end`](Self::end) was called and nothing is ready.
    pub(super) fn work(&self) {
        while let Some(task) = self.0.wait() {
            task.poll();
        }
    }

    /// Works until nothing is ready.
    pub(super) fn work_off(&self) {
        while let Some(task) = self.0.next() {
            task.poll();
        }
    }

    /// Polls one task, if one is ready.
    pub(super) fn work_one(&self) {
        if let Some(task) = self.0.next() {
            task.poll();
        }
    }

    /// Runs `future` to its end on this thread, with every task that is ready meanwhile. Waits where the next
    /// step is that of a task which another thread has in hand.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        let caller = Arc::new(Caller { executor: Arc::downgrade(&self.0), is_woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&caller));
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            while let Some(task) = self.0.wait_for(&caller) {
                task.poll();
            }
        }
    }

    /// Ends the work: a thread in [`work`](Self::work) returns once nothing is ready.
    pub(super) fn end(&self) {
        self.0.work.lock().expect("the checkers know of no poison").is_over = true;
        self.0.more.notify_all();
    }

    /// Drops every task that was spawned, as a runtime does that is taken down.
    pub(super) fn take_down(&self) {
        for task in self.0.tasks() {
            let future = task.future.lock().expect("the checkers know of no poison").take();
            drop(future);
        }
    }

    /// How many tasks have not ended.
    pub(super) fn unfinished(&self) -> usize {
        let tasks = self.0.tasks();
        tasks
            .iter()
            .filter(|task| task.future.lock().expect("the checkers know of no poison").is_some())
            .count()
    }
}

impl Spawn for Executor {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = Arc::new(Task {
            executor: Arc::downgrade(&self.0),
            future: Mutex::new(Some(Box::pin(task))),
            is_ready: AtomicBool::new(true),
        });
        let mut work = self.0.work.lock().expect("the checkers know of no poison");
        work.tasks.push(Arc::downgrade(&task));
        work.ready.push_back(task);
        drop(work);
        self.0.more.notify_one();
    }
}

impl Inner {
    fn next(&self) -> Option<Arc<Task>> {
        self.work.lock().expect("the checkers know of no poison").ready.pop_front()
    }

    fn wait(&self) -> Option<Arc<Task>> {
        let mut work = self.work.lock().expect("the checkers know of no poison");
        loop {
            let task = work.ready.pop_front();
            if task.is_some() || work.is_over {
                return task;
            }
            work = self.more.wait(work).expect("the checkers know of no poison");
        }
    }

    /// The next task; `None` when none is ready and the caller's own future is.
    fn wait_for(&self, caller: &Caller) -> Option<Arc<Task>> {
        let mut work = self.work.lock().expect("the checkers know of no poison");
        loop {
            let task = work.ready.pop_front();
            if task.is_some() || caller.is_woken.swap(false, Ordering::SeqCst) {
                return task;
            }
            work = self.more.wait(work).expect("the checkers know of no poison");
        }
    }

    fn tasks(&self) -> Vec<Arc<Task>> {
        let work = self.work.lock().expect("the checkers know of no poison");
        work.tasks.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Who runs a future of its own beside the tasks.
struct Caller {
    executor: Weak<Inner>,
    /// Was its future woken? Changes under the lock of the executor's work alone, which the checker sees.
    is_woken: AtomicBool,
}

impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        let Some(executor) = self.executor.upgrade() else { return };
        let work = executor.work.lock().expect("the checkers know of no poison");
        self.is_woken.store(true, Ordering::SeqCst);
        drop(work);
        // Everybody: one who waits for tasks alone would not pass it on.
        executor.more.notify_all();
    }
}

impl Task {
    fn poll(self: Arc<Self>) {
        self.is_ready.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self));
        let mut future = self.future.lock().expect("the checkers know of no poison");
        let Some(task) = future.as_mut() else { return };
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            *future = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let Some(executor) = self.executor.upgrade() else { return };
        if !self.is_ready.swap(true, Ordering::SeqCst) {
            executor.work.lock().expect("the checkers know of no poison").ready.push_back(self);
            executor.more.notify_one();
        }
    }
}

/// Lets other tasks run.
pub(super) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
