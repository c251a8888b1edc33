// SPDX-License-Identifier: GPL-2.0

//! The calls themselves, for the ioctls of the device and for the system calls of an IPC namespace that
//! is served.

use crate::shm::{
    call::{
        attach,
        detach, //
    },
    registry::{
        create,
        namespace::Namespaces,
        settings,
        Registry, //
    },
    rules::{
        id::{
            Id,
            Key, //
        },
        limits,
        permission,
        uapi, //
    },
    segment::Segment,
    sys::{
        fs::misc::Program,
        mm::memlock,
        served::{
            self,
            SystemCalls, //
        },
        task::{
            cred,
            ipc_ns::{
                self,
                Capability,
                CurrentIpcNamespace,
                IpcNamespace, //
            }, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The calling task in its IPC namespace.
impl permission::Caller for CurrentIpcNamespace<'_> {
    fn euid(&self) -> permission::Uid {
        self.credentials().euid()
    }

    fn in_group(&self, gid: permission::Gid) -> bool {
        cred::in_group(gid)
    }

    fn has_ipc_owner(&self) -> bool {
        self.capable(Capability::IpcOwner)
    }

    fn has_sys_admin(&self) -> bool {
        self.capable(Capability::SysAdmin)
    }

    fn has_ipc_lock(&self) -> bool {
        self.capable(Capability::IpcLock)
    }

    fn may_lock_memory(&self) -> bool {
        memlock::is_allowed()
    }

    fn may_have_huge_pages(&self) -> bool {
        memlock::is_unlimited()
    }
}

/// The size of huge pages, its logarithm or 0, if flags ask for them.
fn huge_size(flags: u32) -> Option<u32> {
    (flags & uapi::SHM_HUGETLB != 0).then_some(flags >> uapi::SHM_HUGE_SHIFT & uapi::SHM_HUGE_MASK)
}

/// The same. `EINVAL` if the flags have others than those of memory and `known`.
pub(super) fn huge_pages(flags: u32, known: u32) -> Result<Option<u32>> {
    let huge = huge_size(flags);
    let size = huge.map_or(0, |_| uapi::SHM_HUGE_MASK << uapi::SHM_HUGE_SHIFT);
    if flags & !(known | uapi::SHM_HUGETLB | uapi::SHM_NORESERVE | size) != 0 {
        return Err(EINVAL);
    }
    Ok(huge)
}

/// Decodes the flags of `shmget(2)`; others are ignored.
pub(super) fn wanted(key: i32, size: usize, flags: u32) -> create::Wanted {
    create::Wanted {
        key: Key(key),
        size,
        mode: flags & permission::PERMISSION_BITS,
        create: flags & uapi::IPC_CREAT != 0,
        exclusive: flags & uapi::IPC_EXCL != 0,
        huge: huge_size(flags),
        no_reserve: flags & uapi::SHM_NORESERVE != 0,
        if_served: false,
    }
}

/// What making a segment needs of the module.
pub(super) fn context(namespaces: &Namespaces) -> create::Context<'_> {
    create::Context {
        settings: namespaces.settings(),
        creators: namespaces.creators(),
        queue: namespaces.queue(),
    }
}

/// `shmget(2)`.
pub(super) fn get(
    namespaces: &Namespaces,
    namespace: &CurrentIpcNamespace<'_>,
    registry: &Arc<Registry>,
    wanted: &create::Wanted,
) -> Result<Id> {
    let limits = || limits_of(namespace);
    Registry::get(
        registry,
        namespace,
        limits,
        &context(namespaces),
        wanted,
        || namespace.take_next_id(),
    )
}

/// The limits that hold in a namespace.
pub(super) fn limits_of(namespace: &CurrentIpcNamespace<'_>) -> limits::Limits {
    namespace.limits().unwrap_or_else(settings::limits)
}

/// IPC_INFO.
pub(super) fn limits(namespace: &CurrentIpcNamespace<'_>) -> uapi::Limits {
    let limits = limits_of(namespace);
    uapi::Limits {
        shmmax: limits.shmmax as u64,
        shmmin: limits::SHMMIN as u64,
        shmmni: limits.shmmni.into(),
        shmseg: limits.shmmni.into(),
        shmall: limits.shmall as u64,
    }
}

/// IPC_STAT, SHM_STAT and SHM_STAT_ANY, all but `stat.huge`: calls `also` with the segment, without
/// sleeping, and returns its id.
pub(super) fn stat(
    namespace: &CurrentIpcNamespace<'_>,
    registry: &Registry,
    id: i32,
    cmd: u32,
    stat: &mut uapi::Stat,
    also: impl FnOnce(&Segment),
) -> Result<u32> {
    let caller = (cmd != uapi::SHM_STAT_ANY).then_some(namespace);
    registry.with(id, cmd == uapi::IPC_STAT, |segment| {
        segment.stat(caller, namespace.credentials(), stat)?;
        stat.seq = registry.sequence(segment.id());
        also(segment);
        Ok(segment.id().number())
    })
}

/// Serves the system calls of a namespace with its registry from now on. `EBUSY` if the built-in has
/// segments in it; `EOPNOTSUPP`.
pub(crate) fn serve(
    namespace: &IpcNamespace,
    namespaces: &Arc<Namespaces>,
    registry: &Arc<Registry>,
) -> Result {
    served::serve(
        namespace,
        Served {
            namespaces: namespaces.clone(),
            registry: registry.clone(),
        },
    )
}

/// The system calls of a namespace. Each has the checks of the function of the same name in
/// `ipc/shm.c`; unknown flags are ignored there.
struct Served {
    namespaces: Arc<Namespaces>,
    registry: Arc<Registry>,
}

impl Served {
    fn with<R>(&self, f: impl FnOnce(&CurrentIpcNamespace<'_>) -> Result<R>) -> Result<R> {
        ipc_ns::with_current(|namespace| {
            self.registry.destroy_orphaned(namespace);
            f(namespace)
        })
    }
}

impl SystemCalls for Served {
    fn get(&self, key: i32, size: usize, flags: i32) -> Result<isize> {
        let wanted = create::Wanted {
            if_served: true,
            // CAST: Bits.
            ..wanted(key, size, flags as u32)
        };
        let id =
            self.with(|namespace| get(&self.namespaces, namespace, &self.registry, &wanted))?;
        Ok(id.number() as isize)
    }

    fn attach(&self, id: i32, at: usize, flags: i32, program: Program) -> Result<usize> {
        if id < 0 {
            return Err(EINVAL);
        }
        // CAST: Bits.
        let mode = attach::Mode::new(flags as u32, at, program.shmlba())?;
        let range = self.with(|namespace| attach::attach(&self.registry, namespace, id, &mode))?;
        Ok(range.start)
    }

    fn detach(&self, at: usize) -> Result {
        let mounts = self.namespaces.mounts().all();
        detach::detach(mounts, self.namespaces.detach_turns(), at)
    }

    fn stat(&self, id: i32, cmd: u32, to: &mut uapi::Stat) -> Result<isize> {
        let id = self.with(|namespace| stat(namespace, &self.registry, id, cmd, to, |_| ()))?;
        Ok(if cmd == uapi::IPC_STAT {
            0
        } else {
            id as isize
        })
    }

    fn set(&self, id: i32, new: &uapi::Stat) -> Result {
        self.with(|namespace| self.registry.set(namespace, id, new))
    }

    fn control(&self, id: i32, cmd: u32) -> Result {
        self.with(|namespace| match cmd {
            uapi::IPC_RMID => self.registry.remove(namespace, id),
            _ => {
                let lock = cmd == uapi::SHM_LOCK;
                self.registry.lock_in_memory(namespace, id, lock)
            }
        })
    }

    fn limits(&self) -> Result<(uapi::Limits, u32)> {
        self.with(|namespace| Ok((limits(namespace), self.registry.highest_index())))
    }

    fn usage(&self) -> Result<(uapi::Usage, u32)> {
        self.with(|_| Ok(self.registry.usage()))
    }
}
