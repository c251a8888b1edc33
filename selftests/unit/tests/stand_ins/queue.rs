// SPDX-License-Identifier: GPL-2.0

//! Work items of a model.

use kernel::{
    prelude::{Flags, *},
    sync::Arc,
    workqueue::WorkItem,
};
use loom::thread::{self, JoinHandle};
use std::cell::RefCell;

/// A queue whose items run at once, each in a thread; or not at all: later than the model ends.
pub(crate) struct OwnedQueue {
    pub(crate) runs: bool,
    items: RefCell<Vec<JoinHandle<()>>>,
}

impl OwnedQueue {
    pub(crate) fn new(runs: bool) -> Self {
        Self {
            runs,
            items: RefCell::default(),
        }
    }

    fn start(&self, item: impl FnOnce() + 'static) {
        if self.runs {
            self.items.borrow_mut().push(thread::spawn(item));
        }
    }

    pub(crate) fn enqueue<T: WorkItem<ID, Pointer = Arc<T>> + 'static, const ID: u64>(
        &self,
        item: Arc<T>,
    ) -> Result<(), Arc<T>> {
        self.start(move || T::run(item));
        Ok(())
    }

    pub(crate) fn try_spawn(&self, _flags: Flags, item: impl FnOnce() + 'static) -> Result {
        self.start(item);
        Ok(())
    }

    /// Waits for all items.
    pub(crate) fn drain(&self) {
        for item in self.items.take() {
            item.join().unwrap();
        }
    }
}
