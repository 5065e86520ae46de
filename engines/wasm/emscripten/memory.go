package emscripten

// heapMax is what the guest's memory can grow to: its module's limit of 32768 pages.
const heapMax = 2 << 30

const page = 65536

func (p *Process) heapMax() uint64 {
	if p.HeapMax > 0 && p.HeapMax < heapMax {
		return p.HeapMax
	}
	return heapMax
}

func memoryCalls() map[string]Call {
	return map[string]Call{
		"_mmap_js":                func(p *Process, s []uint64) { p.mmap(s) },
		"_munmap_js":              ok, // musl frees the memory; mappings are private and never written back
		"emscripten_get_heap_max": func(p *Process, s []uint64) { s[0] = p.heapMax() },
		"emscripten_resize_heap": func(p *Process, s []uint64) {
			mem := p.Guest.Memory()
			old, want := uint64(mem.Size()), uint64(uint32(s[0]))
			// Growing by a fifth at least keeps the number of steps small; memory that is
			// not touched costs nothing.
			limit := p.heapMax()
			grown := min(max(want, old+old/5), limit)
			s[0] = 0
			for _, size := range []uint64{grown, want} {
				if size > old && size >= want && size <= limit {
					if _, ok := mem.Grow(uint32((size - old + page - 1) / page)); ok {
						s[0] = 1
						return
					}
				}
			}
		},
	}
}

// mmap gives the guest a private copy of a part of a file in memory of its own allocator,
// which is what Emscripten's mmap is.
func (p *Process) mmap(s []uint64) {
	n, off := uint32(s[0]), int64(s[4])
	allocated, addr := uint32(s[5]), uint32(s[6])
	d := p.fd(s[3])
	if d == nil || d.file == nil {
		result(s, -eBADF)
		return
	}
	size := (uint64(n) + page - 1) &^ (page - 1)
	if size > heapMax {
		result(s, -eNOMEM)
		return
	}
	at := uint32(p.Guest.Call("emscripten_builtin_memalign", page, size))
	if at == 0 {
		result(s, -eNOMEM)
		return
	}
	b := p.view(at, uint32(size))
	got, err := d.file.ReadAt(b[:n], off)
	if err != nil {
		result(s, -errno(err))
		return
	}
	clear(b[got:])
	p.putU32(allocated, 1)
	p.putU32(addr, at)
	result(s, 0)
}
