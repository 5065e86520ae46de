package commands

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/place"
	"github.com/pgx-dev/pgx-dev/proxy/socket"
)

// defaultPort is PostgreSQL's (DEF_PGPORT).
const defaultPort = 5432

// A listenFlag is --listen unix[:DIR] or --listen tcp[:[HOST:]PORT], as every command that
// serves has it. The zero value is a Unix socket in a private directory.
type listenFlag struct {
	network, address string

	shared bool // others may listen at the same TCP address (so_reuseport)
}

// Decode reads the flag's value.
func (f *listenFlag) Decode(ctx *kong.DecodeContext) error {
	var text string
	err := ctx.Scan.PopValueInto("WHERE", &text)
	if err == nil {
		*f, err = parseListen(text)
	}
	return err
}

func parseListen(text string) (listenFlag, error) {
	network, address, given := strings.Cut(text, ":")
	switch {
	case network != "unix" && network != "tcp" || given && address == "":
		return listenFlag{}, fmt.Errorf("%q is not unix, unix:DIR, tcp, tcp:PORT or tcp:HOST:PORT", text)
	case network == "unix" || !given:
		return listenFlag{network: network, address: address}, nil
	}
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return listenFlag{}, fmt.Errorf("%q is not a port, nor a host and a port", strings.TrimPrefix(address, ":"))
	}
	return listenFlag{network: network, address: net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)}, nil
}

func (f listenFlag) tcp() bool { return f.network == "tcp" }

// listen listens: on TCP without an address at the first free port from 5432 on of the
// loopback interface; on a Unix socket without one in the private directory that belongs to
// key, which stands for what is served.
func (f listenFlag) listen(key string) (*listening, error) {
	if f.tcp() {
		address, tries := f.address, 1
		if address == "" {
			address, tries = net.JoinHostPort("127.0.0.1", strconv.Itoa(defaultPort)), 100
		}
		ln, err := f.listenTCP(address, tries)
		if err != nil {
			return nil, err
		}
		return &listening{Listener: ln, port: ln.Addr().(*net.TCPAddr).Port}, nil
	}
	l := &listening{port: defaultPort}
	if err := l.socket(f.address, key); err != nil {
		return nil, err
	}
	var err error
	l.Listener, err = engines.ListenUnix(filepath.Join(l.dir, ".s.PGSQL."+strconv.Itoa(l.port)))
	if err != nil {
		l.removeDir()
		return nil, err
	}
	return l, nil
}

func (f listenFlag) listenTCP(address string, tries int) (net.Listener, error) {
	if f.shared {
		return socket.Shared(address)
	}
	return engines.ListenTCP(address, tries)
}

// A listening is a listener with the address that clients use.
type listening struct {
	net.Listener
	dir  string // of the Unix socket; "" on TCP
	port int    // of TCP, or in the name of the socket
	made string // a directory that goes with the listener, unless it is used otherwise
}

var socketName = regexp.MustCompile(`^\.s\.PGSQL\.([0-9]{1,5})$`)

// socket sets the directory and the port number in the name of the socket that a person
// asked for: by the directory, or by the name that libpq gives sockets.
func (l *listening) socket(path, key string) (err error) {
	if path == "" {
		l.dir, err = place.Run(key)
		l.made = l.dir
		return err
	}
	if l.dir, err = filepath.Abs(path); err != nil {
		return err
	}
	if m := socketName.FindStringSubmatch(filepath.Base(l.dir)); m != nil {
		if l.port, err = strconv.Atoi(m[1]); err != nil {
			return err
		}
		l.dir = filepath.Dir(l.dir)
	}
	if limit := place.MaxSocketDir(); len(l.dir) > limit {
		return fmt.Errorf("listen in %s: its name has %d bytes, and sockets allow %d; choose a shorter one", l.dir, len(l.dir), limit)
	}
	if err := os.Mkdir(l.dir, 0o700); err == nil {
		l.made = l.dir
	} else if !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make a directory for the socket: %w", err)
	} else if fi, serr := os.Stat(l.dir); serr != nil || !fi.IsDir() {
		return errors.Join(fmt.Errorf("listen in %s: clients look for the socket .s.PGSQL.%d in a directory, and that is none", l.dir, l.port), serr)
	}
	return nil
}

// Close closes the listener and takes away the directory that was made for it.
func (l *listening) Close() error {
	err := l.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	l.removeDir()
	return err
}

func (l *listening) removeDir() {
	if l.made != "" {
		_ = os.Remove(l.made) // it stays while somebody else uses it
	}
}

// host returns where clients connect: the socket's directory or an address.
func (l *listening) host() string {
	if l.dir != "" {
		return l.dir
	}
	host, _, err := net.SplitHostPort(reachable(l.Addr()))
	if err != nil {
		return "127.0.0.1" // no TCP address is like this
	}
	return host
}

// reachable returns an address that this machine's clients can dial for one that is
// listened on: every interface is reached through the loopback one.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	host := "127.0.0.1"
	if tcp.IP.To4() == nil {
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}
