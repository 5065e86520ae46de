package cluster

import (
	"errors"
	"fmt"

	"github.com/pgx-dev/pgx-dev/engines"
)

// Validate reports every value that cannot be meant.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch c.Engine {
	case "", "native", "wasm":
	default:
		bad("engine is %q; there are native and wasm", c.Engine)
	}
	switch c.Spare {
	case "", "none", "copied", "running":
	default:
		bad("spare is %q; it can be none, copied or running", c.Spare)
	}
	if c.Port < 0 || c.Port > 65535 {
		bad("port is %d; it can be 1 to 65535, or 0 for PostgreSQL's own", c.Port)
	}
	if c.Idle < 0 {
		bad("idle is negative (%s)", c.Idle)
	}
	if c.Database != "" {
		if err := CheckDatabase(c.Database); err != nil {
			bad("database: %w", err)
		}
	}
	if err := engines.CheckParams(c.Settings); err != nil {
		bad("settings: %w", err)
	}
	return errors.Join(errs...)
}
