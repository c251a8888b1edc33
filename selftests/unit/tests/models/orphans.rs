// SPDX-License-Identifier: GPL-2.0

//! No call finds a segment that must be gone, whatever removes it.

use crate::shm::{
    registry::{namespace::Namespaces, settings::Settings, Registry},
    segment::{creator::Creators, memory::Mounts},
    sys::{
        sync::queue::OwnedQueue,
        task::{
            ipc_ns::{self, CurrentIpcNamespace, NamespaceId},
            kprobe::{OnCreatorLeaves, OnRmidForced},
        },
    },
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc},
};
use loom::thread::spawn;
use std::marker::PhantomData;

const NAMESPACE: NamespaceId = NamespaceId::FIRST;

/// A namespace with one segment.
#[derive(Clone)]
struct World {
    namespaces: Arc<Namespaces>,
    registry: Arc<Registry>,
}

impl World {
    /// All threads of a model are one to the module, which has created the segment.
    fn new(rmid_forced: bool, runs: bool) -> Self {
        ipc_ns::RMID_FORCED.store(rmid_forced, Relaxed);
        let mounts = Arc::new(Mounts::new().unwrap(), GFP_KERNEL).unwrap();
        let namespaces = Namespaces::new(mounts, OwnedQueue::new(runs), Settings);
        let namespaces = Arc::pin_init(namespaces, GFP_KERNEL).unwrap();
        let registry = namespaces.registry(NAMESPACE).unwrap();
        registry.add(Creators::add_segment(namespaces.creators(), NAMESPACE).unwrap());
        Self {
            namespaces,
            registry,
        }
    }

    /// A call in the namespace; returns whether it finds the segment.
    fn call(&self) -> bool {
        self.registry
            .destroy_orphaned(&CurrentIpcNamespace(PhantomData));
        self.registry.first_from(0).is_some()
    }
}

/// Two tasks are the first to call in a namespace.
pub(super) fn first_calls() {
    let World { namespaces, .. } = World::new(false, false);
    let call = move || namespaces.registry(NAMESPACE.next()).unwrap();
    let other = spawn(call.clone());
    assert!(
        Arc::ptr_eq(&call(), &other.join().unwrap()),
        "a namespace has two registries"
    );
}

/// A creator exits, while another task removes its segment.
pub(super) fn exit_and_removal() {
    let world = World::new(true, false);
    let other = world.clone();
    let (_, segment) = world.registry.first_from(0).unwrap();
    let other = spawn(move || {
        drop(segment.lock());
        other.registry.remove(&segment);
    });
    world.namespaces.creator_leaves();
    assert!(!world.call(), "found though its creator has exited");
    other.join().unwrap();
}

/// A creator exits, while another task calls.
pub(super) fn exit_and_calls() {
    let world = World::new(true, false);
    let other = world.clone();
    let other = spawn(move || other.call());
    world.namespaces.creator_leaves();
    assert!(!world.call(), "found though its creator has exited");
    other.join().unwrap();
}

/// A creator exits, and a work item runs.
pub(super) fn exit_and_work_item() {
    let world = World::new(true, true);
    world.namespaces.creator_leaves();
    assert!(!world.call(), "found though its creator has exited");
    world.namespaces.queue().drain();
}

/// A creator exits in another namespace, while another task calls.
pub(super) fn exit_elsewhere_and_calls() {
    let world = World::new(true, false);
    let other = world.clone();
    let other = spawn(move || other.call());
    ipc_ns::CURRENT.with(|current| current.set(NAMESPACE.next()));
    world.namespaces.creator_leaves();
    assert!(
        !world.call(),
        "found though its creator has exited elsewhere"
    );
    other.join().unwrap();
}

/// A creator exits, while the sysctl is set, and work items run.
pub(super) fn exit_and_sysctl() {
    let world = World::new(false, true);
    let other = world.clone();
    let other = spawn(move || {
        ipc_ns::RMID_FORCED.store(true, Relaxed);
        other.namespaces.rmid_forced(NAMESPACE);
    });
    world.namespaces.creator_leaves();
    other.join().unwrap();
    assert!(
        !world.call(),
        "found though its creator has exited, and the sysctl is set"
    );
    world.namespaces.queue().drain();
}
