package cluster

import (
	"errors"
	"fmt"
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
	return errors.Join(errs...)
}
