// Package engines defines the seam at which every kind of PostgreSQL meets its users.
//
// A native cluster, a WebAssembly guest, a remote server and a lease have one thing in
// common: a byte stream that speaks protocol 3. An [Engine] starts servers, a [Server]
// hands out such streams, and [Connect] runs pgx over one. Nothing here knows SQL;
// CREATE DATABASE and its like are pgx over Connect.
//
// Package native runs a postmaster, package wasm runs PostgreSQL inside this process,
// and package cluster lets many processes share either through a supervisor.
// Package enginetest is the suite that both engines pass.
package engines

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
)

var (
	// ErrNoRuntime reports that no PostgreSQL satisfies the request. The error that wraps
	// it says where was looked and how to get one.
	ErrNoRuntime = errors.New("no matching PostgreSQL")
	// ErrLocked reports that somebody else runs a server in the directory.
	ErrLocked = errors.New("in use by another process")
	// ErrNotExist reports that there is no cluster in the directory.
	ErrNotExist = errors.New("no cluster there")
	// ErrUnsupported reports something that the engine cannot do, by [Info.Can].
	ErrUnsupported = errors.New("not supported by this engine")
	// ErrVersion reports a data directory made by another major version.
	ErrVersion = errors.New("data directory is of another major version")
)

// An Engine starts PostgreSQL servers that the calling process owns: they end with it,
// however it ends. An Engine is safe for concurrent use.
type Engine interface {
	// Start creates the data directory if it is missing or empty, starts a server in it
	// and returns once Dial would succeed. The server holds the directory's lock until
	// Close, so that a second Start in the same directory fails with ErrLocked. Errors
	// wrap ErrNoRuntime, ErrLocked, ErrVersion or ErrNotExist where those are the cause;
	// whatever Start made before it failed is taken away again.
	Start(ctx context.Context, spec Spec) (Server, error)
}

// A Server is one running PostgreSQL. Its methods may be called from several goroutines.
type Server interface {
	// Dial opens a protocol 3 stream. The caller sends the startup message. A slot of
	// Info().MaxConns is taken at the startup message, not here, so that a CancelRequest
	// always gets through.
	Dial(ctx context.Context) (net.Conn, error)
	// Info describes the server. It does not change while the server runs.
	Info() Info
	// Done is closed when the server has ended, for whatever reason.
	Done() <-chan struct{}
	// Err says why the server ended: nil while it runs and after Close.
	Err() error
	// Close stops the server and waits until it has stopped; ctx bounds the polite part,
	// after which it is stopped without a checkpoint. A second Close does nothing.
	Close(ctx context.Context) error
}

// A Spec says which server to start. It is plain data, so that it can be handed to a
// supervisor process as JSON.
type Spec struct {
	// Dir is the data directory (PGDATA). Empty: a temporary directory that is destroyed
	// at Close.
	Dir string `json:"dir,omitempty"`
	// Version constrains the runtime: "16", "15.4", or, for the native engine, a glob on
	// the directory of its programs (anything with a slash). Empty: the version that made
	// the directory, else the engine's default.
	Version string `json:"version,omitempty"`
	// Template is a prepared data directory to copy instead of creating one. It must not
	// be in use.
	Template string `json:"template,omitempty"`
	// User is the superuser's name in a directory yet to be made. Default: postgres.
	User string `json:"user,omitempty"`
	// Params are server settings for this run only; nothing is written to the directory.
	Params map[string]string `json:"params,omitempty"`
	// Fast trades durability for speed, for this run only: fsync, synchronous_commit and
	// full_page_writes are off. A crash of the machine may lose the whole cluster.
	Fast bool `json:"fast,omitempty"`
	// TCP asks for a TCP listener too, on a loopback address: "127.0.0.1:5433", or port 0
	// for the first free one. Where the port is taken the next one is used; Info().TCP
	// has the address. Empty: none.
	TCP string `json:"tcp,omitempty"`
	// MustExist makes a missing cluster an error (ErrNotExist) rather than a new one.
	MustExist bool `json:"must_exist,omitempty"`
	// Discard says that the data need not outlive the server: Close stops it at once,
	// without a checkpoint. Implied by an empty Dir.
	Discard bool `json:"discard,omitempty"`
}

// Info describes a running server.
type Info struct {
	Engine     string     `json:"engine"`             // "native" or "wasm"
	Version    string     `json:"version"`            // as server_version, for instance "17.10"
	VersionNum int        `json:"version_num"`        // as server_version_num, for instance 170010
	Dir        string     `json:"dir"`                // data directory, absolute
	User       string     `json:"user"`               // superuser's name
	Database   string     `json:"database"`           // database that is always there: "postgres"
	Socket     string     `json:"socket,omitempty"`   // directory of the unix socket; empty if there is none
	Port       int        `json:"port,omitempty"`     // port number in the unix socket's name
	TCP        string     `json:"tcp,omitempty"`      // TCP address, host:port; empty if there is none
	PID        int        `json:"pid,omitempty"`      // postmaster's process id; 0 if it is no process
	MaxConns   int        `json:"max_conns"`          // sessions that may be open at once
	Bindir     string     `json:"bindir,omitempty"`   // directory of the runtime's programs, if any
	LogFile    string     `json:"log_file,omitempty"` // the server's log, if any
	Can        Capability `json:"can"`                // what the engine is able to do
}

// A Capability is a set of things that not every engine can do.
type Capability uint

// What an engine may be able to do. Commands refuse by these with ErrUnsupported.
const (
	CanReplicate  Capability = 1 << iota // walsender: BASE_BACKUP, replication slots
	CanArchive                           // archive_command
	CanSessions                          // sessions run side by side rather than in turn
	CanSubprocess                        // COPY PROGRAM, archive and restore commands
)

// capabilityNames are the names of the bits in JSON, in order.
var capabilityNames = [...]string{"replicate", "archive", "sessions", "subprocess"}

// MarshalJSON writes the names of the set's members.
func (c Capability) MarshalJSON() ([]byte, error) {
	names := []string{}
	for i, name := range capabilityNames {
		if c.Has(1 << i) {
			names = append(names, name)
		}
	}
	return json.Marshal(names)
}

// UnmarshalJSON reads what MarshalJSON wrote. A name that this version does not know is
// passed over, and a number is taken for the set itself, as earlier versions wrote it.
func (c *Capability) UnmarshalJSON(b []byte) error {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		var bits uint
		if json.Unmarshal(b, &bits) == nil {
			*c = Capability(bits)
			return nil
		}
		return err
	}
	*c = 0
	for _, name := range names {
		if i := slices.Index(capabilityNames[:], name); i >= 0 {
			*c |= 1 << i
		}
	}
	return nil
}

// Has reports whether every capability of want is there.
func (c Capability) Has(want Capability) bool { return c&want == want }
