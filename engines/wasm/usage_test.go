package wasm_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// residentBytes returns the memory of this process that is in RAM; 0 where the system
// does not tell.
func residentBytes(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// ownBytes is residentBytes with pages that are shared counted by shares: what the kernel shows
// of one file in many places is there once.
func ownBytes(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0
	}
	_, pss, _ := strings.Cut(string(text), "\nPss:")
	var kb int64
	if _, err := fmt.Sscan(pss, &kb); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

func goroutines() int64 { return int64(runtime.NumGoroutine()) }

// goHeap returns what the Go heap holds after a collection, which gives back to the
// system what it can.
func goHeap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
