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
	c := in.Load(in.rt.symbols.AsyncControl)
	first := in.Load(c + asyncFirst)
	l := last
	l.Listening = in.LoadByte(in.rt.symbols.AmListening) != 0
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
	return in.position(in.Load(in.rt.symbols.AsyncControl) + asyncHead)
}

// SetListener puts the backend's place as l says: listening from a position on, or not
// listening. l must be Known.
func (in *Instance) SetListener(l Listener) {
	const invalidProc = 0xffffffff // INVALID_PROC_NUMBER; InvalidPid is -1 too
	c := in.Load(in.rt.symbols.AsyncControl)
	e := c + asyncBackends + l.Proc*asyncStride
	if !l.Listening {
		in.Store(c+asyncFirst, invalidProc)
		in.Store(e, invalidProc)
		in.Store(e+4, 0)
		in.StoreByte(in.rt.symbols.AmListening, 0)
		return
	}
	in.Store(c+asyncFirst, l.Proc)
	in.Store(e, l.PID)
	in.Store(e+4, l.DB)
	in.Store(e+8, invalidProc)
	in.Memory().WriteUint64Le(e+asyncPos, l.Page)
	in.Store(e+asyncPos+8, l.Offset)
	in.StoreByte(in.rt.symbols.AmListening, 1)
}
