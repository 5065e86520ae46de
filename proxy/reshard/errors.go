package reshard

import (
	"errors"
	"fmt"
)

// A finalError is one that another attempt would meet again.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func finalf(format string, args ...any) error { return finalError{fmt.Errorf(format, args...)} }

// An again is one that it may not meet.
type again struct{ error }

func (e again) Unwrap() error { return e.error }

// passing reports whether another attempt may fare better: where a connection was lost, or a server was
// short of something or ended what ran; not where it has said that the data, or what is done with them, are
// wrong.
func passing(err error) bool {
	if _, ok := errors.AsType[finalError](err); ok {
		return false
	}
	if _, ok := errors.AsType[again](err); ok {
		return true
	}
	c := code(err)
	if len(c) < 2 {
		return true // not a server's
	}
	switch c[:2] {
	case "08", "40", "53", "55", "57", "58", "XX":
		return true
	}
	return false
}
