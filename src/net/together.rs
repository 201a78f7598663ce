//! Owns what a thread puts off while it deals with much at once, so that it is done together at the end. Never knows what that is.

use std::cell::RefCell;

/// `None` while nothing is dealt with.
type PutOff = Option<Vec<fn()>>;

thread_local! {
    static PUT_OFF: RefCell<PutOff> = const { RefCell::new(None) };
}

/// Ends it, also when what was run panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        let put_off = PUT_OFF.take();
        put_off.into_iter().flatten().for_each(|then| then());
    }
}

/// Runs `run`, and then what was put off in it on this thread. Not one in the other.
pub fn together(run: impl FnOnce()) {
    PUT_OFF.set(Some(Vec::new()));
    let _end = End;
    run();
}

/// Has `then` called at the end of what this thread is dealing with, once for each time it was put off. False where nothing ends: then it is to be
/// done now.
pub fn put_off(then: fn()) -> bool {
    PUT_OFF.with_borrow_mut(|put_off| put_off.as_mut().map(|all| all.push(then)).is_some())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::catch_unwind;

    use super::*;

    thread_local! {
        static DONE: Cell<u32> = const { Cell::new(0) };
    }

    fn count() {
        DONE.set(DONE.get() + 1);
    }

    #[test]
    fn what_is_put_off_is_done_at_the_end_and_outside_at_once() {
        assert!(!put_off(count), "nothing to wait for the end of");
        together(|| {
            assert!(put_off(count) && put_off(count));
            assert_eq!(DONE.get(), 0);
        });
        assert_eq!(DONE.get(), 2);
        assert!(!put_off(count));
    }

    #[test]
    fn what_was_put_off_is_done_although_something_panics() {
        let panicked = catch_unwind(|| {
            together(|| {
                put_off(count);
                panic!("on purpose");
            });
        });
        assert!(panicked.is_err());
        assert_eq!(DONE.get(), 1);
        assert!(!put_off(count), "it is over");
    }
}
