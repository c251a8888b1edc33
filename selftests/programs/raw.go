// SPDX-License-Identifier: GPL-2.0-only

// System V shared memory from Go, without a C library: the calls are system calls in a static program.
//
//	raw check          what one segment does; of many goroutines, too
//	raw hold KEY SIZE  makes a segment, writes its id, and keeps it attached until its input ends
//	raw read KEY       the text that somebody has left there
//	raw write KEY TEXT
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

const (
	ipcPrivate = 0
	ipcCreat   = 0o1000
	ipcRmid    = 0
	ipcStat    = 2
)

// struct shmid64_ds of x86-64.
type shmidDs struct {
	key                 int32
	uid, gid, cuid, cgid uint32
	mode                uint32
	_                   [24]byte
	segsz               uint64
	atime, dtime, ctime int64
	cpid, lpid          int32
	nattch              uint64
	_                   [16]byte
}

func try(what string, result uintptr, errno syscall.Errno) uintptr {
	if errno != 0 {
		panic(fmt.Sprintf("%s: %v", what, errno))
	}
	return result
}

func get(key, size, flags int) uintptr {
	id, _, errno := syscall.Syscall(syscall.SYS_SHMGET, uintptr(key), uintptr(size), uintptr(flags))
	return try("shmget", id, errno)
}

// The memory of a segment, which the garbage collector knows nothing of.
func attach(id uintptr, size int) []byte {
	address, _, errno := syscall.Syscall(syscall.SYS_SHMAT, id, 0, 0)
	address = try("shmat", address, errno)
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), size)
}

func detach(memory []byte) {
	_, _, errno := syscall.Syscall(syscall.SYS_SHMDT, uintptr(unsafe.Pointer(&memory[0])), 0, 0)
	try("shmdt", 0, errno)
}

func stat(id uintptr) (ds shmidDs) {
	_, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, id, ipcStat, uintptr(unsafe.Pointer(&ds)))
	try("IPC_STAT", 0, errno)
	return
}

func remove(id uintptr) {
	_, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, id, ipcRmid, 0)
	try("IPC_RMID", 0, errno)
}

func is(what string, got, expected any) {
	if got != expected {
		panic(fmt.Sprintf("%s is %v, should be %v", what, got, expected))
	}
}

func checkOne(size int, mark byte) {
	id := get(ipcPrivate, size, 0o640)
	memory := attach(id, size)
	for i := range memory {
		memory[i] = mark
	}
	again := attach(id, size)
	ds := stat(id)
	is("nattch", ds.nattch, uint64(2))
	is("segsz", ds.segsz, uint64(size))
	is("mode", ds.mode, uint32(0o640))
	is("cpid", ds.cpid, int32(os.Getpid()))
	is("the last byte", again[size-1], mark)
	detach(memory)
	detach(again)
	is("nattch", stat(id).nattch, uint64(0))
	remove(id)
	_, _, errno := syscall.Syscall(syscall.SYS_SHMAT, id, 0, 0)
	is("attach of a removed one", errno, syscall.EINVAL)
}

// The runtime sends its threads signals meanwhile.
func check() {
	var all sync.WaitGroup
	for worker := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for round := range 50 {
				checkOne(1+worker*7001+round*4096, byte(worker<<4|round&15))
			}
		}()
	}
	all.Wait()
	fmt.Println("ok")
}

func number(text string) int {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		panic(err)
	}
	return int(n)
}

func main() {
	arguments := append(os.Args[1:], "", "", "")
	switch arguments[0] {
	case "check":
		check()
	case "hold":
		size := number(arguments[2])
		id := get(number(arguments[1]), size, ipcCreat|0o600)
		memory := attach(id, size)
		copy(memory, "held\x00")
		fmt.Println(id)
		io.Copy(io.Discard, os.Stdin)
		detach(memory)
		remove(id)
	case "read", "write":
		id := get(number(arguments[1]), 0, 0)
		memory := attach(id, int(stat(id).segsz))
		if arguments[0] == "write" {
			copy(memory, arguments[2]+"\x00")
		}
		for end := range memory {
			if memory[end] == 0 {
				fmt.Println(string(memory[:end]))
				break
			}
		}
		detach(memory)
	default:
		panic("raw check | hold KEY SIZE | read KEY | write KEY TEXT")
	}
}
