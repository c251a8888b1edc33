# SPDX-License-Identifier: GPL-2.0
# rust_shm: System V shared memory as a kernel module. All logic is in qemu/.

# `make KDIR=tree` builds for any prepared kernel tree with this host's tools, as DKMS does; otherwise the toolbox is used.
OUT ?= build/module

# Variables given to make reach the scripts by the environment, a command as it was written.
ifdef CMD
override CMD := $(value CMD)
endif
export CMD SHARE PROGRAMS RUST_SHM_OFFLINE GUESTS CPUS MEM SMALL KERNEL KERNELS KDIR ACCEL TIMEOUT SEEDS STEPS APPEND QEMU_ARGS MODULE_PARAMS NOMODULE T V WHOLE MIRROR RUST_SHM_CACHE RUST_SHM_SLOW MINUTES REPLAY TIMES SEED ROW SIDE PLOT
export DESTDIR PREFIX LIBDIR LIB32DIR ZSHDIR KVER
# What make was given on its command line or by a parent make is not for the makes below.
unexport MAKEFLAGS MFLAGS MAKEOVERRIDES

TOOLBOX := qemu/toolbox

.PHONY: docs rust-project.json install uninstall install-dkms deb test-install test-programs test-configs test-kernels tools oracle fuzz coverage bench profile help kernel module toolbox toolbox-shell vm shell test test-all stress check run clean clean-cache
.DEFAULT_GOAL := module

help:
	@sed -n 's/^## \{0,1\}//p' Makefile

## make                   build the module: build/module/rust_shm.ko
## make KDIR=tree         build it with this host's tools for a prepared kernel tree (DKMS does this)
module:
	@$(if $(KDIR),qemu/module "$(KDIR)" "$(OUT)",$(TOOLBOX) enter -- qemu/in-toolbox module)

## make tools             build what is in tools/ for user space: build/tools/; and build/programs/no-sysv
tools:
	@$(TOOLBOX) enter -- qemu/in-toolbox tools

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
## make deb               Debian packages rust-shm-dkms, rust-shm-tools, librust-shm0, librust-shm-dev: build/deb/
deb:
	@$(TOOLBOX) enter -- qemu/in-toolbox deb
## make test-install      install, DKMS, packages, which is a part of test-all; and a machine of a user, emulated: 15 to 25 minutes more
##     T=machine          that machine only; WHOLE=1 has the kernel's crates compiled there too, which natively done takes a tenth of the time
test-install:
	@$(TOOLBOX) enter -- qemu/in-toolbox test-install

## make test [T=program]  everything that is tested, in two guests side by side (GUESTS=2); ends with "N passed, N failed"
##     SMALL=512M         memory of the guest for what is tested with little: for T=pressure, 1G is the full size
test:
	@qemu/test
##     KERNEL=7.2         on Debian's newest 7.2; 7.3-rt and 7.3-cloud are its flavours; see KERNEL below
## make test-kernels      the suite on each of Debian's kernels that the module is for, and their table in README.md; KERNELS='7.2 7.3-rt'
test-kernels:
	@qemu/test-kernels
## make test-all          that, and what takes longer: the tests on a kernel without CONFIG_SYSVIPC, all of them as 32-bit programs, ...
test-all:
	@qemu/test all
## make test-programs [T=program]   programs that others have written, unchanged, on rust_shm: PostgreSQL, X, ipcs, stress-ng, ...
test-programs:
	@qemu/test programs
## make test-configs [T=NUMA=n]   the module builds for kernels of other configurations, or is refused in a sentence: qemu/configs
test-configs:
	@$(TOOLBOX) enter -- qemu/in-toolbox test-configs
## make stress [SECONDS=120]   all that there is to do, at once and at random, on 8 CPUs; STRESS_SEED=n says what, STRESS_PROCESSES=16
stress:
	@STRESS_SECONDS="$(SECONDS)" qemu/oracle stress
## make kernel KERNEL=7.2-rt   fetch a kernel of Debian's (series, and -rt or -cloud), and prepare it for building modules (once)
## make kernel KERNEL=name   build a kernel of our own (once, 10 to 15 minutes; it is kept in the cache), for KERNEL=name below and for
##                        make test, oracle, stress: nosysv (without CONFIG_SYSVIPC), kasan (memory, leaks), kcsan (data races), fault (failures)
kernel:
	@qemu/kernel $(KERNEL) >/dev/null
## make oracle            random calls on the built-in and on the module, compared after every step, until they differ
##     SEEDS='1 2 3' STEPS=200000   steps for each seed (default: 4 seeds, 10000 steps)
oracle:
	@qemu/oracle
## make fuzz [MINUTES=10]   programs of calls, of several threads; guided by what they reach; KERNEL=kasan finds more
##     REPLAY=file TIMES=100    runs the programs of a file, as those in build/fuzz/crash.* after a failure; SEED=n
fuzz:
	@qemu/oracle fuzz
## make coverage          which lines of shm/ run under it (SEEDS, STEPS: default 4 seeds, 2000 steps), and which do not
coverage:
	@qemu/oracle coverage
## make check             only what needs no boot
check:
	@$(TOOLBOX) enter -- qemu/in-toolbox check
## make docs              the pages as one book that can be searched: build/book/index.html (the first time it builds mdBook)
docs:
	@$(TOOLBOX) enter -- qemu/in-toolbox docs
## make rust-project.json what rust-analyzer needs for the module
rust-project.json:
	@$(TOOLBOX) enter -- qemu/in-toolbox rust-project
	@qemu/rust-project.py build/module/rust-project.json "$$($(TOOLBOX) path)" >$@.new && mv $@.new $@
## make run               the demonstration in Documentation/, in a guest
run:
	@$(TOOLBOX) enter -- qemu/in-toolbox demo

## make bench [ARGS='row...']   the same work on the built-in and on the module, side by side; ARGS=many: by how many segments there are
##     PLOT=1             draws it: build/bench/*.svg
bench:
	@bench/run $(ARGS)

## make profile ROW=attach [SIDE=rust_shm]   where the instructions of a row go, by function; a flame graph in build/profile/
profile:
	@qemu/oracle profile
## make vm CMD='...'      run a command in a guest with the module loaded, in /src; fails when it fails
##                        (make says 2 for any failure; CMD='...' qemu/vm says the command's own status)
##                        rshm and no-sysv are commands there after `make tools`
## make shell             a prompt there
vm:
	@qemu/vm
shell:
	@qemu/vm --shell
##     SHARE=dir          a directory of yours, writable at /share
##     KERNEL=tree        a kernel tree you have built, an image (with NOMODULE=1 or KDIR=tree), or the name of one of Debian's or ours
##     ACCEL=kvm|tcg|icount   default: kvm where it works, otherwise tcg (software)
##     CPUS=2 MEM=2G TIMEOUT=3600 APPEND='kernel arguments' QEMU_ARGS='...' MODULE_PARAMS='...' NOMODULE=1

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
