// SPDX-License-Identifier: GPL-2.0

//! The misc device: decodes an ioctl, calls one function, encodes the answer. No policy.
//!
//! There is one [`OpenDevice`] for each open file, owned by it. It remembers the registry of the
//! first namespace it was used in, so that the usual call looks nothing up; a caller in another
//! namespace is looked up each time.

use crate::shm::{
    call::{
        attach,
        calls,
        detach,
        restore,
        table::Cursor, //
    },
    registry::{
        namespace::Namespaces,
        settings,
        Registry, //
    },
    rules::{
        permission,
        uapi, //
    },
    segment::memory,
    sys::{
        compat::{
            eopnotsupp,
            FromBytes,
            Immutable,
            IntoBytes,
            SetOnce, //
        },
        fs::{
            mapping::Access,
            misc::{
                DeviceFile,
                Program, //
            }, //
        },
        mm::{
            user,
            vma, //
        },
        served,
        task::{
            cred,
            ipc_ns::{
                self,
                Capability,
                CurrentIpcNamespace, //
            }, //
        }, //
    }, //
};
use kernel::{
    iov::IovIterDest,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// An open file of the device.
#[pin_data]
pub(crate) struct OpenDevice {
    namespaces: Arc<Namespaces>,
    first: SetOnce<(ipc_ns::NamespaceId, Arc<Registry>)>,
    #[pin]
    cursor: Mutex<Cursor>,
}

impl DeviceFile for OpenDevice {
    type Context = Arc<Namespaces>;

    fn open(namespaces: &Arc<Namespaces>) -> impl PinInit<Self, Error> {
        let namespaces = namespaces.clone();
        try_pin_init!(Self {
            namespaces,
            first: SetOnce::new(),
            cursor <- new_mutex!(Cursor::new(), "rust_shm::OpenDevice::cursor"),
        })
    }

    fn ioctl(&self, program: Program, cmd: u32, arg: UserPtr) -> Result<isize> {
        match cmd {
            uapi::IOC_VERSION => version(arg),
            uapi::IOC_GET => self.get(user::read(arg)?),
            uapi::IOC_ATTACH => self.attach(program, user::read(arg)?, arg),
            uapi::IOC_DETACH => self.detach(&user::read(arg)?),
            uapi::IOC_CTL => self.ctl(&user::read(arg)?),
            uapi::IOC_SERVE => self.serve(&user::read(arg)?),
            uapi::IOC_FD => self.descriptor(&user::read(arg)?),
            uapi::IOC_RESTORE => self.restore(&user::read(arg)?),
            _ => Err(ENOTTY),
        }
    }

    fn read(&self, position: &mut i64, to: &mut IovIterDest<'_>) -> Result<usize> {
        self.with_registry(|namespace, registry| {
            let viewer = namespace.credentials();
            let mut copied = 0;
            while !to.is_empty() {
                // The text is copied without the lock: user space may make that take long.
                let Some(text) = self.cursor.lock().text_at(registry, viewer, *position) else {
                    break;
                };
                let wanted = text.bytes().len().min(to.len());
                let done = to.copy_to_iter(text.bytes());
                copied += done;
                *position += done as i64;
                if done < wanted {
                    return if copied == 0 { Err(EFAULT) } else { Ok(copied) };
                }
            }
            Ok(copied)
        })
    }
}

fn version(arg: UserPtr) -> Result<isize> {
    user::write(
        arg,
        &uapi::Version {
            abi: uapi::ABI_VERSION,
            reserved: 0,
            features: if served::CAN_SERVE {
                u64::from(uapi::FEATURE_SERVE)
            } else {
                0
            } | u64::from(uapi::FEATURE_FD | uapi::FEATURE_RESTORE),
        },
    )?;
    Ok(0)
}

/// A user pointer that travels in 64 bits; `EFAULT` where it does not fit.
fn user_ptr(address: u64) -> Result<UserPtr> {
    Ok(UserPtr::from_addr(
        usize::try_from(address).map_err(|_| EFAULT)?,
    ))
}

impl OpenDevice {
    /// Calls `f` with the caller's namespace and its registry.
    fn with_registry<R>(
        &self,
        f: impl FnOnce(&CurrentIpcNamespace<'_>, &Arc<Registry>) -> Result<R>,
    ) -> Result<R> {
        ipc_ns::with_current(|namespace| {
            let id = namespace.id();
            if let Some((first, registry)) = self.first.as_ref() {
                if *first == id {
                    registry.destroy_orphaned(namespace);
                    return f(namespace, registry);
                }
            }
            let registry = self.namespaces.registry(id)?;
            if self.first.as_ref().is_none() {
                self.first.populate((id, registry.clone()));
            }
            registry.destroy_orphaned(namespace);
            f(namespace, &registry)
        })
    }

    fn get(&self, arg: uapi::Get) -> Result<isize> {
        let known = permission::PERMISSION_BITS | uapi::IPC_CREAT | uapi::IPC_EXCL;
        calls::huge_pages(arg.flags, known)?;
        let size = usize::try_from(arg.size).map_err(|_| EINVAL)?;
        let wanted = calls::wanted(arg.key, size, arg.flags);
        let id = self.with_registry(|namespace, registry| {
            calls::get(&self.namespaces, namespace, registry, &wanted)
        })?;
        Ok(id.number() as isize)
    }

    fn restore(&self, arg: &uapi::Restore) -> Result<isize> {
        let id = self.with_registry(|namespace, registry| {
            restore::restore(&self.namespaces, namespace, registry, arg)
        })?;
        Ok(id.number() as isize)
    }

    fn attach(&self, program: Program, mut arg: uapi::Attach, to: UserPtr) -> Result<isize> {
        if arg.flags & !(uapi::SHM_RDONLY | uapi::SHM_RND | uapi::SHM_REMAP | uapi::SHM_EXEC) != 0
            || arg.id < 0
        {
            return Err(EINVAL);
        }
        let address = usize::try_from(arg.addr).map_err(|_| EINVAL)?;
        let mode = attach::Mode::new(arg.flags, address, program.shmlba())?;
        // An answer that cannot be written must not leave an attach behind; and one with SHM_REMAP
        // cannot be undone.
        user::write(to, &arg)?;
        let range = self.with_registry(|namespace, registry| {
            attach::attach(registry, namespace, arg.id, &mode)
        })?;
        arg.addr = range.start as u64;
        arg.length = (range.end - range.start) as u64;
        if let Err(e) = user::write(to, &arg) {
            // Another thread has taken the memory of the answer away meanwhile.
            let _ = vma::unmap(range);
            return Err(e);
        }
        Ok(0)
    }

    fn detach(&self, arg: &uapi::Detach) -> Result<isize> {
        if arg.flags != 0 || arg.reserved != 0 {
            return Err(EINVAL);
        }
        let address = usize::try_from(arg.addr).map_err(|_| EINVAL)?;
        detach::detach(
            self.namespaces.mounts().all(),
            self.namespaces.detach_turns(),
            address,
        )?;
        Ok(0)
    }

    fn descriptor(&self, arg: &uapi::Fd) -> Result<isize> {
        if arg.flags & !(uapi::FD_RDWR | uapi::FD_CLOEXEC) != 0 || arg.id < 0 {
            return Err(EINVAL);
        }
        let access = if arg.flags & uapi::FD_RDWR != 0 {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let file = self.with_registry(|namespace, registry| {
            attach::descriptor(registry, namespace, arg.id, access)
        })?;
        let number = file.install(arg.flags & uapi::FD_CLOEXEC != 0)?;
        Ok(number as isize)
    }

    fn ctl(&self, arg: &uapi::Ctl) -> Result<isize> {
        // A negative id is EINVAL even where the id says nothing, as in `ksys_shmctl()`.
        let is_stat = || {
            matches!(
                arg.cmd,
                uapi::IPC_STAT | uapi::SHM_STAT | uapi::SHM_STAT_ANY
            )
        };
        if arg.id < 0 || (arg.flags != 0 && !(arg.flags == uapi::CTL_HUGE && is_stat())) {
            return Err(EINVAL);
        }
        match arg.cmd {
            uapi::IPC_RMID => {
                self.with_registry(|namespace, registry| registry.remove(namespace, arg.id))?;
                Ok(0)
            }
            uapi::SHM_LOCK | uapi::SHM_UNLOCK => {
                let lock = arg.cmd == uapi::SHM_LOCK;
                self.with_registry(|namespace, registry| {
                    registry.lock_in_memory(namespace, arg.id, lock)
                })?;
                Ok(0)
            }
            uapi::IPC_SET => {
                let new: uapi::Stat = arg.read_argument()?;
                if new.reserved != 0 || new.reserved2 != 0 {
                    return Err(EINVAL);
                }
                self.with_registry(|namespace, registry| registry.set(namespace, arg.id, &new))?;
                Ok(0)
            }
            uapi::IPC_STAT | uapi::SHM_STAT | uapi::SHM_STAT_ANY => self.stat(arg),
            uapi::IPC_INFO => {
                arg.check_size::<uapi::Limits>()?;
                let (limits, highest) = self.with_registry(|namespace, registry| {
                    Ok((calls::limits(namespace), registry.highest_index()))
                })?;
                arg.write_argument(&limits)?;
                Ok(highest as isize)
            }
            uapi::SHM_INFO => {
                arg.check_size::<uapi::Usage>()?;
                let (usage, highest) = self.with_registry(|_, registry| Ok(registry.usage()))?;
                arg.write_argument(&usage)?;
                Ok(highest as isize)
            }
            _ => Err(EINVAL),
        }
    }

    fn serve(&self, arg: &uapi::Serve) -> Result<isize> {
        if arg.flags != 0 || arg.op > uapi::SERVE_OFF {
            return Err(EINVAL);
        }
        self.with_registry(|namespace, registry| {
            if arg.op != uapi::SERVE_ASK && !namespace.capable(Capability::SysAdmin) {
                return Err(EPERM);
            }
            match arg.op {
                uapi::SERVE_ON => {
                    if !settings::unprivileged_serve() && !cred::is_sys_admin() {
                        return Err(EPERM);
                    }
                    let ns = namespace.get().ok_or(eopnotsupp())?;
                    calls::serve(&ns, &self.namespaces, registry)?;
                }
                uapi::SERVE_OFF => registry.end_serving()?,
                _ => (),
            }
            Ok(served::serves(namespace.id()).into())
        })
    }

    /// IPC_STAT, SHM_STAT and SHM_STAT_ANY.
    fn stat(&self, arg: &uapi::Ctl) -> Result<isize> {
        arg.check_size::<uapi::Stat>()?;
        let mut stat = uapi::Stat::default();
        let mut pages = None;
        let id = self.with_registry(|namespace, registry| {
            calls::stat(namespace, registry, arg.id, arg.cmd, &mut stat, |segment| {
                if arg.flags & uapi::CTL_HUGE != 0 {
                    pages = segment.to_count();
                }
            })
        })?;
        if let Some(pages) = pages {
            stat.huge = memory::huge_bytes(pages.view()) as u64;
        }
        arg.write_argument(&stat)?;
        Ok(if arg.cmd == uapi::IPC_STAT {
            0
        } else {
            id as isize
        })
    }
}

/// A structure that the `arg` of a [`uapi::Ctl`] points to. The program's may be larger than it is
/// known here, when it is newer; or smaller, when it is older.
trait Argument: Sized + FromBytes + IntoBytes + Immutable {
    /// Its size in the first revision: none is smaller.
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl Argument for uapi::Stat {
    const FIRST_SIZE: usize = core::mem::offset_of!(Self, swap);
}
impl Argument for uapi::Limits {}
impl Argument for uapi::Usage {}

impl uapi::Ctl {
    /// `EINVAL` if it is too small for a `T`, `E2BIG` if it is larger than any will be.
    fn check_size<T: Argument>(&self) -> Result {
        match self.arg_size as usize {
            size if size < T::FIRST_SIZE => Err(EINVAL),
            size if size > PAGE_SIZE => Err(E2BIG),
            _ => Ok(()),
        }
    }

    /// Reads it. `E2BIG` if it holds something that is not known here, as `copy_struct_from_user()`.
    fn read_argument<T: Argument>(&self) -> Result<T> {
        self.check_size::<T>()?;
        let mut user = UserSlice::new(user_ptr(self.arg)?, self.arg_size as usize).reader();
        let mut value = T::new_zeroed();
        let known = user.len().min(size_of::<T>());
        let bytes = value.as_mut_bytes().get_mut(..known).ok_or(EINVAL)?;
        user.read_slice(bytes)?;
        let mut part = [0; 64];
        while !user.is_empty() {
            let count = user.len().min(part.len());
            let part = part.get_mut(..count).ok_or(EINVAL)?;
            user.read_slice(part)?;
            if part.iter().any(|byte| *byte != 0) {
                return Err(E2BIG);
            }
        }
        Ok(value)
    }

    /// Writes it: as much as there is room for, and zeros behind it.
    fn write_argument<T: Argument>(&self, value: &T) -> Result {
        let at = user_ptr(self.arg)?;
        let size = self.arg_size as usize;
        if size == size_of::<T>() {
            return user::write(at, value);
        }
        let mut user = UserSlice::new(at, size).writer();
        let bytes = value.as_bytes();
        user.write_slice(bytes.get(..size.min(bytes.len())).ok_or(EINVAL)?)?;
        let zeros = [0; 64];
        while !user.is_empty() {
            user.write_slice(zeros.get(..user.len().min(zeros.len())).ok_or(EINVAL)?)?;
        }
        Ok(())
    }
}
