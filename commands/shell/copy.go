package shell

import (
	"context"
	"errors"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"
)

// sendCopy feeds COPY FROM STDIN. It sends while the answer is read, because a server that
// cannot get rid of its notices stops reading. The data are read to their end even when
// the server has refused them: what follows is the script again.
func (s *shell) sendCopy(q query, r *receiver) error {
	in := q.copyIn
	if in == nil {
		return s.endCopy("this shell has no data for COPY FROM STDIN here")
	}
	sent := make(chan error, 1)
	go func() { sent <- s.copyFrom(in) }()
	for {
		msg, err := s.conn.ReceiveMessage(context.Background())
		if err != nil {
			return errors.Join(err, <-sent)
		}
		// One of these ends a COPY; ReadyForQuery, which the caller waits for, comes behind.
		switch msg := msg.(type) {
		case *pgproto3.CommandComplete:
			err := <-sent
			if recvErr := r.receive(msg); recvErr != nil {
				return recvErr
			}
			return err
		case *pgproto3.ErrorResponse:
			if err := r.receive(msg); err != nil {
				return err
			}
			return <-sent
		default:
			if err := r.receive(msg); err != nil {
				return errors.Join(err, <-sent)
			}
		}
	}
}

// copyFrom sends data to the server. An error of in makes the server refuse the COPY, so
// that nothing of it is kept; only an error of the connection is returned.
func (s *shell) copyFrom(in io.Reader) error {
	front := s.conn.Frontend()
	buf := make([]byte, 5, 64<<10)
	buf[0] = 'd'
	var connErr error
	for {
		n, err := in.Read(buf[5:cap(buf)])
		if n > 0 && connErr == nil {
			putLength(buf, n)
			connErr = front.SendUnbufferedEncodedCopyData(buf[:5+n])
		}
		switch {
		case errors.Is(err, io.EOF):
			if connErr != nil {
				return connErr
			}
			front.Send(&pgproto3.CopyDone{})
			return front.Flush()
		case err != nil:
			return errors.Join(connErr, s.endCopy(err.Error()))
		}
	}
}

// putLength writes the length of a message with n bytes of data behind its type.
func putLength(buf []byte, n int) {
	n += 4
	buf[1], buf[2], buf[3], buf[4] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
}

func (s *shell) endCopy(reason string) error {
	front := s.conn.Frontend()
	front.Send(&pgproto3.CopyFail{Message: reason})
	return front.Flush()
}
