// SPDX-License-Identifier: GPL-2.0

//! Ioctls with a mistake in them that the system calls leave no room for. The header says what comes of each.

use crate::layout::{BUFFER, BUFFER_NONE, BUFFER_READ_ONLY, PAGE};
use crate::sys::{self, Answer};
use rust_shm_abi::{
    Attach, Ctl, Detach, Limits, Stat, Version, ABI_VERSION, IOC_ATTACH, IOC_CTL, IOC_DETACH,
    IOC_GET, IOC_VERSION, IPC_INFO, IPC_RMID, IPC_SET,
};

/// One such ioctl.
pub struct Case {
    /// What the header says of it.
    pub expected: Answer,
    /// Makes it, with the device's descriptor.
    run: fn(i32) -> Answer,
}

impl Case {
    /// What the module says of it.
    pub fn done(&self, device: i32) -> Answer {
        sys::put(BUFFER, &[0u8; PAGE as usize]);
        (self.run)(device)
    }
}

const fn case(expected: Answer, run: fn(i32) -> Answer) -> Case {
    Case { expected, run }
}

const KERNEL: u64 = 0xffff_8880_0000_0000;
/// Where nothing is mapped.
const NOWHERE: u64 = 1 << 46;

/// An ioctl's number with another number or size in it.
const fn other(request: u32, number: u32, more: u32) -> u32 {
    ((request & !0xff) | number) + (more << 16)
}

fn detach(device: i32, flags: u32, reserved: u32) -> Answer {
    let mut detach = Detach {
        addr: NOWHERE,
        flags,
        reserved,
    };
    sys::ioctl_with(device, IOC_DETACH, &mut detach)
}

fn ctl(device: i32, mut ctl: Ctl) -> Answer {
    sys::ioctl_with(device, IOC_CTL, &mut ctl)
}

/// Reads limits into a structure of so many bytes in the buffer.
fn limits(device: i32, arg_size: u32) -> Answer {
    let (cmd, arg) = (IPC_INFO, BUFFER);
    ctl(
        device,
        Ctl {
            cmd,
            arg,
            arg_size,
            ..Ctl::default()
        },
    )
}

/// Sets an owner by a structure of so many bytes in the buffer.
fn set(device: i32, id: i32, arg_size: u32) -> Answer {
    let (cmd, arg) = (IPC_SET, BUFFER);
    ctl(
        device,
        Ctl {
            id,
            cmd,
            arg,
            arg_size,
            ..Ctl::default()
        },
    )
}

pub const CASES: &[Case] = &[
    case(Ok(ABI_VERSION as i64), |device| {
        let mut version = Version::default();
        sys::ioctl_with(device, IOC_VERSION, &mut version)?;
        Ok(version.abi.into())
    }),
    // Pointers that cannot be read or written.
    case(Err(libc::EFAULT), |device| {
        sys::ioctl(device, IOC_VERSION, BUFFER_NONE)
    }),
    case(Err(libc::EFAULT), |device| {
        sys::ioctl(device, IOC_GET, KERNEL)
    }),
    case(Err(libc::EFAULT), |device| {
        sys::ioctl(device, IOC_ATTACH, BUFFER_READ_ONLY)
    }),
    case(Err(libc::EFAULT), |device| {
        sys::read_to(device, BUFFER_NONE, 1)
    }),
    case(Err(libc::EFAULT), |device| {
        let limits = Ctl {
            cmd: IPC_INFO,
            arg: BUFFER_NONE - size_of::<Limits>() as u64,
            arg_size: PAGE as u32,
            ..Ctl::default()
        };
        ctl(device, limits)
    }),
    // Numbers that are none of ours.
    case(Err(libc::ENOTTY), |device| {
        sys::ioctl(device, other(IOC_GET, 99, 0), BUFFER)
    }),
    case(Err(libc::ENOTTY), |device| {
        sys::ioctl(device, other(IOC_GET, 1, 8), BUFFER)
    }),
    // Fields that have to be zero, and unknown flags.
    case(Err(libc::EINVAL), |device| detach(device, 1, 0)),
    case(Err(libc::EINVAL), |device| detach(device, 0, 1)),
    case(Err(libc::EINVAL), |device| {
        let remove = Ctl {
            cmd: IPC_RMID,
            arg: BUFFER,
            flags: 1,
            ..Ctl::default()
        };
        ctl(device, remove)
    }),
    case(Err(libc::EINVAL), |device| {
        let mut attach = Attach {
            flags: 1 << 30,
            ..Attach::default()
        };
        sys::ioctl_with(device, IOC_ATTACH, &mut attach)
    }),
    // Structures of another size: a longer one is filled up with zeros, and may have nothing else there.
    case(Ok(0), |device| {
        sys::put(BUFFER, &[0xffu8; PAGE as usize]);
        limits(device, PAGE as u32)?;
        let numbers: [u64; PAGE as usize / 8] = sys::take_numbers(BUFFER);
        let beyond = &numbers[size_of::<Limits>() / 8..];
        // As many numbers as are not zero.
        Ok(beyond.iter().filter(|number| **number != 0).count() as i64)
    }),
    case(Err(libc::E2BIG), |device| limits(device, PAGE as u32 + 1)),
    case(Err(libc::EINVAL), |device| limits(device, 8)),
    case(Err(libc::E2BIG), |device| {
        sys::put(BUFFER + PAGE / 2, &1u8);
        set(device, 0, PAGE as u32)
    }),
    case(Err(libc::EINVAL), |device| {
        // No segment has this id: `shm_next_id` is never set so that one could get it.
        set(device, i32::MAX - 1, size_of::<Stat>() as u32 + 200)
    }),
];
