package wasm_test

import (
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/enginetest"
)

// TestEngine runs the suite that every engine passes.
func TestEngine(t *testing.T) {
	enginetest.Run(t, func(*testing.T) engines.Engine { return shared }, enginetest.Options{})
}
