// SPDX-License-Identifier: GPL-2.0

//! What `shmget`, `shmat`, `shmdt` and `shmctl` do.
//!
//! The module refuses flags that it does not know; the system calls ignore them, and so do the
//! functions here. Everything else is the module's to decide.

use crate::device;
use crate::layout::native::{Information, Segment, Use, Wanted};
use crate::sys::{self, number, Errno, Result, UserMemory};
use core::ffi::{c_int, c_long};
use core::sync::atomic::{AtomicU8, Ordering};
use rust_shm_abi as abi;
use rust_shm_abi::{Attach, Ctl, Detach, Get, Limits, Stat, Usage};

/// Whether the kernel's own calls are made where there is no device.
static FALLBACK: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

fn read_environment() -> bool {
    sys::is_one_in_environment(c"RUST_SHM_FALLBACK")
}

/// Remembers what `RUST_SHM_FALLBACK` is, when the library is loaded.
pub(crate) fn remember_environment() {
    let wanted = if read_environment() { YES } else { NO };
    FALLBACK.store(wanted, Ordering::Relaxed);
}

fn is_fallback_wanted() -> bool {
    match FALLBACK.load(Ordering::Relaxed) {
        // Not loaded yet; and libc may not have found the environment yet: nothing to remember.
        UNKNOWN => read_environment(),
        wanted => wanted == YES,
    }
}

/// A result of the device; or, where there is none, of the system call if that is wanted.
fn or_builtin(result: Result<usize>, number: c_long, arguments: [usize; 3]) -> Result<usize> {
    match result {
        Err(Errno::NOSYS) if is_fallback_wanted() => sys::builtin(number, arguments),
        result => result,
    }
}

pub(crate) fn get(key: c_int, size: usize, flags: c_int) -> Result<usize> {
    let result = device::call(
        abi::IOC_GET,
        &mut Get {
            key,
            flags: known_of_get(flags as u32),
            size: size as u64,
        },
    );
    or_builtin(result, number::SHMGET, [key as usize, size, flags as usize])
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
    let mut argument = Attach {
        id,
        flags: flags as u32 & (abi::RDONLY | abi::RND | abi::REMAP | abi::EXEC),
        addr: address as u64,
        length: 0,
    };
    let result = device::call(abi::IOC_ATTACH, &mut argument).map(|_| argument.addr as usize);
    or_builtin(
        result,
        number::SHMAT,
        [id as usize, address, flags as usize],
    )
}

pub(crate) fn detach(address: usize) -> Result<usize> {
    let mut argument = Detach {
        addr: address as u64,
        ..Detach::default()
    };
    loop {
        match device::call(abi::IOC_DETACH, &mut argument) {
            // A signal has come while another thread detached. `shmdt` knows no such error.
            Err(Errno::INTR) => continue,
            result => return or_builtin(result, number::SHMDT, [address, 0, 0]),
        }
    }
}

pub(crate) fn control(id: c_int, command: c_int, to: usize) -> Result<usize> {
    let result = control_device(id, command, UserMemory(to));
    or_builtin(result, number::SHMCTL, [id as usize, command as usize, to])
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
