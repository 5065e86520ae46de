// Package commands is pgx-dev's command line.
//
// A command is a struct of flags with a Run method that takes a context, which ends when
// the person interrupts, and an [Env], which holds everything else: the streams, the
// config file, the state directory, the log. cli.go has the whole command tree on one
// page; each command has a file of its own. Commands hold no logic that is worth testing
// without a terminal: they overlay flags on the configuration, call a subsystem and print.
package commands

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/pgx-dev/pgx-dev/commands/ui"
)

// Main runs pgx-dev with the arguments after the program's name and returns the exit
// code. The streams and the environment (as [os.Environ]) are those of the command; the
// process's own environment is what child processes and subsystems see, so the two should
// agree.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	openUmask()
	env := newEnv(stdin, stdout, stderr, environ)
	ctx, stop := withSignals(context.Background(), env.takes)
	defer stop()

	err := run(ctx, env, args)
	if err == nil {
		err = env.UI.Failed()
	}
	env.close()
	if err != nil {
		report(env.UI, err)
	} else if env.detachedLog != "" {
		_ = os.Remove(env.detachedLog) // all went well: nobody will ask
	}
	return exitCode(ctx, err)
}

// run parses args and runs the command that they name.
func run(ctx context.Context, env *Env, args []string) error {
	if slices.Equal(args, []string{"supervise"}) {
		// Somebody waits for a server: without the command tree it is there 4 ms earlier.
		if err := env.apply(Globals{}); err != nil {
			return err
		}
		return superviseCmd{}.Run(ctx, env)
	}
	cli := newCLI()
	parser, err := newParser(cli, env)
	if err != nil {
		return err // the command tree itself is wrong: a bug that any test finds
	}
	if len(args) == 0 {
		return noCommand(parser, env)
	}
	args, env.Command = cutCommand(parser, args)
	kctx, err := parser.Parse(args)
	switch {
	case errors.Is(err, errDone):
		return nil
	case err != nil:
		return onParseError(env, parser, err)
	}
	if err := env.apply(cli.Globals); err != nil {
		return err
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	return kctx.Run(env, parser)
}

// A commandTaker is a command that runs another one, which stands behind "--".
type commandTaker interface{ takesCommand() }

// cutCommand cuts "-- CMD…" off the arguments of a command that takes it. For other
// commands, and plugins, "--" means what it always does.
func cutCommand(parser *kong.Kong, args []string) (own, command []string) {
	i := slices.Index(args, "--")
	if i < 0 {
		return args, nil
	}
	kctx, err := kong.Trace(parser, args[:i])
	if err != nil || !takesCommand(kctx.Selected()) {
		return args, nil
	}
	return args[:i], args[i+1:]
}

// takesCommand reports whether what stands behind "--" is another command.
func takesCommand(node *kong.Node) bool {
	if node == nil || node.Type != kong.CommandNode || !node.Target.CanAddr() {
		return false
	}
	_, ok := reflect.TypeAssert[commandTaker](node.Target.Addr())
	return ok
}

// noCommand answers a bare "pgx-dev": the help, as an error, because nothing was done.
func noCommand(parser *kong.Kong, env *Env) error {
	parser.Stdout = env.Stderr
	kctx, err := kong.Trace(parser, nil)
	if err != nil {
		return err
	}
	if err := printHelp(env, kctx); err != nil {
		return err
	}
	return &ExitError{Code: ExitUsage}
}

// report prints an error, each of a joined one by itself.
func report(u *ui.UI, err error) {
	var exit *ExitError
	if errors.As(err, &exit) && exit.Err == nil {
		return
	}
	var sig signalError
	if errors.As(err, &sig) || errors.Is(err, context.Canceled) {
		return // the person knows: they interrupted it
	}
	for _, one := range split(err) {
		u.Error(strings.ReplaceAll(one.Error(), "\n", "\n  "))
	}
}

// split takes a joined error apart.
func split(err error) []error {
	var exit *ExitError
	if errors.As(err, &exit) && exit == err { //nolint:errorlint // only the outermost
		return split(exit.Err)
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // only the outermost
	if !ok {
		return []error{err}
	}
	var all []error
	var texts []string
	for _, e := range joined.Unwrap() {
		all = append(all, split(e)...)
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err} // fmt.Errorf's, with a text around them
	}
	return all
}

// withSignals returns a context that SIGINT, SIGTERM, SIGHUP or SIGQUIT cancels, with the
// signal as its cause. After the first one the next has its usual effect, so that a second Ctrl-C
// ends a pgx-dev that is slow to end. A signal that was ignored when the process started
// (nohup) stays ignored; one that takes says is
// somebody's has no effect here.
func withSignals(parent context.Context, takes func(os.Signal) bool) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case sig := <-signals:
				if takes(sig) {
					continue
				}
				signal.Stop(signals)
				cancel(signalError{sig})
			case <-ctx.Done():
			}
			return
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		<-done
	}
}
