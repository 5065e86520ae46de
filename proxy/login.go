package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/setting"
	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// maxWelcomes bounds how many sets of startup parameters are remembered with what the server
// reports for them.
const maxWelcomes = 1000

// welcomes remembers what clients are told when they come, so that most of them need no server
// for it.
type welcomes struct {
	mu   sync.Mutex
	told map[unique.Handle[string]]told
}

// A told is what clients with some startup parameters are told. Those parameters are there too,
// so that clients share them.
type told struct {
	params, reported setting.Set
	statuses         []byte // reported, as messages; not to be changed
}

func (w *welcomes) get(params setting.Set) (told, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.told[params.ID()]
	return t, ok
}

func (w *welcomes) put(t told) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil || len(w.told) >= maxWelcomes {
		w.told = map[unique.Handle[string]]told{}
	}
	w.told[t.params.ID()] = t
}

// statuses are the messages that tell a client what a server reports.
func statuses(reported setting.Set) (b []byte, err error) {
	for _, p := range reported.All() {
		if b, err = wire.Append(b, &wire.ParameterStatus{Name: statusName(p.Name), Value: p.Value}); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// serve serves a client that has been let in.
func (p *Proxy) serve(ctx context.Context, t *pgserver.Takeover) error {
	p.logins.Add(1)
	c := Client{User: t.Session.User(), Database: t.Session.Database(), Identity: t.Session.Identity(), Params: t.Params}
	ctx, end := context.WithCancelCause(ctx)
	defer end(errGoodbye)
	s := p.newSession(ctx, end, c, t.Conn)
	s.longKey = t.Session.Version() >= wire.Version32
	err := s.login(t)
	if err == nil && s.lc != nil {
		if p.cfg.LogConnections {
			s.log().Info("client connected")
		}
		s.begin(t.Received)
		return nil
	}
	if err == nil {
		if p.cfg.LogConnections {
			s.log().Info("client connected")
		}
		if s.replication() != "" {
			err = s.replicate(t.Received)
		} else if s.db.Sharded != nil {
			err = s.runSharded(t.Received)
		} else {
			err = s.run(t.Received)
		}
	}
	return s.depart(err)
}

// newSession makes a session that end ends, of a client at nc.
func (p *Proxy) newSession(ctx context.Context, end context.CancelCauseFunc, c Client, nc net.Conn) *session {
	s := &session{p: p, client: p.idle.share(c), nc: nc, own: &own{ctx: ctx, end: end}, since: p.instant(time.Now())}
	s.answered = s.since
	return s
}

// key is what cancel requests for the session must have. It is not kept but made each time.
func (s *session) key() []byte {
	n := 4
	if s.longKey {
		n = sha256.Size
	}
	// All that is ever hashed with the secret is as long as this, so that nobody can make another
	// session's key of his own by lengthening it.
	b := append(make([]byte, 0, len(s.p.secret)+16), s.p.secret[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.id))
	b = binary.BigEndian.AppendUint64(b, uint64(s.since))
	sum := sha256.Sum256(b)
	return sum[:n]
}

func (s *session) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// log returns the log with who the client is. It is made anew each time: most sessions log
// nothing, and there are many.
func (s *session) log() *slog.Logger {
	return s.p.log.With("user", s.client.User, "database", s.client.Database, "client", addr(s.nc.RemoteAddr()))
}

func addr(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// login finds the client's database and greets it.
func (s *session) login(t *pgserver.Takeover) error {
	if len(t.Unsent) > 0 {
		defer clear(t.Unsent)
	}
	greeting := t.Unsent
	refuse := func(err error) error {
		if len(greeting) > 0 {
			_ = s.toClient(greeting)
		}
		e := *wire.AsError(err)
		e.Severity = wire.SeverityFatal
		return &e
	}
	if s.p.closing.Load() {
		return refuse(&wire.Error{Code: wire.CodeCannotConnectNow, Message: "the proxy is shutting down"})
	}
	var err error
	if s.db, err = s.p.cfg.Lookup(s.context(), s.known()); err != nil {
		return refuse(err)
	}
	if err = s.p.admit(s); err != nil {
		return refuse(err)
	}
	if s.startup, err = s.p.cfg.startupParams(s.known()); err != nil {
		return refuse(err)
	}
	s.want = s.startup
	s.adopt(t)
	s.mu.Lock()
	s.retape()
	s.mu.Unlock()
	pid := uint32(0)
	var told []byte
	if s.replication() == "" {
		switch pid, err = s.early(); {
		case err != nil:
		case pid == 0:
			told, err = s.welcome()
		default:
			told, err = statuses(s.reported)
		}
		if err != nil {
			return refuse(err)
		}
	}
	s.p.add(s, pid)
	if s.replication() != "" {
		return s.openReplication(greeting)
	}
	greeting = append(slices.Grow(greeting, len(told)+greetingSize), told...)
	if greeting, err = wire.Append(greeting, &wire.BackendKeyData{PID: s.id, Key: s.key()}); err != nil {
		return err
	}
	if greeting, err = wire.Append(greeting, &wire.ReadyForQuery{TxStatus: wire.TxIdle}); err != nil {
		return err
	}
	return s.toClient(greeting)
}

// greetingSize is how long BackendKeyData and ReadyForQuery are, at most.
const greetingSize = wire.HeaderLen + 4 + sha256.Size + wire.HeaderLen + 1

// early gives a client in session mode its connection at once, if there is one to spare, and
// returns the server's process id: a client that has a server to itself can know it by the
// number that it has there. 0 is none.
func (s *session) early() (pid uint32, err error) {
	if s.db.Mode != Session || s.db.Sharded != nil {
		return 0, nil
	}
	p, err := s.db.Servers.Pick(s.context(), route.Primary)
	if err != nil {
		return 0, err
	}
	// Those that are being opened are for those who wait already.
	if st := p.Stats(); st.Size-st.Active-st.Connecting <= max(0, st.Waiting-st.Connecting) {
		return 0, nil // it will wait when it asks for something
	}
	c, err := s.first()
	if err != nil {
		return 0, err
	}
	c.Attach(s)
	s.mu.Lock()
	s.wakeUp()
	s.server = c
	s.mu.Unlock()
	return c.PID(), nil
}

// welcome finds out what a server reports for the client's startup parameters, and returns the
// messages that tell it. A server that refuses them refuses the client.
func (s *session) welcome() ([]byte, error) {
	if t, ok := s.db.welcome.get(s.startup); ok {
		s.startup, s.want, s.reported = t.params, t.params, t.reported
		return t.statuses, nil
	}
	c, err := s.first()
	if err != nil {
		return nil, err
	}
	c.Release()
	t := told{params: s.startup, reported: s.reported}
	if t.statuses, err = statuses(s.reported); err != nil {
		return nil, err
	}
	s.db.welcome.put(t)
	return t.statuses, nil
}

// first returns a connection with the client's startup parameters.
func (s *session) first() (*pool.Conn, error) {
	c, err := s.checkout(s.context(), route.Primary)
	if err != nil {
		return nil, err
	}
	if sql := syncSQL(c, s.startup); sql != "" {
		if err := setParams(s.context(), c, sql); err != nil {
			c.Unknown = true
			c.Release()
			return nil, err
		}
		c.Have, c.Unknown = s.startup, false
	}
	s.reported = c.Reported
	return c, nil
}

// replication is what the client asks for by the parameter of that name.
func (s *session) replication() string {
	v, _ := (&wire.StartupMessage{Params: s.client.Params}).Get("replication")
	v = strings.ToLower(v)
	if slices.Contains([]string{"", "false", "off", "no", "0"}, v) {
		return ""
	}
	return v
}
