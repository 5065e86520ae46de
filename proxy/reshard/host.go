package reshard

import (
	"context"
	"time"
)

// A Host is the proxy whose databases are moved.
type Host interface {
	// Database returns a database of the configuration, with the logins of the user who may change its
	// schema. The error says what the configuration lacks.
	Database(name string) (Database, error)
	// Settings are those that hold now.
	Settings() Settings
	// Hold serves no statement of some databases until Release, and returns once none runs on their
	// servers any more. On an error they are served again.
	Hold(ctx context.Context, databases ...string) error
	// Release ends Hold.
	Release(databases ...string)
	// Exchange gives each of two databases the other one's name, if check, which is called while nobody else
	// can change the configuration, has no error. On an error nothing has changed.
	Exchange(a, b string, check func() error) error
}

// Settings say how databases are moved, and when clients are.
type Settings struct {
	Options
	// PgDump is the program that writes schemas.
	PgDump Program
	// StopLag is the lag in bytes at which clients are held.
	StopLag int64
	// SwapLag is the lag at which they get the other servers, if nothing has come for Quiet. With 0 it is
	// when all that they have written has been applied; else what is lacking is lost to them.
	SwapLag int64
	Quiet   time.Duration
	// Timeout is how long clients may be held. Then the cutover is given up, or, with Force, they get the
	// other servers all the same.
	Timeout time.Duration
	Force   bool
}
