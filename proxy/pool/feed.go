package pool

import "sync"

// A feed stands between a loop and a sink that may wait: a goroutine calls it.
type feed struct {
	sink  Sink
	conn  *Conn
	inbox inbox

	mu    sync.Mutex
	ended bool  // something else is attached
	lost  error // the connection has ended
}

func newFeed(c *Conn, s Sink) *feed {
	return &feed{sink: s, conn: c, inbox: inbox{more: make(chan struct{}, 1)}}
}

// Data implements Sink.
func (f *feed) Data(c *Conn, b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return 0, ErrDetached
	}
	f.inbox.put(c, b)
	return len(b), nil
}

// Lost implements Sink.
func (f *feed) Lost(_ *Conn, err error) {
	f.mu.Lock()
	f.lost = err
	f.mu.Unlock()
	f.wake()
}

// end says that the sink gets nothing more.
func (f *feed) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.wake()
}

func (f *feed) wake() {
	select {
	case f.inbox.more <- struct{}{}:
	default:
	}
}

// run is the goroutine. What is left when the sink is detached came out of turn: nobody can say
// who should get it.
func (f *feed) run() {
	var have []byte
	for {
		have = f.inbox.get(f.conn, have)
		f.mu.Lock()
		ended, lost := f.ended, f.lost
		f.mu.Unlock()
		if ended {
			if have = f.inbox.get(f.conn, have); len(have) > 0 {
				f.conn.Break("bytes of the server that nobody takes")
			}
			return
		}
		if len(have) > 0 {
			n, err := f.sink.Data(f.conn, have)
			if err != nil {
				f.conn.Break(err.Error())
				have = nil
			} else {
				have = have[:copy(have, have[n:])]
			}
			if n > 0 || err != nil {
				continue
			}
		}
		if lost != nil {
			f.sink.Lost(f.conn, lost)
			return
		}
		<-f.inbox.more
	}
}
