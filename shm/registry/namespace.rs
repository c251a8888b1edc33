// SPDX-License-Identifier: GPL-2.0

//! The registries of all IPC namespaces.
//!
//! There is one [`Namespaces`], created when the module is loaded; the device, the kprobes and the
//! debugfs files share it. It owns a registry for each namespace that has used the device, in a
//! tree by the number of the namespace, which is never reused. A spinlock that kprobe handlers take,
//! too, protects the tree.

use super::{
    settings::Settings,
    Registry, //
};
#[cfg(CONFIG_IPC_NS)]
use crate::shm::sys::task::kprobe::OnNamespaceEnd;
#[cfg(CONFIG_SYSVIPC)]
use crate::shm::sys::{
    sync::module_ref::ModuleRef,
    task::{
        ipc_ns,
        kprobe,
        task_work, //
    }, //
};
use crate::shm::{
    segment::{
        creator::Creators,
        memory::Mounts, //
    },
    sys::{
        mm::turns::MmTurns,
        sync::{
            queue::OwnedQueue,
            raw_spinlock::{
                new_raw_spinlock,
                RawSpinLock, //
            }, //
        },
        task::ipc_ns::NamespaceId, //
    }, //
};
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::Arc, //
};

/// The registries, and what they share.
#[pin_data]
pub(crate) struct Namespaces {
    #[pin]
    registries: RawSpinLock<RBTree<NamespaceId, Arc<Registry>>>,
    creators: Arc<Creators>,
    #[pin]
    detach_turns: MmTurns,
    settings: Settings,
    queue: OwnedQueue,
    mounts: Arc<Mounts>,
}

impl Namespaces {
    /// Creates an empty map. `queue` runs deferred work.
    pub(crate) fn new(
        mounts: Arc<Mounts>,
        queue: OwnedQueue,
        settings: Settings,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registries <- new_raw_spinlock!(RBTree::new(), "rust_shm::Namespaces::registries"),
            creators: Arc::pin_init(Creators::new(), GFP_KERNEL)?,
            detach_turns <- MmTurns::new(),
            settings,
            queue,
            mounts,
        })
    }

    /// Returns the registry of a namespace, and creates it if necessary. The caller must keep the
    /// namespace from ending.
    pub(crate) fn registry(&self, id: NamespaceId) -> Result<Arc<Registry>> {
        if let Some(registry) = self.registries.lock().get(&id) {
            return Ok(registry.clone());
        }
        let registry = Registry::new(self.mounts.clone(), id, self.settings.id_layout());
        let registry = Arc::pin_init(registry, GFP_KERNEL_ACCOUNT)?;
        let node = RBTreeNode::new(id, registry.clone(), GFP_KERNEL_ACCOUNT)?;
        let mut registries = self.registries.lock();
        if let Some(first) = registries.get(&id).cloned() {
            // Another task was faster. `node` and `registry` were declared before the lock was
            // taken, and so are dropped after it is released.
            return Ok(first);
        }
        registries.insert(node);
        Ok(registry)
    }

    /// Returns the registry with the lowest namespace number above `last`.
    pub(crate) fn first_after(&self, last: Option<NamespaceId>) -> Option<Arc<Registry>> {
        let registries = &mut *self.registries.lock();
        let from = last.map_or(NamespaceId::FIRST, NamespaceId::next);
        let cursor = registries.cursor_lower_bound(&from)?;
        Some(cursor.current().1.clone())
    }

    /// Returns the tmpfs mounts for the files of segments.
    pub(crate) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// Returns the queue for parallel and deferred work.
    pub(crate) fn queue(&self) -> &OwnedQueue {
        &self.queue
    }

    /// Returns the settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the threads that have created segments.
    pub(crate) fn creators(&self) -> &Arc<Creators> {
        &self.creators
    }

    /// Returns the turns that serialize detaches in an address space.
    pub(crate) fn detach_turns(&self) -> &MmTurns {
        &self.detach_turns
    }
}

/// Called by a kprobe, which must not sleep: removes the registry, and lets a work item remove its
/// segments.
#[cfg(CONFIG_IPC_NS)]
impl OnNamespaceEnd for Arc<Namespaces> {
    fn namespace_ended(&self, id: NamespaceId) {
        let mut registries = self.registries.lock();
        let Some(registry) = registries.get(&id).cloned() else {
            return;
        };
        let node = registries.remove_node(&id);
        drop(registries);
        // This cannot fail: a namespace ends once.
        let _ = self.queue.enqueue::<_, 0>(registry.ended(node));
    }
}

/// Called by a kprobe, which must not sleep: a work item or the next call removes the orphans.
#[cfg(CONFIG_SYSVIPC)]
impl kprobe::OnRmidForced for Arc<Namespaces> {
    fn rmid_forced(&self, id: NamespaceId) {
        let moment = self.creators.moment();
        if let Some(registry) = self.registries.lock().get(&id) {
            registry.orphans_are_due(moment);
            // Fails if the work item is pending, which will see `moment`.
            let _ = self.queue.enqueue::<_, 1>(registry.clone());
        }
    }
}

/// Called by a kprobe, with preemption disabled.
#[cfg(CONFIG_SYSVIPC)]
impl kprobe::OnCreatorLeaves for Arc<Namespaces> {
    fn creator_leaves(&self) {
        /// For so many namespaces that happens at once.
        const AT_ONCE: usize = 64;
        if self.creator_leaves_some(AT_ONCE) {
            return;
        }
        // Taken before `next`: a segment has one until its creator is dropped. Where there is none to be
        // had any more, no segment is left.
        let Ok(module) = ModuleRef::get() else {
            return;
        };
        let Some(next) = self.creators.next() else {
            return;
        };
        // Another task may remove the segments of `next` meanwhile: the work frees it then.
        if task_work::before_return(&next, self, module).is_err() {
            self.creator_leaves_some(usize::MAX);
        }
    }
}

/// What is left of [`kprobe::OnCreatorLeaves`].
#[cfg(CONFIG_SYSVIPC)]
impl task_work::BeforeReturn for Namespaces {
    fn before_return(&self) {
        self.creator_leaves_some(usize::MAX);
    }
}

#[cfg(CONFIG_SYSVIPC)]
impl Namespaces {
    /// Returns whether the calling thread has left all namespaces.
    fn creator_leaves_some(&self, most: usize) -> bool {
        let own = ipc_ns::current_id();
        self.creators.leave(most, own, |namespace, moment| {
            let forced = ipc_ns::rmid_forced_in(namespace);
            if forced == Some(false) {
                return;
            }
            let registries = self.registries.lock();
            let Some(registry) = registries.get(&namespace) else {
                return;
            };
            if forced.is_some() {
                registry.orphans_are_due(moment);
                let _ = self.queue.enqueue::<_, 1>(registry.clone());
            } else {
                // The thread is in another namespace, from which the sysctl cannot be read.
                registry.orphans_may_be_due(moment);
            }
        })
    }
}
