// SPDX-License-Identifier: MIT OR Apache-2.0

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The interface is libc's: there will be no other version of it.
    let name = concat!("-soname,", env!("CARGO_PKG_NAME"), ".so");
    for argument in [
        name,
        // Its descriptor stays open, so whoever loads it a second time should find the first.
        "-z,nodelete",
        // Nothing is caught or dropped here. But core, as it comes with the compiler, has the name.
        "--defsym=rust_eh_personality=0",
        "-z,defs",
        "-z,now",
    ] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    // The crate `libc` leaves that to std where another crate of the workspace has it with std.
    println!("cargo::rustc-cdylib-link-arg=-lc");
}
