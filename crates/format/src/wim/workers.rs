//! Worker threads whose results come back in the order of the jobs.
//!
//! The calling thread reads, hashes and writes; workers compress and decompress. The caller bounds memory by how many
//! jobs it lets be in flight, and sees results in the order it submitted jobs, so that no output depends on the number of
//! threads. Plain threads, not a pool: the caller waits for results, which would block a pool's own thread.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

/// Threads that turn jobs into results.
pub(super) struct Workers<J, R> {
    jobs: Sender<(J, SyncSender<R>)>,
    /// Results to come, oldest first, with each job's weight in bytes.
    pending: VecDeque<(Receiver<R>, u64)>,
    weight: u64,
}

impl<J: Send, R: Send> Workers<J, R> {
    /// Starts `threads` threads in `scope`; each makes its own state and then works on jobs until `self` is dropped.
    pub(super) fn start<'scope, S>(
        scope: &'scope Scope<'scope, '_>,
        threads: NonZeroUsize,
        state: impl Fn() -> S + Clone + Send + 'scope,
        work: impl Fn(&mut S, J) -> R + Clone + Send + 'scope,
    ) -> Self
    where
        J: 'scope,
        R: 'scope,
    {
        let (jobs, queue) = channel::<(J, SyncSender<R>)>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.get() {
            let (queue, state, work) = (Arc::clone(&queue), state.clone(), work.clone());
            scope.spawn(move || {
                let mut state = state();
                loop {
                    // The lock is held while waiting: the next job goes to whoever holds it.
                    let Ok((job, reply)) = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv() else { return };
                    // The caller may have given up on the results.
                    let _gone = reply.send(work(&mut state, job));
                }
            });
        }
        Self { jobs, pending: VecDeque::new(), weight: 0 }
    }

    /// Hands out a job. `weight`: the bytes of memory it stands for.
    pub(super) fn submit(&mut self, job: J, weight: u64) {
        let (reply, result) = sync_channel(1);
        // Sending fails only when every worker has panicked: then the result's channel is closed, and `oldest` tells.
        let _stopped = self.jobs.send((job, reply));
        self.pending.push_back((result, weight));
        self.weight = self.weight.saturating_add(weight);
    }

    /// Jobs whose results have not been taken.
    pub(super) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The bytes that they stand for.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Waits for the oldest job's result; `None` when no job is in flight, or its worker panicked (which the scope passes
    /// on).
    pub(super) fn oldest(&mut self) -> Option<R> {
        let (result, weight) = self.pending.pop_front()?;
        self.weight = self.weight.saturating_sub(weight);
        result.recv().ok()
    }
}

/// How many threads to use where the caller does not say: as many as the rayon pool has in which the caller runs, so that
/// whoever limits one limits both. Elsewhere that is the global pool, which has all that the system grants.
#[must_use]
pub(super) fn available_threads() -> NonZeroUsize {
    NonZeroUsize::new(rayon::current_num_threads()).unwrap_or(NonZeroUsize::MIN)
}
