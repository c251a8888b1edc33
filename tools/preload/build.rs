// SPDX-License-Identifier: MIT OR Apache-2.0

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The interface is libc's, and so there will hardly be a version 1. Programs that are linked with a library say which they want; what is
    // preloaded has no version.
    let name = match env!("CARGO_PKG_NAME") {
        "librust_shm" => "-soname,librust_shm.so.0",
        _ => concat!("-soname,", env!("CARGO_PKG_NAME"), ".so"),
    };
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
