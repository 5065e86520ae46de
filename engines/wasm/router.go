package wasm

import (
	"encoding/binary"
	"strings"
)

// A router takes the guest's output apart and hands it on: to the current client, to a
// capture for the host's own statements, or to nobody. Of most messages it sees only the
// header.
type router struct {
	b       *backend
	target  *client
	capture *capture

	header  []byte // of the message at hand, as far as it has come
	remain  int    // bytes of its body still to come
	special []byte // header and body so far of a message that is looked at
	looking bool
	batch   []byte // for the client, sent at the end of write
}

// A capture is what a statement of the host's gave back.
type capture struct {
	rows   [][]string
	status [][2]string // parameter status
	err    *fault
}

// write takes output of the guest.
func (r *router) write(b []byte) {
	for len(b) > 0 {
		if r.remain == 0 && !r.looking {
			n := min(headerLen-len(r.header), len(b))
			r.header = append(r.header, b[:n]...)
			b = b[n:]
			if len(r.header) < headerLen {
				break
			}
			r.remain = int(binary.BigEndian.Uint32(r.header[1:])) - 4
			r.looking = r.looksAt(r.header[0])
			if r.looking {
				r.special = append(r.special[:0], r.header...)
			} else {
				r.pass(r.header)
			}
			r.header = r.header[:0]
		}
		n := min(r.remain, len(b))
		if r.looking {
			r.special = append(r.special, b[:n]...)
		} else {
			r.pass(b[:n])
		}
		b = b[n:]
		if r.remain -= n; r.remain == 0 && r.looking {
			r.looking = false
			r.look(r.special)
		}
	}
	r.send()
}

// looksAt says which messages are kept together: those that change what the host knows
// of the session, and everything in a capture.
func (r *router) looksAt(typ byte) bool {
	switch typ {
	case 'Z', 'S', 'A':
		return true
	}
	return r.capture != nil
}

func (r *router) pass(b []byte) {
	if r.target != nil && r.target.fatal == nil {
		r.batch = append(r.batch, b...)
	}
}

func (r *router) send() {
	if len(r.batch) == 0 {
		return
	}
	if c := r.target; c != nil && !c.stream.send(r.batch) && c.fatal == nil {
		c.fatal = &fault{code: "08006", message: "connection to client lost"}
	}
	r.batch = r.batch[:0]
}

func (r *router) look(msg []byte) {
	body := msg[headerLen:]
	switch msg[0] {
	case 'A':
		r.b.listening.deliver(r.b, msg)
		return
	case 'S':
		name, value, _ := strings.Cut(strings.TrimSuffix(string(body), "\x00"), "\x00")
		if r.capture != nil {
			r.capture.status = append(r.capture.status, [2]string{name, value})
			return
		}
		// Loading a session changes parameters, of which its client knows already.
		if c := r.target; c != nil {
			if known, ok := c.params[name]; ok && known == value {
				return
			}
			c.params[name] = value
		}
	case 'Z':
		if r.capture != nil {
			return
		}
		if c := r.target; c != nil {
			c.status, c.midway = body[0], false
		}
	case 'D':
		if r.capture != nil {
			r.capture.rows = append(r.capture.rows, textRow(body))
		}
	case 'E':
		if r.capture != nil && r.capture.err == nil {
			r.capture.err = errorFields(body)
		}
	}
	if r.capture == nil {
		r.pass(msg)
	}
}

// textRow reads a DataRow; NULL becomes "".
func textRow(body []byte) []string {
	n := int(binary.BigEndian.Uint16(body))
	out := make([]string, n)
	body = body[2:]
	for i := range out {
		size := int(int32(binary.BigEndian.Uint32(body)))
		body = body[4:]
		if size > 0 {
			out[i] = string(body[:size])
			body = body[size:]
		}
	}
	return out
}
