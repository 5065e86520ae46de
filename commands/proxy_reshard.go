package commands

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/reshard"
)

// proxyReshardCmd moves a database to other shards.
type proxyReshardCmd struct {
	proxyTarget
	Slot        string `placeholder:"NAME" help:"The name of the replication slots (default: made up); with that of a move that was killed, go on where it was."`
	NoCutover   bool   `help:"Copy and follow the changes, but leave clients where they are; \"CUTOVER\" gives them the new servers."`
	DryRun      bool   `help:"Print the SQL that makes the schema on the new shards, and do nothing. Needs the configuration, not a proxy."`
	Source      string `arg:"" help:"The database that moves."`
	Destination string `arg:"" help:"The database of the configuration whose servers it gets."`
	Publication string `arg:"" optional:"" help:"The publication on each of its servers that has the tables to move."`
}

// Help is the command's long help.
func (*proxyReshardCmd) Help() string {
	return `Has a running proxy copy the schema and the rows of a database to the servers of another one, follow the changes, and exchange the names of the two, while clients use it. The command shows how far that is; interrupted, it leaves the proxy at it. Changes flow back to the old servers afterwards, until the task that does so is stopped. See "pgx-dev help sharding".`
}

// Run has it moved.
func (c *proxyReshardCmd) Run(ctx context.Context, env *Env) error {
	if c.DryRun {
		return c.dryRun(ctx, env)
	}
	if c.Publication == "" {
		return usageError(`name the publication of the tables to move; "CREATE PUBLICATION moved FOR ALL TABLES" on each server of the source makes one`)
	}
	target, err := c.config(env)
	if err != nil {
		return err
	}
	conn, err := pgconn.ConnectConfig(ctx, target)
	if err != nil {
		return fmt.Errorf("connect to the proxy: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	words := []string{"RESHARD", quoted(c.Source), quoted(c.Destination), quoted(c.Publication)}
	if c.NoCutover {
		words[0] = "COPY_DATA"
	}
	if c.Slot != "" {
		words = append(words, quoted(c.Slot))
	}
	rows, err := adminRows(ctx, conn, strings.Join(words, " "))
	if err != nil {
		return err
	}
	id, slot := rows[0][0], rows[0][1]
	env.UI.Note("task %s of the proxy moves %s to the servers of %s; its replication slot is %s", id, c.Source, c.Destination, slot)
	err = c.watch(ctx, env, conn, id)
	if ctx.Err() != nil {
		env.UI.Note("the proxy goes on; SHOW TASKS says how far it is, STOP_TASK %s ends it", id)
	}
	return err
}

// watch shows how far a task is, until it is over.
func (c *proxyReshardCmd) watch(ctx context.Context, env *Env, conn *pgconn.PgConn, id string) error {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	said := ""
	for {
		tasks, err := adminRows(ctx, conn, "SHOW TASKS id, status, inner_status, type")
		if err != nil {
			return err
		}
		status, inner := "", ""
		for _, t := range tasks {
			if t[0] == id {
				status, inner = t[1], t[2]
			}
		}
		if inner != said && inner != "" {
			said = inner
			env.UI.Note("%s", inner)
		}
		_, gaveUp, _ := strings.Cut(inner, "the cutover was given up: ")
		switch {
		case status == "finished":
			for _, t := range tasks {
				if strings.HasSuffix(t[3], "(reverse)") && t[1] == "running" {
					env.UI.Printf("clients of %s have the new servers; task %s keeps the old ones as they are: CUTOVER %s goes back to them, STOP_TASK %s ends it\n", c.Source, t[0], t[0], t[0])
				}
			}
			return nil
		case status == "running" && gaveUp != "":
			return fmt.Errorf("clients keep the old servers: %s (CUTOVER %s tries again)", gaveUp, id)
		case status == "running" && inner == "replicating" && c.NoCutover:
			env.UI.Printf("rows and changes come to the new servers; CUTOVER %s gives them to clients, STOP_TASK %s ends it\n", id, id)
			return nil
		case status != "running" && status != "cancelling":
			return fmt.Errorf("task %s: %s", id, status)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// quoted is a word of a command of the admin database.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", "''") + "'" }

// adminRows runs a command of the admin database.
func adminRows(ctx context.Context, conn *pgconn.PgConn, sql string) ([][]string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		var pe *pgconn.PgError
		if errors.As(err, &pe) && pe.Hint != "" {
			return nil, fmt.Errorf("%s; %s", pe.Message, pe.Hint)
		} else if pe != nil {
			return nil, errors.New(pe.Message)
		}
		return nil, err
	}
	var out [][]string
	for _, r := range results {
		for _, values := range r.Rows {
			row := make([]string, len(values))
			for i, v := range values {
				row[i] = string(v)
			}
			out = append(out, row)
		}
	}
	return out, nil
}

// dryRun prints the schema's SQL.
func (c *proxyReshardCmd) dryRun(ctx context.Context, env *Env) error {
	p, err := c.load(env)
	if err != nil {
		return err
	}
	src, err := fleet.Movable(&p.Config, c.Source)
	if err == nil && c.Destination != "" {
		_, err = fleet.Movable(&p.Config, c.Destination)
	}
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	s := &reshard.SchemaSync{Source: src, PgDump: dumpProgram(env, p.Replication.PgDumpPath)}
	for _, phase := range []reshard.Phase{reshard.Pre, reshard.Post, reshard.Cutover} {
		plan, err := s.Plan(ctx, phase)
		if err != nil {
			return err
		}
		env.UI.Printf("-- %s: %s\n", phase, count(len(plan), "statement"))
		for _, st := range plan {
			env.UI.Printf("%s\n\n", st.SQL)
		}
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// dumpProgram is the pg_dump that a configuration names, or one that is found.
func dumpProgram(env *Env, path string) reshard.Program {
	if path != "" && path != "pg_dump" {
		return reshard.Program{Path: path}
	}
	return reshard.Program{Find: func(ctx context.Context, major int) (string, error) { return findPgDump(ctx, env, "", major) }}
}
