package wasmbin

// badModule is what the reader panics with; Decode turns it into an error.
type badModule string

// A reader takes values off b. Running off the end panics with badModule.
type reader struct {
	b []byte
	i int
}

func (r *reader) fail(what string) { panic(badModule(what)) }

func (r *reader) u8() byte {
	if r.i >= len(r.b) {
		r.fail("ends too early")
	}
	c := r.b[r.i]
	r.i++
	return c
}

// u32 reads an unsigned LEB128 of at most 5 bytes.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := uint(0); shift < 35; shift += 7 {
		c := r.u8()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if v > 0xffffffff {
				r.fail("integer too large")
			}
			return uint32(v)
		}
	}
	r.fail("integer too long")
	return 0
}

// s64 reads a signed LEB128 of at most 10 bytes.
func (r *reader) s64() int64 {
	var v int64
	for shift := uint(0); shift < 70; shift += 7 {
		c := r.u8()
		v |= int64(c&0x7f) << shift
		if c < 0x80 {
			if shift+7 < 64 && c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
	r.fail("integer too long")
	return 0
}

func (r *reader) count() int {
	n := r.u32()
	if n > maxItems || int(n) > len(r.b)-r.i {
		r.fail("count too large")
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b)-r.i {
		r.fail("ends too early")
	}
	b := r.b[r.i : r.i+n : r.i+n]
	r.i += n
	return b
}

func (r *reader) str() string { return string(r.bytes(int(r.u32()))) }

// sub returns a reader of the next n bytes that keeps positions in the whole module.
func (r *reader) sub(n int) *reader {
	from := r.i
	r.bytes(n)
	return &reader{b: r.b[: from+n : from+n], i: from}
}

func (r *reader) limits() {
	flags := r.u8()
	r.u32()
	if flags&1 != 0 {
		r.u32()
	}
}

// constExpr reads an initialiser and returns its value if it is one integer constant,
// else 0.
func (r *reader) constExpr() int64 {
	var v int64
	for n := 0; ; n++ {
		var c int64
		switch r.u8() {
		case OpEnd:
			return v
		case OpI32Const, opI64Const:
			c = r.s64()
		case 0x23, 0xd2: // global.get, ref.func
			r.u32()
		case 0x43:
			r.bytes(4)
		case 0x44:
			r.bytes(8)
		case 0xd0: // ref.null
			r.u8()
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // extended constants
		default:
			r.fail("initialiser that is not constant")
		}
		if v = c; n > 0 {
			v = 0
		}
	}
}
