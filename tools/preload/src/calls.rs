// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `shmget`, `shmat`, `shmdt` and `shmctl` do.
//!
//! The module refuses flags that it does not know; the system calls ignore them, and so do the
//! functions here. Everything else is the module's to decide.

use crate::device;
use crate::layout::native::{Information, Segment, Use, Wanted};
use crate::sys::{self, Errno, Result, UserMemory};
use core::ffi::{c_int, CStr};
use core::sync::atomic::{AtomicU8, Ordering};
use rust_shm_abi as abi;
use rust_shm_abi::{Attach, Ctl, Detach, Fd, Get, Limits, Stat, Usage};
use syscalls::Sysno;

/// Whose segments the program has. An id or an address of one means something else to the other, so it is
/// decided once: before the first call, for the process and for those that it starts.
static WHOSE: AtomicU8 = AtomicU8::new(UNDECIDED);
const UNDECIDED: u8 = 0;
const DEVICE: u8 = 1;
const BUILTIN: u8 = 2;

/// What `RUST_SHM_FALLBACK` says. Who decides changes it, so that programs that are started later find it
/// decided.
mod fallback {
    /// As any other value: the device.
    pub(super) const NEVER: u8 = b'0';
    /// The device if there is one now, otherwise the kernel's own calls.
    pub(super) const IF_MISSING: u8 = b'1';
    /// The kernel's own calls.
    pub(super) const ALWAYS: u8 = b'2';
}

/// Decides by the environment, when the library is loaded.
pub(crate) fn decide() {
    let (whose, value) = match sys::environment(FALLBACK) {
        Some(fallback::ALWAYS) => (BUILTIN, fallback::ALWAYS),
        Some(fallback::IF_MISSING) => match device::probe() {
            Ok(()) | Err(Errno::ACCES) => (DEVICE, fallback::NEVER),
            Err(Errno::NOSYS) => (BUILTIN, fallback::ALWAYS),
            // It cannot be told yet.
            Err(_) => return,
        },
        _ => (DEVICE, fallback::NEVER),
    };
    if WHOSE
        .compare_exchange(UNDECIDED, whose, Ordering::AcqRel, Ordering::Acquire)
        .is_ok()
    {
        sys::change_environment(FALLBACK, value);
    }
}

const FALLBACK: &CStr = c"RUST_SHM_FALLBACK";

/// Whether it is the kernel's own calls that are made.
pub(crate) fn are_builtin() -> Result<bool> {
    if WHOSE.load(Ordering::Acquire) == UNDECIDED {
        // Before the library's own constructor, libc may not have found the environment yet: then
        // nothing is decided by its absence.
        if sys::environment(FALLBACK).is_some() {
            decide();
        }
    }
    match WHOSE.load(Ordering::Acquire) {
        UNDECIDED => device::descriptor().map(|_| false),
        whose => Ok(whose == BUILTIN),
    }
}

pub(crate) fn get(key: c_int, size: usize, flags: c_int) -> Result<usize> {
    if are_builtin()? {
        return sys::builtin(Sysno::shmget, [key as usize, size, flags as usize]);
    }
    device::call(
        abi::IOC_GET,
        &mut Get {
            key,
            flags: known_of_get(flags as u32),
            size: size as u64,
        },
    )
}

fn known_of_get(flags: u32) -> u32 {
    const HUGE_SIZE: u32 = abi::HUGE_MASK << abi::HUGE_SHIFT;
    let known = 0o777 | abi::IPC_CREAT | abi::IPC_EXCL | abi::HUGETLB | abi::NORESERVE;
    if flags & abi::HUGETLB != 0 {
        flags & (known | HUGE_SIZE)
    } else {
        flags & known
    }
}

/// Returns the address.
pub(crate) fn attach(id: c_int, address: usize, flags: c_int) -> Result<usize> {
    if are_builtin()? {
        return sys::builtin(Sysno::shmat, [id as usize, address, flags as usize]);
    }
    let mut argument = Attach {
        id,
        flags: flags as u32 & (abi::RDONLY | abi::RND | abi::REMAP | abi::EXEC),
        addr: address as u64,
        length: 0,
    };
    device::call(abi::IOC_ATTACH, &mut argument).map(|_| argument.addr as usize)
}

/// Returns a descriptor. The kernel has no such call of its own: `ENOSYS`.
pub(crate) fn descriptor(id: c_int, flags: c_int) -> Result<usize> {
    if are_builtin()? {
        return Err(Errno::NOSYS);
    }
    device::call(
        abi::IOC_FD,
        &mut Fd {
            id,
            flags: flags as u32,
        },
    )
}

pub(crate) fn detach(address: usize) -> Result<usize> {
    if are_builtin()? {
        return sys::builtin(Sysno::shmdt, [address, 0, 0]);
    }
    let mut argument = Detach {
        addr: address as u64,
        ..Detach::default()
    };
    loop {
        match device::call(abi::IOC_DETACH, &mut argument) {
            // A signal has come while another thread detached. `shmdt` knows no such error.
            Err(Errno::INTR) => continue,
            result => return result,
        }
    }
}

pub(crate) fn control(id: c_int, command: c_int, to: usize) -> Result<usize> {
    if are_builtin()? {
        let command = command | sys::STRUCTURES;
        return sys::builtin(Sysno::shmctl, [id as usize, command as usize, to]);
    }
    control_device(id, command, UserMemory(to))
}

fn control_device(id: c_int, command: c_int, to: UserMemory) -> Result<usize> {
    let cmd = command as u32;
    let with_nothing = || {
        device::call(
            abi::IOC_CTL,
            &mut Ctl {
                id,
                cmd,
                ..Ctl::default()
            },
        )
    };
    match cmd {
        abi::IPC_STAT | abi::STAT | abi::STAT_ANY => {
            let mut stat = Stat::default();
            let result = control_with(id, cmd, &mut stat)?;
            to.write(Segment::from(&stat))?;
            Ok(result)
        }
        abi::IPC_SET => {
            // No device, and a negative id, come before EFAULT.
            device::descriptor()?;
            if id < 0 {
                return Err(Errno::INVAL);
            }
            let wanted: Wanted = to.read()?;
            control_with(id, cmd, &mut wanted.wanted().to_stat())
        }
        abi::IPC_INFO => {
            let mut limits = Limits::default();
            let result = control_with(id, cmd, &mut limits)?;
            to.write(Information::from(&limits))?;
            Ok(result)
        }
        abi::INFO => {
            let mut usage = Usage::default();
            let result = control_with(id, cmd, &mut usage)?;
            to.write(Use::from(&usage))?;
            Ok(result)
        }
        _ => with_nothing(),
    }
}

/// With one of the module's own structures.
fn control_with<T: sys::Plain>(id: c_int, cmd: u32, argument: &mut T) -> Result<usize> {
    device::call(
        abi::IOC_CTL,
        &mut Ctl {
            id,
            cmd,
            arg: sys::address_of(argument),
            arg_size: size_of::<T>() as u32,
            flags: 0,
        },
    )
}

/// The limits, as the module has them.
pub(crate) fn limits() -> Result<Limits> {
    let mut limits = Limits::default();
    control_with(0, abi::IPC_INFO, &mut limits)?;
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_ignores_is_not_passed_on() {
        assert_eq!(known_of_get(0o1777), 0o1777);
        assert_eq!(known_of_get(!0), 0o17777 | (0x3f << abi::HUGE_SHIFT));
        // The size of a huge page says nothing without SHM_HUGETLB.
        assert_eq!(known_of_get(abi::HUGE_2MB | 0o600), 0o600);
        assert_eq!(
            known_of_get(abi::HUGE_2MB | abi::HUGETLB),
            abi::HUGE_2MB | abi::HUGETLB
        );
    }
}
