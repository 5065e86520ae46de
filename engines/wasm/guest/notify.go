package guest

// Offsets in AsyncQueueControl (async.c, PostgreSQL 18, wasm32): head and tail are
// QueuePositions (int64 page, int offset; 16 bytes), then stopPage, firstListener,
// lastQueueFillWarn and an array of QueueBackendStatus (pid, dboid, nextListener, pos; 32
// bytes each).
const (
	asyncHead     = 0
	asyncFirst    = 40
	asyncBackends = 56
	asyncStride   = 32
	asyncPos      = 16
)

// A Listener is the backend's place among those that listen, in shared memory.
type Listener struct {
	Proc      uint32 // number of the backend's entry
	PID, DB   uint32
	Page      uint64
	Offset    uint32
	Known     bool // an entry was seen, so that Proc, PID and DB are right
	Listening bool
}

// Listener reads the backend's place.
func (in *Instance) Listener(last Listener) Listener {
	c := in.Load(in.rt.pg.symbols.AsyncControl)
	first := in.Load(c + asyncFirst)
	l := last
	l.Listening = in.LoadByte(in.rt.pg.symbols.AmListening) != 0
	if l.Listening && int32(first) >= 0 {
		e := c + asyncBackends + first*asyncStride
		l.Proc, l.PID, l.DB, l.Known = first, in.Load(e), in.Load(e+4), true
		l.Page, l.Offset = in.position(e + asyncPos)
	}
	return l
}

func (in *Instance) position(at uint32) (page uint64, offset uint32) {
	page, _ = in.Memory().ReadUint64Le(at)
	return page, in.Load(at + 8)
}

// NotifyHead returns how far notifications have been written.
func (in *Instance) NotifyHead() (page uint64, offset uint32) {
	return in.position(in.Load(in.rt.pg.symbols.AsyncControl) + asyncHead)
}

// SetListener puts the backend's place as l says: listening from a position on, or not
// listening. l must be Known. With hold, notifications from l's position on are kept
// whether or not the backend listens: another listener, of no database, stands there, in
// the place of a backend that there never is.
func (in *Instance) SetListener(l Listener, hold bool) {
	const (
		invalid = 0xffffffff // INVALID_PROC_NUMBER; InvalidPid is -1 too
		nobody  = 0x7fffffff // a PID that no backend has, so that none is signalled
	)
	c := in.Load(in.rt.pg.symbols.AsyncControl)
	entry := func(proc uint32) uint32 { return c + asyncBackends + proc*asyncStride }
	first := uint32(invalid)
	put := func(proc, pid, db uint32, there bool) {
		e := entry(proc)
		if !there {
			in.Store(e, invalid)
			in.Store(e+4, 0)
			return
		}
		in.Store(e, pid)
		in.Store(e+4, db)
		in.Store(e+8, first)
		in.Memory().WriteUint64Le(e+asyncPos, l.Page)
		in.Store(e+asyncPos+8, l.Offset)
		first = proc
	}
	// In ascending order, as PostgreSQL has them: the backend itself is the first.
	put(l.Proc+1, nobody, 0, hold)
	put(l.Proc, l.PID, l.DB, l.Listening)
	in.Store(c+asyncFirst, first)
	listening := byte(0)
	if l.Listening {
		listening = 1
	}
	in.StoreByte(in.rt.pg.symbols.AmListening, listening)
}
