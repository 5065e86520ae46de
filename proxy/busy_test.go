package proxy

import (
	"testing"
	"unsafe"
)

// TestIdleSession bounds what every client costs however long it has been idle. The proxy's
// benchmark says what that comes to in memory.
func TestIdleSession(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 288 {
		t.Errorf("a session takes %d bytes; those above 288 come from the next class of sizes, of 320", n)
	}
}
