# SPDX-License-Identifier: GPL-2.0
# rust_shm: System V shared memory as a kernel module. What the targets do is in scripts/.

# `make KDIR=tree` builds for any prepared kernel tree with this host's tools, as DKMS does; otherwise the toolbox is used.
OUT ?= build/module

# Variables given to make reach the scripts by the environment, a command as it was written.
ifdef CMD
override CMD := $(value CMD)
endif
export CMD WITH SHARE PROGRAMS RUST_SHM_OFFLINE GUESTS CPUS MEM SMALL KERNEL KERNELS KDIR ACCEL TIMEOUT BOOT_TIMEOUT SEEDS STEPS APPEND QEMU_ARGS MODULE_PARAMS NOMODULE T V QUICK STAGES MIRROR RUST_SHM_CACHE RUST_SHM_SLOW MINUTES REPLAY TIMES SEED ROW SIDE PLOT ARCH FORMAT
export DESTDIR PREFIX LIBDIR LIB32DIR ZSHDIR KVER
# What make was given on its command line or by a parent make is not for the makes below.
unexport MAKEFLAGS MFLAGS MAKEOVERRIDES

TOOLBOX := qemu/toolbox

.PHONY: docs rust-project.json install uninstall install-dkms deb test-install test-programs test-configs test-kernels tools oracle fuzz coverage failures bench profile help kernel module symbols toolbox toolbox-shell vm shell test test-all stress check run clean clean-cache
.DEFAULT_GOAL := module

help:
	@sed -n 's/^## \{0,1\}//p' Makefile

## make                   build the module: build/module/rust_shm.ko
## make KDIR=tree         build it with this host's tools for a prepared kernel tree (DKMS does this)
module:
	@$(if $(KDIR),scripts/module "$(KDIR)" "$(OUT)",scripts/for-kernel module)

## make symbols           the kernel's symbols that the module imports, one a line, and how they are exported; KERNEL=..., ARCH=arm64
##     FORMAT=abi_symbollist   as a list of symbols for Android's kernels has them
symbols:
	@scripts/for-kernel symbols

## make tools             build what is in tools/ for user space: build/tools/; and build/programs/no-sysv
tools:
	@scripts/for-kernel tools

## make install           install what is built, as root: PREFIX=/usr/local DESTDIR= KVER=; see Documentation/install.md
## make install-dkms      hand the source to DKMS, which builds it for this kernel and the next ones
## make uninstall         remove what these have installed
install:
	@MODULE="$(OUT)/rust_shm.ko" packaging/install
install-dkms:
	@packaging/install dkms
	@$(if $(DESTDIR),,packaging/dkms-add)
uninstall:
	@packaging/install uninstall
## make deb               Debian packages: rust-shm-dkms, -tools, librust-shm0, -dev, and lib32rust-shm0, -dev for 32-bit programs: build/deb/
deb:
	@$(TOOLBOX) enter -- scripts/in-toolbox deb
## make test-install      install, DKMS, packages: a part of test-all; and a user's machine: about an hour more where it is emulated
##     T=machine          only that machine; with QUICK=1 it compiles kernels' crates outside of its own kernel: 25 minutes
test-install:
	@$(TOOLBOX) enter -- scripts/in-toolbox test-install

## make test [T=program]  all tests, in two guests side by side (GUESTS=2); ends with "N passed, N failed"
##     SMALL=512M         memory of the guest for tests with little memory; T=pressure has its full size with 1G
test:
	@scripts/for-kernel test
##     KERNEL=7.2         on Debian's newest 7.2; 7.3-rt and 7.3-cloud are its flavours; testing: on that of Debian's next release; see KERNEL below
## make test-kernels      the suite on each of Debian's kernels that the module supports; writes their table in README.md; KERNELS='7.2 7.3-rt'
test-kernels:
	@selftests/runner/test-kernels
## make test-all          make test, and longer tests: on a kernel without CONFIG_SYSVIPC, all of them as 32-bit programs, ...
test-all:
	@scripts/for-kernel test-all
## make test-programs [T=program]   real programs, unchanged, on rust_shm: PostgreSQL, X, ipcs, stress-ng, ...
##     RUST_SHM_OFFLINE=1   downloads nothing; tests of what is not in the cache are skipped
test-programs:
	@scripts/for-kernel test-programs
## make test-configs [T=NUMA=n]   the module builds for kernels of other configurations, or says why not: selftests/runner/configs
test-configs:
	@$(TOOLBOX) enter -- scripts/in-toolbox test-configs
## make stress [SECONDS=120]   all calls at once and at random, on 8 CPUs; STRESS_SEED=n STRESS_PROCESSES=16
stress:
	@STRESS_SECONDS="$(SECONDS)" scripts/for-kernel stress
## make kernel KERNEL=7.2-rt   fetch one of Debian's kernels (series, and -rt or -cloud) and prepare it for building modules (once)
## make kernel KERNEL=testing   the newest of Debian's next release, by its rustc and gcc, which come with it: once, 5 minutes, 2 GB; testing-rt, -cloud
## make kernel KERNEL=6.18   Debian's of the LTS kernel, in its last version
## make kernel KERNEL=name   build a kernel of our own (once, 10 to 15 minutes; it is kept in the cache), for KERNEL=name below and for
##                        make test, oracle, stress: nosysv (without CONFIG_SYSVIPC), kasan (memory, leaks), kcsan (data races), fault (failures)
kernel:
	@qemu/kernel $(KERNEL) >/dev/null
## make oracle            random calls on the built-in and on the module, compared after every step, until they differ
##     SEEDS='1 2 3' STEPS=200000   steps for each seed (default: 4 seeds, 10000 steps)
##     WITH=served        by the system calls, in namespaces that the module serves
oracle:
	@scripts/for-kernel oracle
## make fuzz [MINUTES=10]   random programs of calls, of several threads, guided by coverage; KERNEL=kasan finds more
##     REPLAY=file TIMES=100    runs the programs of a file, such as build/fuzz/crash.*/programs after a failure; SEED=n
fuzz:
	@scripts/for-kernel fuzz
## make coverage          lines of shm/ that the oracle runs, and those that it does not (SEEDS, STEPS: default 4 seeds, 2000 steps)
coverage:
	@scripts/for-kernel coverage
## make failures          which of the module's `?` on allocations and copies of user memory meet an error in selftests/failnth.c; KERNEL=fault or kasan
failures:
	@scripts/for-kernel failures
## make check             checks that need no boot: formats, lints, links, licences
check:
	@$(TOOLBOX) enter -- scripts/in-toolbox check
## make docs              the pages as one book that can be searched, with pictures of rshm from a guest: build/book/index.html
##                        (the first time it builds mdBook: 5 to 10 minutes)
docs:
	@$(TOOLBOX) enter -- scripts/in-toolbox docs
## make rust-project.json what rust-analyzer needs for the module
rust-project.json:
	@$(TOOLBOX) enter -- scripts/in-toolbox rust-project
	@scripts/rust-project.py build/module/rust-project.json "$$($(TOOLBOX) path)" >$@.new && mv $@.new $@
## make run               the demonstration in Documentation/, in a guest
run:
	@scripts/for-kernel demo

## make bench [ARGS='row...']   the same work on the built-in and on the module, side by side; ARGS=many: by how many segments there are
##     PLOT=1             draws it: build/bench/*.svg
bench:
	@bench/run $(ARGS)

## make profile ROW=attach [SIDE=rust_shm]   the instructions of a row by function; a flame graph in build/profile/
profile:
	@scripts/for-kernel profile
## make vm CMD='...'      run a command in a guest with the module loaded, in /src; fails when it fails
##                        (make returns 2 for any failure; CMD='...' qemu/vm returns the status of the command)
##                        rshm and no-sysv are commands there, once `make tools` has built them
## make shell             a prompt there
vm:
	@qemu/vm
shell:
	@qemu/vm --shell
##     SHARE=dir          a directory of yours, writable at /share
##     KERNEL=tree        a built kernel tree, an image (with NOMODULE=1 or KDIR=tree), or a name as for make kernel
##     ARCH=arm64         for that architecture, as make, make tools, run, test and kernel too: 7.3-16k has pages of 16 KiB; build/arm64/
##     ACCEL=kvm|tcg|icount   default: kvm where it works, otherwise tcg (software)
##     CPUS=2 MEM=2G TIMEOUT=3600 BOOT_TIMEOUT=300 APPEND='kernel arguments' QEMU_ARGS='...' MODULE_PARAMS='...' NOMODULE=1

## make toolbox           set up the build environment (every target does it when needed)
## make toolbox-shell     a prompt in it, or CMD='...' in it
toolbox:
	@$(TOOLBOX) ensure
toolbox-shell:
	@TTY=1 TREE="$(KERNEL)" $(TOOLBOX) enter -- bash $(if $(CMD),-c "$$CMD")

## make clean             remove build/;  make clean-cache: remove the toolbox too
clean:
	rm -rf build
clean-cache: clean
	@$(TOOLBOX) clean
