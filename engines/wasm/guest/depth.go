package guest

import (
	"errors"
	"strings"
)

// PostgreSQL bounds recursion by the depth of its stack (check_stack_depth). Here that is
// only the part of the stack that is in the guest's memory, which functions without
// variables that are pointed to take nothing of: with these, recursion goes on until wazero
// allows its own stack no more. That is made the error of SQL that it would have been.
//
// It comes at the entry of some function, where PostgreSQL expects no error, so that it is
// raised at the nearest place that catches errors, with the memory of the transaction about
// to be thrown away; inside a critical section it is a PANIC, as any error there.

// overflow reports whether a call ended because it went too deep.
func overflow(err error) bool {
	// wazero has no name for it outside of its internal packages.
	const text = "stack overflow"
	return err != nil && !errors.Is(err, errLongjmp) && (err.Error() == text || strings.HasPrefix(err.Error(), "wasm error: "+text))
}

// raiseTooDeep raises PostgreSQL's own error for it. The stack pointer is put back
// afterwards only: the callbacks that add context to errors lie on that stack.
func (in *Instance) raiseTooDeep() error { return in.raise("54001", "stack depth limit exceeded") }
