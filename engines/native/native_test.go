package native

import (
	"syscall"
	"testing"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/enginetest"
)

func TestEngine(t *testing.T) {
	eachRuntime(t, func(t *testing.T, e *Engine, rt Runtime) {
		enginetest.Run(t, func(*testing.T) engines.Engine { return engineFor(rt) }, enginetest.Options{
			Kill: func(t *testing.T, srv engines.Server) {
				if err := syscall.Kill(srv.Info().PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
