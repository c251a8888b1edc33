// SPDX-License-Identifier: GPL-2.0

//! System V shared memory, as a loadable module.
//!
//! `/dev/rust_shm` offers what `shmget(2)`, `shmat(2)`, `shmdt(2)` and `shmctl(2)` offer, as ioctls. [`shm`] has the map of the code.

#![deny(unsafe_code)]
// Of macros, which make the initialisers of structures on kernels before 7.2: by the number of fields.
#![recursion_limit = "512"]

// Without debugfs, nothing asks for what `report.rs` shows.
#[cfg_attr(not(CONFIG_DEBUG_FS), allow(dead_code))]
mod shm;

use kernel::{
    prelude::*,
    sync::Arc, //
};
#[cfg(all(CONFIG_PROC_FS, not(CONFIG_SYSVIPC)))]
use shm::sys::fs::proc_file::SysvipcShm;
#[cfg(any(CONFIG_IPC_NS, CONFIG_SYSVIPC))]
use shm::sys::task::kprobe;
#[cfg(CONFIG_SYSVIPC)]
use shm::sys::task::task_work::TaskWork;
use shm::{
    call::{
        calls,
        device::OpenDevice, //
    },
    registry::{
        namespace::Namespaces,
        settings::{
            self,
            Settings, //
        }, //
    },
    segment::memory::Mounts,
    sys::{
        compat::{
            eopnotsupp,
            try_pin_init, //
        },
        fs::misc::Device,
        served,
        sync::{
            queue::OwnedQueue, //
            rcu_arc::RcuCallbacks,
        },
        task::ipc_ns::IpcNamespace, //
    }, //
};

module! {
    type: RustShm,
    name: "rust_shm",
    authors: ["The rust_shm authors"],
    description: "System V shared memory through /dev/rust_shm",
    license: "GPL",
}

/// The module. Its parts go away in this order: each may use those after it until then.
#[pin_data]
struct RustShm {
    _served: (),
    #[cfg(CONFIG_DEBUG_FS)]
    #[pin]
    _report: shm::call::report::Report,
    #[cfg(all(CONFIG_PROC_FS, not(CONFIG_SYSVIPC)))]
    #[pin]
    _table: SysvipcShm<OpenDevice>,
    #[pin]
    _device: Device<OpenDevice>,
    #[cfg(CONFIG_IPC_NS)]
    #[pin]
    _namespace_end: kprobe::Kprobe<kprobe::NamespaceEnd, Arc<Namespaces>>,
    #[cfg(CONFIG_SYSVIPC)]
    #[pin]
    _rmid_forced: kprobe::Kprobe<kprobe::RmidForced, Arc<Namespaces>>,
    #[cfg(CONFIG_SYSVIPC)]
    #[pin]
    _creator_leaves: kprobe::Kprobe<kprobe::CreatorLeaves, Arc<Namespaces>>,
    #[cfg(CONFIG_SYSVIPC)]
    _task_work: TaskWork,
    _calls: served::Calls,
    _namespaces: Arc<Namespaces>,
    _mounts: Arc<Mounts>,
    _callbacks: RcuCallbacks,
}

/// Serves the system calls of the first IPC namespace, if the parameter `serve` says so. An error does
/// not end loading: the device is there already, and whoever has opened it uses the module's code.
fn serve_first(namespaces: &Arc<Namespaces>) {
    let serve = || {
        let namespace = IpcNamespace::first().ok_or(eopnotsupp())?;
        let registry = namespaces.registry(namespace.id())?;
        calls::serve(&namespace, namespaces, &registry)
    };
    if !settings::serve() {
        return;
    }
    match serve() {
        Ok(()) => (),
        Err(e) if e == EBUSY => pr_err!("serve=1: the first IPC namespace has segments, so it is not served: ipcs -m shows them; remove them, then rshm system on\n"),
        Err(_) => pr_err!("serve=1: the system calls cannot be served\n"),
    }
}

impl kernel::InPlaceModule for RustShm {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _callbacks: RcuCallbacks,
            _mounts: Arc::new(Mounts::new()?, GFP_KERNEL)?,
            _namespaces: Arc::pin_init(
                Namespaces::new(_mounts.clone(), OwnedQueue::new(c"rust_shm")?, Settings::new()?),
                GFP_KERNEL,
            )?,
            _calls: served::Calls,
            #[cfg(CONFIG_SYSVIPC)]
            _task_work: TaskWork,
            #[cfg(CONFIG_IPC_NS)]
            _namespace_end <- kprobe::Kprobe::new(_namespaces.clone()),
            #[cfg(CONFIG_SYSVIPC)]
            _rmid_forced <- kprobe::Kprobe::new(_namespaces.clone()),
            #[cfg(CONFIG_SYSVIPC)]
            _creator_leaves <- kprobe::Kprobe::new(_namespaces.clone()),
            _device <- Device::new(
                c"rust_shm",
                settings::device_mode(),
                _namespaces.clone(),
            ),
            #[cfg(all(CONFIG_PROC_FS, not(CONFIG_SYSVIPC)))]
            _table <- SysvipcShm::new(_namespaces.clone()),
            #[cfg(CONFIG_DEBUG_FS)]
            _report <- shm::call::report::new(_namespaces.clone()),
            // Last: the module cannot be unloaded any more.
            _served: serve_first(_namespaces),
        })
    }
}
