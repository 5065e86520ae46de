//go:build !linux

package socket

import (
	"errors"
	"fmt"
)

// errSystem reports an option that this system has not.
var errSystem = errors.New("there is no such option on this system")

func (o Options) set(uintptr) error {
	if o.UserTimeout > 0 {
		return fmt.Errorf("tcp.user_timeout: %w", errSystem)
	}
	return fmt.Errorf("tcp.congestion_control: %w", errSystem)
}
