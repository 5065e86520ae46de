package front

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/dirlock"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/lease"
)

// Config says where to listen.
type Config struct {
	// Address is "unix", "unix:DIR" or "tcp:HOST:PORT".
	Address string
	// Dir is where "unix" puts its socket.
	Dir string
	// Grace is how long a lease outlives its client's last connection. Default: 2s.
	Grace time.Duration
	// Logger gets what there is to say. Default: none.
	Logger *slog.Logger
}

// A Front is a listening address. It is safe for concurrent use; who has it must Close it.
type Front struct {
	pool     *lease.Pool
	grace    time.Duration
	log      *slog.Logger
	listener net.Listener
	lock     *dirlock.Lock // of a unix socket
	url      string
	password string // over TCP

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	claims  map[string]*claim
	conns   map[net.Conn]bool
	cancels map[string]func(context.Context) (net.Conn, error) // by pid and cancel key
}

// port is the number in a Unix socket's name.
const port = 5432

// Listen begins to serve a pool at an address.
func Listen(ctx context.Context, pool *lease.Pool, cfg Config) (*Front, error) {
	f := &Front{
		pool: pool, grace: cfg.Grace, log: cfg.Logger, claims: map[string]*claim{}, conns: map[net.Conn]bool{},
		cancels: map[string]func(context.Context) (net.Conn, error){},
	}
	if f.grace == 0 {
		f.grace = lease.DefaultGrace
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	kind, where, _ := strings.Cut(cfg.Address, ":")
	var err error
	switch kind {
	case "unix":
		if where == "" {
			where = cfg.Dir
		}
		err = f.listenUnix(where)
	case "tcp":
		err = f.listenTCP(where)
	default:
		err = errors.New("want unix, unix:DIR or tcp:HOST:PORT")
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", cfg.Address, err)
	}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	f.work.Go(f.accept)
	return f, nil
}

func (f *Front) listenUnix(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if len(dir) > place.MaxSocketDir() {
		return fmt.Errorf("the directory's name has %d bytes, a socket's may have %d", len(dir), place.MaxSocketDir())
	}
	if err := place.Private(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port))
	if f.lock, err = dirlock.TryExclusive(path + ".pgx-dev"); errors.Is(err, dirlock.ErrHeld) {
		return fmt.Errorf("another lease server is there: %w", engines.ErrLocked)
	} else if err != nil {
		return err
	}
	_ = os.Remove(path) // what a killed one left; if it cannot be removed, listening fails
	if f.listener, err = net.Listen("unix", path); err != nil {
		return errors.Join(err, f.lock.Remove())
	}
	f.url = "postgresql:///lease?" + engines.EncodeQuery(url.Values{"host": {dir}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}})
	return nil
}

func (f *Front) listenTCP(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s is no loopback address; leases are for this machine only", host)
	}
	if f.listener, err = net.Listen("tcp", address); err != nil {
		return err
	}
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails
	sum := sha256.Sum256(b[:])
	f.password = hex.EncodeToString(sum[:12])
	u := url.URL{
		Scheme: "postgresql", User: url.UserPassword("lease", f.password), Host: f.listener.Addr().String(),
		Path: "/lease.LABEL", RawQuery: "sslmode=disable",
	}
	f.url = u.String()
	return nil
}

// URL returns what clients connect to. Over TCP they write a label of their own in the
// place of LABEL; it holds the password then.
func (f *Front) URL() string { return f.url }

// Env returns what leads clients here: DATABASE_URL and the PG* variables.
func (f *Front) Env() []string {
	env := []string{"DATABASE_URL=" + f.url}
	if f.password == "" {
		return append(env, "PGHOST="+filepath.Dir(f.listener.Addr().String()), "PGPORT="+strconv.Itoa(port), "PGDATABASE=lease")
	}
	host, port, _ := net.SplitHostPort(f.listener.Addr().String()) // a listener's address is one
	return append(env, "PGHOST="+host, "PGPORT="+port, "PGUSER=lease", "PGPASSWORD="+f.password, "PGDATABASE=lease.LABEL")
}

func (f *Front) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			if f.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				f.log.Warn("accept", "err", err)
				timer := time.NewTimer(50 * time.Millisecond)
				select {
				case <-timer.C:
					continue
				case <-f.ctx.Done():
					timer.Stop()
				}
			}
			return
		}
		pid := 0
		if unix, ok := conn.(*net.UnixConn); ok {
			var uid int
			pid, uid, err = lease.PeerOf(unix)
			if err != nil || uid != os.Geteuid() && uid != 0 {
				f.log.Warn("refused", "pid", pid, "uid", uid, "err", err)
				_ = conn.Close()
				continue
			}
		}
		if !f.track(conn) {
			_ = conn.Close()
			return
		}
		f.work.Go(func() {
			defer f.untrack(conn)
			c := client{front: f, conn: conn, pid: pid}
			if err := c.serve(f.ctx); err != nil && f.ctx.Err() == nil {
				f.log.Debug("client", "pid", pid, "err", err)
			}
		})
	}
}

func (f *Front) track(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return false
	}
	f.conns[conn] = true
	return true
}

func (f *Front) untrack(conn net.Conn) {
	_ = conn.Close()
	f.mu.Lock()
	delete(f.conns, conn)
	f.mu.Unlock()
}

// Close ends every connection and lease, and removes the socket.
func (f *Front) Close() error {
	f.cancel()
	err := f.listener.Close()
	f.mu.Lock()
	for conn := range f.conns {
		_ = conn.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
	f.mu.Lock()
	claims := f.claims
	f.claims = map[string]*claim{}
	f.mu.Unlock()
	for _, c := range claims {
		c.drop()
	}
	if f.lock != nil {
		err = errors.Join(err, f.lock.Remove())
	}
	return err
}
