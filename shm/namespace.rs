// SPDX-License-Identifier: GPL-2.0

//! From an IPC namespace to its registry.
//!
//! There is one [`Namespaces`], made when the module is loaded and shared by the device and the
//! hook. It owns a registry for each namespace that has used the device, by the namespace's number,
//! which is never used again; a spinlock guards that map.

#[cfg(CONFIG_IPC_NS)]
use super::sys::hook::OnNamespaceEnd;
#[cfg(CONFIG_SYSVIPC)]
use super::sys::{
    hook::{
        CreatorLeaves,
        Hook,
        OnCreatorLeaves,
        OnRemovalForced, //
    },
    pid::CurrentThread, //
};
use super::{
    attach::DetachTurns,
    registry::Registry,
    segment::Shared,
    settings::Settings,
    sys::{
        ipc_ns::NamespaceId,
        mount::MountRef,
        queue::OwnedQueue, //
    }, //
};
use kernel::{
    impl_has_work,
    new_spinlock,
    new_work,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        Arc,
        SpinLock, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

/// The registries of all namespaces.
#[pin_data]
pub(crate) struct Namespaces {
    #[pin]
    registries: SpinLock<RBTree<NamespaceId, Arc<Registry>>>,
    #[cfg(CONFIG_SYSVIPC)]
    #[pin]
    creators: Hook<CreatorLeaves, Arc<Watch>>,
    #[pin]
    detach_turns: DetachTurns,
    #[pin]
    watch: Work<Namespaces>,
    settings: Settings,
    queue: Arc<OwnedQueue>,
    mount: MountRef<Shared>,
}

impl_has_work! {
    impl HasWork<Self> for Namespaces { self.watch }
}

/// The registries that are told of creators that leave: those of namespaces where
/// `kernel.shm_rmid_forced` is set, or was.
#[cfg(CONFIG_SYSVIPC)]
#[pin_data]
struct Watch {
    #[pin]
    registries: SpinLock<RBTree<NamespaceId, Arc<Registry>>>,
    queue: Arc<OwnedQueue>,
}

impl Namespaces {
    /// None yet. `queue` is for the work that the kernel's events make.
    pub(crate) fn new(
        mount: MountRef<Shared>,
        queue: Arc<OwnedQueue>,
        settings: Settings,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registries <- new_spinlock!(RBTree::new(), "rust_shm::Namespaces::registries"),
            #[cfg(CONFIG_SYSVIPC)]
            creators <- Hook::new(Arc::pin_init(Watch::new(queue.clone()), GFP_KERNEL)?),
            detach_turns <- DetachTurns::new(),
            watch <- new_work!("rust_shm::Namespaces::watch"),
            settings,
            queue,
            mount,
        })
    }

    /// The registry of a namespace, which must not end meanwhile: made if there is none.
    pub(crate) fn registry(&self, id: NamespaceId) -> Result<Arc<Registry>> {
        if let Some(registry) = self.registries.lock().get(&id) {
            return Ok(registry.clone());
        }
        let registry = Registry::new(self.mount.clone(), id, self.settings.numbering());
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
        let mut all = registries.iter();
        all.find(|(id, _)| Some(**id) > last)
            .map(|(_, registry)| registry.clone())
    }

    /// The filesystem of the segments.
    pub(crate) fn mount(&self) -> &MountRef<Shared> {
        &self.mount
    }

    /// What the administrator has set.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// For [`detach`](super::attach::detach).
    pub(crate) fn detach_turns(&self) -> &DetachTurns {
        &self.detach_turns
    }

    /// Sees to it that a registry is told of creators that leave. May sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn watch(&self, registry: &Arc<Registry>) -> Result {
        if registry.is_watched() {
            return Ok(());
        }
        self.creators.arm()?;
        let node = RBTreeNode::new(registry.namespace(), registry.clone(), GFP_KERNEL_ACCOUNT)?;
        let before = self.creators.target().registries.lock().insert(node);
        registry.set_watched();
        drop(before);
        Ok(())
    }

    /// The same: there is no `kernel.shm_rmid_forced`.
    #[cfg(not(CONFIG_SYSVIPC))]
    pub(crate) fn watch(&self, _registry: &Arc<Registry>) -> Result {
        Ok(())
    }
}

#[cfg(CONFIG_SYSVIPC)]
impl Watch {
    fn new(queue: Arc<OwnedQueue>) -> impl PinInit<Self> {
        pin_init!(Self {
            registries <- new_spinlock!(RBTree::new(), "rust_shm::Watch::registries"),
            queue,
        })
    }
}

/// Told by a kprobe, which may not sleep: the registry is taken out here, and its segments are let
/// go by a work item.
#[cfg(CONFIG_IPC_NS)]
impl OnNamespaceEnd for Arc<Namespaces> {
    fn namespace_ended(&self, id: NamespaceId) {
        let registry = self.registries.lock().remove(&id);
        if let Some(registry) = registry {
            #[cfg(CONFIG_SYSVIPC)]
            let _watched = self.creators.target().registries.lock().remove_node(&id);
            // It is not on the queue yet: a namespace ends once.
            let _ = self.queue.enqueue::<_, 0>(registry);
        }
    }
}

/// Told by a kprobe, which may not sleep: what there is to do is done by a work item.
#[cfg(CONFIG_SYSVIPC)]
impl OnRemovalForced for Arc<Namespaces> {
    fn removal_forced(&self, id: NamespaceId) {
        let registries = self.registries.lock();
        let Some(registry) = registries.get(&id) else {
            return;
        };
        registry.note_removal_forced();
        drop(registries);
        // Where it is on the queue, its turn has yet to come.
        let _ = self.queue.enqueue(self.clone());
    }
}

/// Told by a kprobe, which may not sleep.
#[cfg(CONFIG_SYSVIPC)]
impl OnCreatorLeaves for Arc<Watch> {
    fn creator_leaves(&self, thread: &CurrentThread<'_>) {
        for (_, registry) in self.registries.lock().iter() {
            Registry::creator_leaves(registry, thread, &self.queue);
        }
    }
}

/// `kernel.shm_rmid_forced` has been set somewhere: orphans go, and creators are watched from now
/// on.
impl WorkItem for Namespaces {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        loop {
            let unsettled = {
                let registries = this.registries.lock();
                let registry = registries.values().find(|registry| registry.is_unsettled());
                registry.cloned()
            };
            let Some(registry) = unsettled else {
                break;
            };
            // Without memory, the next `get` there tries again.
            let _ = this.watch(&registry);
            registry.settle();
        }
    }
}
