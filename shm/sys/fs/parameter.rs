// SPDX-License-Identifier: GPL-2.0

//! Module parameters that are visible, and possibly writable, in `/sys/module/rust_shm/parameters`.
//!
//! Parameters of [`kernel::module_param`] can only be set at load time, and are not in sysfs.

use crate::shm::sys::compat::CStrExt as _;
use core::{
    ffi::CStr,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    error::from_result,
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The type of a parameter, stored as a word. Reads of the parameter return its [`fmt::Display`].
pub(crate) trait Setting: Copy + fmt::Display + 'static {
    /// Parses a text. On error, commonly `EINVAL`, the parameter keeps its value.
    fn parse(text: &str) -> Result<Self>;

    /// Converts to a word.
    fn into_word(self) -> u64;

    /// Converts from a word that [`into_word`](Self::into_word) returned.
    fn from_word(word: u64) -> Self;
}

/// A parameter, defined by [`parameter!`].
pub(crate) struct Parameter<V> {
    word: Atomic<u64>,
    _type: PhantomData<fn() -> V>,
}

impl<V> Parameter<V> {
    /// For [`parameter!`].
    pub(crate) const fn new(word: u64) -> Self {
        Self {
            word: Atomic::new(word),
            _type: PhantomData,
        }
    }
}

impl<V: Setting> Parameter<V> {
    /// For [`parameter!`].
    pub(crate) const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: 0,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// Returns the current value.
    pub(crate) fn value(&self) -> V {
        V::from_word(self.word.load(Relaxed))
    }

    /// # Safety
    ///
    /// `parameter` must be one that [`parameter!`] defined with [`Self::OPS`].
    unsafe fn of<'a>(parameter: *const bindings::kernel_param) -> &'a Self {
        // SAFETY: By this function's requirement `arg` points to a `static` of this type.
        unsafe {
            &*(*parameter)
                .__bindgen_anon_1
                .arg
                .cast_const()
                .cast::<Self>()
        }
    }

    /// # Safety
    ///
    /// Called by the kernel with a text or null; `parameter` as for [`Self::of`].
    unsafe extern "C" fn set(
        text: *const c_char,
        parameter: *const bindings::kernel_param,
    ) -> c_int {
        from_result(|| {
            if text.is_null() {
                return Err(EINVAL);
            }
            // SAFETY: By this function's requirement.
            let (this, text) = unsafe { (Self::of(parameter), CStr::from_char_ptr(text)) };
            // Text written to sysfs usually ends with a newline.
            let value = V::parse(text.to_str().map_err(|_| EINVAL)?.trim_ascii())?;
            this.word.store(value.into_word(), Relaxed);
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel with a buffer of one page; `parameter` as for [`Self::of`].
    unsafe extern "C" fn get(
        buffer: *mut c_char,
        parameter: *const bindings::kernel_param,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By this function's requirement.
            let this = unsafe { Self::of(parameter) };
            let text = CString::try_from_fmt(fmt!("{}\n", this.value()))?;
            let bytes = text.to_bytes_with_nul();
            if bytes.len() > PAGE_SIZE {
                return Err(E2BIG);
            }
            // SAFETY: The buffer has one page, and is not shared.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), buffer, bytes.len()) };
            // CAST: It is less than a page.
            Ok((bytes.len() - 1) as c_int)
        })
    }
}

/// For [`parameter!`]: what the kernel has of a parameter.
#[repr(transparent)]
pub(crate) struct KernelParam(pub(crate) bindings::kernel_param);

// SAFETY: It is never written to. What `arg` points to is atomic, and name and operations never change.
unsafe impl Sync for KernelParam {}

/// Parses a number, which is in base 16, 8 or 2 with `0x`, `0` or `0o`, and `0b`.
pub(crate) fn number(text: &str) -> Result<u64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, text.get(2..)),
        [b'0', b'o' | b'O', ..] => (8, text.get(2..)),
        [b'0', b'b' | b'B', ..] => (2, text.get(2..)),
        [b'0', ..] => (8, Some(text)),
        _ => (10, Some(text)),
    };
    u64::from_str_radix(digits.ok_or(EINVAL)?, radix).map_err(|_| EINVAL)
}

/// Converts a text to an array, for a section of the module.
pub(crate) const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// Defines a `static` [`Parameter`] for the kernel and `modinfo(8)`:
///
/// ```ignore
/// parameter! {
///     /// Documentation.
///     pub(crate) static SIZE: Size = Size::LARGE, "size", 0o644, "Description for modinfo";
/// }
/// ```
///
/// The default must be a constant whose `into_word()` is `value as u64`. The mode is that of the
/// sysfs file.
macro_rules! parameter {
    (
        $(#[$meta:meta])*
        $vis:vis static $NAME:ident: $type:ty = $default:expr, $name:literal, $mode:literal,
        $about:literal;
    ) => {
        $(#[$meta])*
        $vis static $NAME: $crate::shm::sys::fs::parameter::Parameter<$type> =
            $crate::shm::sys::fs::parameter::Parameter::new($default as u64);

        const _: () = {
            // The kernel reads an array of these at load time.
            #[allow(unsafe_code)]
            #[link_section = "__param"]
            #[used(compiler)]
            static PARAMETER: $crate::shm::sys::fs::parameter::KernelParam =
                $crate::shm::sys::fs::parameter::KernelParam(::kernel::bindings::kernel_param {
                    name: concat!($name, "\0").as_ptr().cast(),
                    mod_: $crate::shm::sys::compat::this_module(),
                    ops: &$crate::shm::sys::fs::parameter::Parameter::<$type>::OPS,
                    perm: $mode,
                    level: -1,
                    flags: 0,
                    __bindgen_anon_1: ::kernel::bindings::kernel_param__bindgen_ty_1 {
                        arg: (&raw const $NAME).cast_mut().cast(),
                    },
                });

            const ABOUT: &str = concat!("parm=", $name, ":", $about, "\0");
            #[allow(unsafe_code)]
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static INFO: [u8; ABOUT.len()] = $crate::shm::sys::fs::parameter::bytes(ABOUT);
        };
    };
}
pub(crate) use parameter;
