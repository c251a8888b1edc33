// SPDX-License-Identifier: GPL-2.0

//! From an IPC namespace to its registry.
//!
//! There is one [`Namespaces`], made when the module is loaded and shared by the device and the
//! hook. It owns a registry for each namespace that has used the device, by the namespace's number,
//! which is never used again; a spinlock guards that map.

use super::{
    settings::Settings,
    Registry, //
};
#[cfg(CONFIG_IPC_NS)]
use crate::shm::sys::task::kprobe::OnNamespaceEnd;
#[cfg(CONFIG_SYSVIPC)]
use crate::shm::sys::task::{
    ipc_ns, //
    kprobe::{
        OnCreatorLeaves,
        OnRmidForced, //
    },
};
use crate::shm::{
    segment::{
        creator::Creators,
        memory::Mounts, //
    },
    sys::{
        mm::turns::MmTurns,
        sync::queue::OwnedQueue,
        task::ipc_ns::NamespaceId, //
    }, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// The registries of all namespaces.
#[pin_data]
pub(crate) struct Namespaces {
    #[pin]
    registries: SpinLock<RBTree<NamespaceId, Arc<Registry>>>,
    creators: Arc<Creators>,
    #[pin]
    detach_turns: MmTurns,
    settings: Settings,
    queue: OwnedQueue,
    mounts: Arc<Mounts>,
}

impl Namespaces {
    /// None yet. `queue` is for the work that the kernel's events make.
    pub(crate) fn new(
        mounts: Arc<Mounts>,
        queue: OwnedQueue,
        settings: Settings,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registries <- new_spinlock!(RBTree::new(), "rust_shm::Namespaces::registries"),
            creators: Arc::pin_init(Creators::new(), GFP_KERNEL)?,
            detach_turns <- MmTurns::new(),
            settings,
            queue,
            mounts,
        })
    }

    /// The registry of a namespace, which must not end meanwhile: made if there is none.
    pub(crate) fn registry(&self, id: NamespaceId) -> Result<Arc<Registry>> {
        if let Some(registry) = self.registries.lock().get(&id) {
            return Ok(registry.clone());
        }
        let registry = Registry::new(self.mounts.clone(), id, self.settings.id_layout());
        let registry = Arc::pin_init(registry, GFP_KERNEL_ACCOUNT)?;
        let node = RBTreeNode::new(id, registry.clone(), GFP_KERNEL_ACCOUNT)?;
        let mut registries = self.registries.lock();
        if let Some(first) = registries.get(&id).cloned() {
            // Somebody was faster. What was made for nothing is dropped after the lock: `node` and
            // `registry` are older than it.
            return Ok(first);
        }
        registries.insert(node);
        Ok(registry)
    }

    /// The first registry of a namespace after `last`, in the order of their numbers.
    pub(crate) fn first_after(&self, last: Option<NamespaceId>) -> Option<Arc<Registry>> {
        let registries = self.registries.lock();
        let from = last.map_or(NamespaceId::FIRST, NamespaceId::next);
        let cursor = registries.cursor_lower_bound(&from)?;
        Some(cursor.current().1.clone())
    }

    /// Where the files of segments are.
    pub(crate) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// For work that is done in parallel, or later.
    pub(crate) fn queue(&self) -> &OwnedQueue {
        &self.queue
    }

    /// What the administrator has set.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who has made segments.
    pub(crate) fn creators(&self) -> &Arc<Creators> {
        &self.creators
    }

    /// For [`detach`](crate::shm::call::attach::detach).
    pub(crate) fn detach_turns(&self) -> &MmTurns {
        &self.detach_turns
    }
}

/// Told by a kprobe, which may not sleep: the registry is taken out here, and its segments are let
/// go by a work item.
#[cfg(CONFIG_IPC_NS)]
impl OnNamespaceEnd for Arc<Namespaces> {
    fn namespace_ended(&self, id: NamespaceId) {
        let registry = self.registries.lock().remove(&id);
        if let Some(registry) = registry {
            // It is not on the queue yet: a namespace ends once.
            let _ = self.queue.enqueue::<_, 0>(registry);
        }
    }
}

/// Told by a kprobe, which may not sleep: orphans are removed by a work item, or by the next call.
#[cfg(CONFIG_SYSVIPC)]
impl OnRmidForced for Arc<Namespaces> {
    fn rmid_forced(&self, id: NamespaceId) {
        let moment = self.creators.moment();
        if let Some(registry) = self.registries.lock().get(&id) {
            registry.orphans_are_due(moment);
            // Where it is on the queue, its turn has yet to come.
            let _ = self.queue.enqueue::<_, 1>(registry.clone());
        }
    }
}

/// Told by a kprobe, which may not sleep.
#[cfg(CONFIG_SYSVIPC)]
impl OnCreatorLeaves for Arc<Namespaces> {
    fn creator_leaves(&self) {
        self.creators.leave(|namespace, moment| {
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
                // The thread is elsewhere, and the sysctl cannot be seen from there.
                registry.orphans_may_be_due(moment);
            }
        });
    }
}
