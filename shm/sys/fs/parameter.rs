// SPDX-License-Identifier: GPL-2.0

//! Parameters of the module that root may read and change while it is loaded, in
//! `/sys/module/rust_shm/parameters`.
//!
//! [`kernel::module_param`] has parameters that are set when the module is loaded, and never seen
//! in sysfs. Here a parameter is a word of memory with a type that says what may be in it.

use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    error::from_result,
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::{
        CStr,
        CStrExt,
        CString, //
    },
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// What a parameter may be. Its text, for who reads the parameter, is its [`fmt::Display`].
pub(crate) trait Setting: Copy + fmt::Display + 'static {
    /// What a text means. An error, commonly `EINVAL`, refuses it, and leaves the old value.
    fn parse(text: &str) -> Result<Self>;

    /// As a word.
    fn into_word(self) -> u64;

    /// From what [`into_word`](Self::into_word) has returned.
    fn from_word(word: u64) -> Self;
}

/// A parameter. [`parameter!`] makes one.
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

    /// What it is now.
    pub(crate) fn value(&self) -> V {
        V::from_word(self.word.load(Relaxed))
    }

    /// # Safety
    ///
    /// `parameter` must be one that [`parameter!`] has made with [`Self::OPS`].
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
    /// Called by the kernel with a text, or null, and as [`Self::of`] has it.
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
            // What is written to sysfs mostly ends with a newline.
            let value = V::parse(text.to_str()?.trim_ascii())?;
            this.word.store(value.into_word(), Relaxed);
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel with a buffer of a page, and as [`Self::of`] has it.
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
            // SAFETY: The buffer has room for a page, and is nobody else's.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().cast(), buffer, bytes.len()) };
            // CAST: It is less than a page.
            Ok((bytes.len() - 1) as c_int)
        })
    }
}

/// The bytes of a text as an array, for a section of the module.
pub(crate) const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// Makes a `static` [`Parameter`], and makes it known to the kernel and to `modinfo(8)`:
///
/// ```ignore
/// parameter! {
///     /// For who reads the source.
///     pub(crate) static SIZE: Size = Size::LARGE, "size", 0o644, "For who reads modinfo";
/// }
/// ```
///
/// The value must be a constant whose `into_word()` is `value as u64`. The mode is that of the file
/// in sysfs.
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
            // The kernel reads an array of these when the module is loaded.
            #[allow(unsafe_code)]
            #[link_section = "__param"]
            #[used(compiler)]
            static PARAMETER: ::kernel::module_param::KernelParam =
                ::kernel::module_param::KernelParam::new(::kernel::bindings::kernel_param {
                    name: concat!($name, "\0").as_ptr().cast(),
                    mod_: ::kernel::module::this_module::<$crate::LocalModule>().as_ptr(),
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
