package pool

import (
	"errors"
	"fmt"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Errors of a Pool. All of them are, or wrap, *wire.Error.
var (
	// ErrClosed reports that the pool is closed for good.
	ErrClosed = &wire.Error{Code: wire.CodeCannotConnectNow, Message: "the pool of server connections is closed"}
	// errReplaced ends connections that a reload or RECONNECT replaces.
	errReplaced = errors.New("the connection is to be replaced")
)

// timeoutError says that nothing became free in time.
func timeoutError(backend string, d time.Duration, s Stats, full string) error {
	e := &wire.Error{
		Code:    wire.CodeTooManyConnections,
		Message: fmt.Sprintf("no connection to %s became free within %v", backend, d),
		Detail:  fmt.Sprintf("%d of %d connections are in use and %d clients wait.", s.Active, s.Size, s.Waiting),
		Hint:    "Raise default_pool_size or checkout_timeout, or make transactions shorter.",
	}
	if full != "" {
		e.Hint = fmt.Sprintf("The limit %s is reached; raise it, or make transactions shorter.", full)
	}
	return e
}

// connectError says that a server cannot be reached.
func connectError(backend string, err error) error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e // the server's own words
	}
	return wire.Errorf(wire.CodeConnectionFailure, "connect to %s: %w", backend, err)
}
