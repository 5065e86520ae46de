package wire

import (
	"runtime"
	"strings"
	"testing"
)

// TestDecodersLetGo decodes 32 MiB of everything that can be long, and expects a decoder that
// then rests to hold none of it.
func TestDecodersLetGo(t *testing.T) {
	var fe FrontendDecoder
	var be BackendDecoder
	long := make([]byte, 32<<20)
	for _, m := range []Message{
		&Query{SQL: strings.Repeat("x", len(long))},
		&Bind{Params: [][]byte{long}},
		&Bind{Params: make([][]byte, 65535)},
		&CopyData{Data: long},
		&DataRow{Values: [][]byte{long}},
	} {
		b := m.AppendTo(nil)
		var err error
		if _, ok := m.(FrontendMessage); ok {
			_, err = fe.Decode(Type(b[0]), b[HeaderLen:])
		} else {
			_, err = be.Decode(Type(b[0]), b[HeaderLen:])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	held := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	with := held()
	runtime.KeepAlive(&fe)
	runtime.KeepAlive(&be)
	fe, be = FrontendDecoder{}, BackendDecoder{}
	if without := held(); with > without+1<<20 {
		t.Errorf("the decoders held %d bytes", with-without)
	}
	runtime.KeepAlive(&fe)
	runtime.KeepAlive(&be)
}

// TestIdleReader reads a large message and then small ones: the buffer becomes small again.
func TestIdleReader(t *testing.T) {
	stream := (&CopyData{Data: make([]byte, 10<<20)}).AppendTo(nil)
	for range 10 {
		stream = (&Sync{}).AppendTo(stream)
	}
	r := NewReader(&chunked{b: stream, size: 1 << 20}, Frontend, 0)
	for {
		if _, err := r.ReadFrame(); err != nil {
			break
		}
	}
	if len(r.buf) > maxReadBuffer {
		t.Errorf("%d bytes are kept", len(r.buf))
	}
}
