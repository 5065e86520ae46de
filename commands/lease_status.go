package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/lease"
)

// leaseStatusCmd shows a server's status.
type leaseStatusCmd struct {
	Socket string        `short:"s" placeholder:"PATH" complete:"file" help:"The server's socket ($$PGM_SOCKET, $$PGMANAGER_SOCKET)."`
	JSON   bool          `help:"Print JSON."`
	Watch  bool          `short:"w" help:"Show it again and again, until interrupted."`
	Every  time.Duration `placeholder:"TIME" help:"With --watch: how often (default: 1s)."`
}

// Run prints the status; the exit code is 4 where no server runs.
func (c *leaseStatusCmd) Run(ctx context.Context, env *Env) error {
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Every < 0 {
		return usageError("--every has to be a time such as 1s")
	}
	client, _, err := dialLease(ctx, env, c.Socket, "")
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		st, err := client.Status(ctx)
		if err != nil {
			return err
		}
		switch {
		case c.JSON && c.Watch:
			err = json.NewEncoder(env.UI.Stdout()).Encode(st)
		case c.JSON:
			err = printJSON(env, st)
		default:
			if c.Watch && env.UI.Out() {
				env.UI.Printf("\x1b[H\x1b[2J")
			}
			printLeases(env, st)
		}
		if err != nil || !c.Watch {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func printLeases(env *Env, st lease.Status) {
	pools := ui.NewTable("POOL", ">LENT", ">READY", ">MAKING", ">CLEANING", ">KEPT", ">WAITING", ">COUNT", ">GRANTS", ">WAIT P50", ">P99", ">MAX", ">REFILL/S", "SOURCE")
	for _, p := range st.Pools {
		pools.Row(p.Name, fmt.Sprint(len(p.Leases)), fmt.Sprint(p.Ready), fmt.Sprint(p.Making), fmt.Sprint(p.Cleaning), fmt.Sprint(p.Kept),
			fmt.Sprint(len(p.Waiting)), fmt.Sprint(p.Count), fmt.Sprint(p.Grants), seconds(p.WaitP50), seconds(p.WaitP99), seconds(p.WaitMax),
			fmt.Sprintf("%.1f", p.Refill), p.Source+notes(p))
	}
	env.UI.Table(pools)
	for _, p := range st.Pools {
		if p.Error != "" {
			env.UI.Printf("%s: %s\n", p.Name, env.UI.Bad(p.Error))
		}
	}
	leases := ui.NewTable("ID", "DATABASE", "SINCE", "PID", "COMMAND", "LABEL", "EXPIRES")
	for _, p := range st.Pools {
		for _, l := range p.Leases {
			expires := "-"
			if l.Expires != nil {
				expires = "in " + time.Until(*l.Expires).Round(time.Second).String()
			}
			leases.Row(l.ID, l.Name, ago(l.Since), fmt.Sprint(l.PID), orDash(l.Command), orDash(l.Label), expires)
		}
		for _, w := range p.Waiting {
			leases.Row("-", "(waits)", ago(w.Since), fmt.Sprint(w.PID), orDash(w.Command), orDash(w.Label), "-")
		}
	}
	if leases.Len() > 0 {
		env.UI.Printf("\n")
		env.UI.Table(leases)
	}
}

func notes(p lease.PoolStatus) string {
	var words []string
	if p.Asleep {
		words = append(words, "idle")
	}
	if p.Draining {
		words = append(words, "ending")
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// leaseKickCmd ends a lease.
type leaseKickCmd struct {
	ID     []string `arg:"" help:"Which leases, by the ids that status shows."`
	Socket string   `short:"s" placeholder:"PATH" complete:"file" help:"The server's socket ($$PGM_SOCKET, $$PGMANAGER_SOCKET)."`
}

// Run ends the leases: their holders' connections are closed and their sessions ended.
func (c *leaseKickCmd) Run(ctx context.Context, env *Env) error {
	client, _, err := dialLease(ctx, env, c.Socket, "")
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	for _, id := range c.ID {
		if err := client.Kick(ctx, id); err != nil {
			if strings.Contains(err.Error(), "there is no lease") {
				return &ExitError{ExitNotExist, err}
			}
			return err
		}
	}
	return nil
}
