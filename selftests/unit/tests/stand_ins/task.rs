// SPDX-License-Identifier: GPL-2.0

//! Threads and namespaces.

pub(crate) mod thread {
    use std::cell::Cell;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct ThreadId(pub(crate) usize);

    loom::thread_local! {
        pub(crate) static CURRENT: Cell<ThreadId> = Cell::new(ThreadId(0));
    }

    pub(crate) struct Client;

    impl Client {
        pub(crate) fn current() -> Self {
            Self
        }

        pub(crate) fn is_killed(&self) -> bool {
            false
        }
    }

    pub(crate) fn online_cpus() -> usize {
        2
    }

    impl ThreadId {
        pub(crate) fn current() -> Self {
            CURRENT.with(Cell::get)
        }

        /// All in one shard.
        pub(crate) fn choose(self, _count: usize) -> usize {
            0
        }
    }
}

pub(crate) mod ipc_ns {
    use kernel::sync::atomic::{Atomic, Relaxed};
    use std::cell::Cell;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct NamespaceId(pub(crate) u64);

    impl NamespaceId {
        pub(crate) const FIRST: Self = Self(0);

        pub(crate) fn next(self) -> Self {
            Self(self.0 + 1)
        }
    }

    loom::thread_local! {
        pub(crate) static CURRENT: Cell<NamespaceId> = Cell::new(NamespaceId::FIRST);
    }

    /// `kernel.shm_rmid_forced` of [`NamespaceId::FIRST`].
    pub(crate) static RMID_FORCED: Atomic<bool> = Atomic::new(false);

    pub(crate) fn rmid_forced_in(id: NamespaceId) -> Option<bool> {
        (CURRENT.with(Cell::get) == id).then(|| RMID_FORCED.load(Relaxed))
    }

    pub(crate) fn current_id() -> Option<NamespaceId> {
        Some(CURRENT.with(Cell::get))
    }

    pub(crate) struct CurrentIpcNamespace<'a>(pub(crate) std::marker::PhantomData<&'a ()>);

    impl CurrentIpcNamespace<'_> {
        pub(crate) fn rmid_forced(&self) -> bool {
            RMID_FORCED.load(Relaxed)
        }
    }
}

pub(crate) mod kprobe {
    use super::ipc_ns::NamespaceId;

    pub(crate) trait OnRmidForced {
        fn rmid_forced(&self, id: NamespaceId);
    }

    pub(crate) trait OnCreatorLeaves {
        fn creator_leaves(&self);
    }
}

/// No model ends the module.
pub(crate) mod module_ref {
    use kernel::prelude::*;

    pub(crate) struct ModuleRef;

    impl ModuleRef {
        pub(crate) fn get() -> Result<Self> {
            Ok(Self)
        }
    }
}

pub(crate) mod task_work {
    use super::module_ref::ModuleRef;
    use kernel::{prelude::*, sync::Arc};
    use std::ops::Deref;

    pub(crate) struct WithWork<T>(T);

    impl<T> WithWork<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(value)
        }
    }

    impl<T> Deref for WithWork<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    pub(crate) trait BeforeReturn {
        fn before_return(&self);
    }

    /// At once, which is before the task returns.
    pub(crate) fn before_return<T, U: BeforeReturn>(
        _room: &Arc<WithWork<T>>,
        target: &Arc<U>,
        _module: ModuleRef,
    ) -> Result {
        target.before_return();
        Ok(())
    }
}
