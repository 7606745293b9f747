//! Turns in order of arrival, as many at a time as there are copies of what is wanted.

use std::{
    ops::Deref,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;

/// Copies of something that one thread at a time can use. There is one to begin with; who finds none
/// free makes another, up to a number, and then threads wait: who came first goes first.
pub struct Turns<T> {
    state: Mutex<State<T>>,
    free: Condvar,
}

struct State<T> {
    free: Vec<T>,
    /// How many may yet be made.
    more: usize,
    /// Threads that have waited or do, and those of them that have waited.
    asked: u64,
    served: u64,
}

/// A copy in use; it is free again when this is dropped.
pub struct Turn<'a, T> {
    turns: &'a Turns<T>,
    copy: Option<T>,
}

impl<T> Turns<T> {
    /// Begins with `first`; there are never more than `most`.
    pub fn new(first: T, most: usize) -> Self {
        let state = State { free: vec![first], more: most.saturating_sub(1), asked: 0, served: 0 };
        Self { state: Mutex::new(state), free: Condvar::new() }
    }

    /// A copy of one's own, until it is dropped. What `another` fails with is logged, and those
    /// that there are must do.
    pub fn take(&self, another: impl FnOnce() -> Result<T>) -> Turn<'_, T> {
        let mut state = self.state();
        if state.free.is_empty() && state.more > 0 {
            state.more -= 1;
            drop(state);
            match another() {
                Ok(copy) => return Turn { turns: self, copy: Some(copy) },
                Err(error) => eprintln!("no further copy of the model: {error:#}"),
            }
            state = self.state();
            state.more = 0;
        }
        let number = state.asked;
        state.asked += 1;
        let waits = |state: &mut State<T>| state.served < number || state.free.is_empty();
        let mut state = self.free.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        state.served += 1;
        let copy = state.free.pop();
        // Another may be free for whoever is next.
        self.free.notify_all();
        Turn { turns: self, copy }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.copy.as_ref().expect("a turn has its copy until it is dropped")
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.turns.state().free.extend(self.copy.take());
        self.turns.free.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        thread,
    };

    use anyhow::bail;

    use super::*;

    fn none() -> Result<u8> {
        bail!("there is no other")
    }

    #[test]
    fn who_came_first_goes_first_as_soon_as_a_copy_is_free() {
        let turns = Turns::new(1, 2);
        let (first, second) = (turns.take(none), turns.take(|| Ok(2)));
        assert_eq!((*first, *second), (1, 2));
        let gone = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for nth in 0..4 {
                let (turns, gone) = (&turns, &gone);
                scope.spawn(move || {
                    let turn = turns.take(none);
                    gone.lock().unwrap().push((nth, *turn));
                });
                // The next asks when this one waits.
                while turns.state().asked < 2 + nth {
                    thread::yield_now();
                }
            }
            assert!(gone.lock().unwrap().is_empty(), "both are taken");
            drop(second);
        });
        assert_eq!(*gone.lock().unwrap(), [(0, 2), (1, 2), (2, 2), (3, 2)]);
    }

    #[test]
    fn as_many_are_made_as_are_wanted_at_once_and_no_more_than_may_be() {
        let turns = Turns::new(0, 3);
        for _ in 0..5 {
            assert_eq!(*turns.take(none), 0, "one is enough for one at a time");
        }
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let turn = turns.take(|| Ok(1));
                    assert!(*turn <= 1);
                    thread::yield_now();
                });
            }
        });
        let state = turns.state();
        assert_eq!(state.free.len() + state.more, 3);
        assert_eq!(state.asked, state.served);
    }

    #[test]
    fn a_copy_that_cannot_be_made_and_a_panic_cost_nobody_a_turn() {
        let turns = Turns::new(1, 2);
        let first = turns.take(none);
        thread::scope(|scope| {
            let second = scope.spawn(|| *turns.take(none));
            while turns.state().asked < 2 {
                thread::yield_now();
            }
            drop(first);
            assert_eq!(second.join().unwrap(), 1);
        });
        assert_eq!(turns.state().more, 0);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _turn = turns.take(none);
            panic!("in the middle of a turn");
        }));
        assert!(failed.is_err());
        assert_eq!(*turns.take(none), 1);
    }
}
