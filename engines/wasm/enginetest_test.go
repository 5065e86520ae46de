package wasm_test

import (
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/enginetest"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// TestEngine runs the suite that every engine passes.
func TestEngine(t *testing.T) {
	enginetest.Run(t, func(*testing.T) engines.Engine { return shared }, enginetest.Options{
		Kill: func(_ *testing.T, srv engines.Server) { wasm.Crash(srv.(*wasm.Server)) },
	})
}
