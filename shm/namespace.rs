// SPDX-License-Identifier: GPL-2.0

//! From an IPC namespace to its registry.
//!
//! There is one [`Namespaces`], made when the module is loaded and shared by the device and the
//! hook. It owns a registry for each namespace that has used the device, by the namespace's number,
//! which is never used again; a spinlock guards that map.

use super::{
    attach::DetachTurns,
    registry::Registry,
    segment::Shared,
    sys::{
        hook::OnNamespaceEnd,
        ipc_ns::NamespaceId,
        mount::MountRef,
        queue::OwnedQueue, //
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
    #[pin]
    detach_turns: DetachTurns,
    queue: OwnedQueue,
    mount: MountRef<Shared>,
}

impl Namespaces {
    /// None yet. `queue` is for the work that the end of a namespace makes.
    pub(crate) fn new(mount: MountRef<Shared>, queue: OwnedQueue) -> impl PinInit<Self> {
        pin_init!(Self {
            registries <- new_spinlock!(RBTree::new(), "rust_shm::Namespaces::registries"),
            detach_turns <- DetachTurns::new(),
            queue,
            mount,
        })
    }

    /// The registry of a namespace, which must not end meanwhile: made if there is none.
    pub(crate) fn registry(&self, id: NamespaceId) -> Result<Arc<Registry>> {
        if let Some(registry) = self.registries.lock().get(&id) {
            return Ok(registry.clone());
        }
        let registry = Arc::pin_init(Registry::new(self.mount.clone()), GFP_KERNEL_ACCOUNT)?;
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

    /// The filesystem of the segments.
    pub(crate) fn mount(&self) -> &MountRef<Shared> {
        &self.mount
    }

    /// For [`detach`](super::attach::detach).
    pub(crate) fn detach_turns(&self) -> &DetachTurns {
        &self.detach_turns
    }
}

/// Told by a kprobe, which may not sleep: the registry is taken out here, and its segments are let
/// go by a work item.
impl OnNamespaceEnd for Arc<Namespaces> {
    fn namespace_ended(&self, id: NamespaceId) {
        let registry = self.registries.lock().remove(&id);
        if let Some(registry) = registry {
            // It is not on the queue yet: a namespace ends once.
            let _ = self.queue.enqueue(registry);
        }
    }
}
