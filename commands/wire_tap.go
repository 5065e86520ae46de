package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/wire/tap"
)

// wireTapCmd shows what clients and a server say to each other.
type wireTapCmd struct {
	To         string     `placeholder:"WHERE" help:"The server: a URL, HOST:PORT, a socket's path, or a cluster that runs (default: main)."`
	Listen     listenFlag `placeholder:"WHERE" help:"unix[:DIR] or tcp[:[HOST:]PORT] (default: unix, in a private directory)."`
	TLS        string     `name:"tls" placeholder:"WHAT" enum:",decline,pass" default:"" help:"What to do when a client asks for TLS: decline it, or pass it on, unread (default: decline)."`
	JSON       bool       `help:"Print JSON lines."`
	HideValues bool       `help:"Show of rows, parameters, COPY data and literals only that they are there."`
	Full       bool       `help:"Show values in full length."`
	Output     string     `short:"w" placeholder:"FILE" complete:"file" help:"Write the messages to this file, not to stdout."`
	detachFlag
}

func (*wireTapCmd) takesCommand() {}

// Help is the command's long help.
func (*wireTapCmd) Help() string {
	return `Prints the URL that clients are to use, then every message of every session, with the time since the request on what answers it. Passwords, SASL data and cancel keys are never shown. With "-- CMD…" the command is run with DATABASE_URL and PG* set, and the messages go to stderr. See "pgx-dev help wire".`
}

// Run serves until interrupted, or as long as the command behind "--" runs.
func (c *wireTapCmd) Run(ctx context.Context, env *Env) error {
	if background, err := c.detaches(env); err != nil {
		return err
	} else if c.Detach && c.Output == "" {
		return usageError("in the background nobody sees the messages: give --detach a file, by -w FILE")
	} else if background {
		return detach(ctx, env)
	}
	to, err := wireTargetOf(ctx, env, c.To, "wire tap")
	if err != nil {
		return err
	}
	err = c.serve(ctx, env, to)
	return errors.Join(err, to.close(context.WithoutCancel(ctx)))
}

func (c *wireTapCmd) serve(ctx context.Context, env *Env, to *wireTarget) (err error) {
	out, colour := env.UI.Stdout(), env.UI.Out()
	switch {
	case c.Output != "":
		f, ferr := os.OpenFile(c.Output, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if ferr != nil {
			return fmt.Errorf("write the messages: %w", ferr)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out, colour = f, false
	case env.Command != nil:
		out, colour = env.UI.Stderr(), env.UI.Err() && env.UI.Out()
	}
	front, err := c.Listen.front(fmt.Sprintf("/tap/%d", os.Getpid()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.Close()) }()
	front.user, front.password, front.database = to.config.User, to.config.Password, to.config.Database
	if front.database == "" {
		front.database = front.user
	}
	if c.TLS == "pass" {
		front.sslmode = "prefer"
	}

	serving, stop := context.WithCancel(ctx)
	defer stop()
	print := &tapPrinter{w: out, json: c.JSON, ui: env.UI, colour: colour, failed: stop}
	t := &tap.Tap{Dial: to.dial, Report: print.event, HideValues: c.HideValues, PassTLS: c.TLS == "pass"}
	if c.Full {
		t.MaxValue = -1
	}
	if env.Command == nil {
		if c.JSON && c.Output == "" {
			print.ready(front.url(false))
		} else {
			if err := env.ready(front.url(false)); err != nil {
				return err
			}
		}
		return errors.Join(t.Serve(serving, front), print.err)
	}
	var wg sync.WaitGroup
	var served error
	wg.Go(func() { served = t.Serve(serving, front) })
	err = front.run(ctx, env)
	last, over := context.WithTimeout(serving, time.Second)
	t.Wait(last) // for what the command's last words were
	over()
	stop()
	wg.Wait()
	return errors.Join(err, served, print.err)
}
