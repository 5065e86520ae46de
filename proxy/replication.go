package proxy

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A through is a server connection of one client's own, for replication.
type through struct {
	nc   net.Conn
	key  wire.BackendKeyData
	rest []byte
}

// openReplication opens a connection for a client that asks for replication, with its own
// startup parameters, and greets the client.
func (s *session) openReplication(greeting []byte) error {
	p, err := s.db.Servers.Pick(s.context(), route.Primary)
	if err != nil {
		return err
	}
	params := map[string]string{}
	for _, q := range s.client.Params {
		if q.Name != "user" && q.Name != "database" && !q.IsProtocolOption() {
			params[q.Name] = q.Value
		}
	}
	ctx, cancel := s.context(), func() {}
	if d := p.Config().ConnectTimeout; d > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, d, wire.Errorf(wire.CodeConnectionFailure, "the server does not answer"))
	}
	defer cancel()
	t := &through{}
	var reported setting.Set
	if t.nc, t.key, reported, t.rest, err = pool.Open(ctx, p.Backend(), params); err != nil {
		return err
	}
	s.own.through = t
	for _, q := range reported.All() {
		if greeting, err = wire.Append(greeting, &wire.ParameterStatus{Name: statusName(q.Name), Value: q.Value}); err != nil {
			return err
		}
	}
	if greeting, err = wire.Append(greeting, &wire.BackendKeyData{PID: s.id, Key: s.key()}); err != nil {
		return err
	}
	if greeting, err = wire.Append(greeting, &wire.ReadyForQuery{TxStatus: wire.TxIdle}); err != nil {
		return err
	}
	return s.toClient(greeting)
}

// replicate copies both ways until one side ends.
func (s *session) replicate(received []byte) error {
	t := s.own.through
	defer t.nc.Close()
	stop := context.AfterFunc(s.context(), func() { _ = t.nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if len(received) > 0 {
		if _, err := t.nc.Write(received); err != nil {
			return err
		}
	}
	if len(t.rest) > 0 {
		if err := s.toClient(t.rest); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(s.nc, t.nc)
		_ = s.nc.Close()
	})
	_, err := io.Copy(t.nc, s.nc)
	// What the client said last is still answered, if it has closed only its side.
	_ = t.nc.SetReadDeadline(time.Now().Add(time.Second))
	wg.Wait()
	return err
}
