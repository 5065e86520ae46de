package commands

import (
	"os"
	"os/signal"
	"syscall"
)

// ready prints the one line that every serving command has on stdout when it is ready: how
// to reach it. A server whose line was not delivered is of no use to anybody; after an error
// the command is to stop.
func (e *Env) ready(where string) error {
	// A pipe that nobody reads is to be an error here, too, not the end of the process.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	e.UI.Printf("%s\n", where)
	return e.UI.Failed()
}
