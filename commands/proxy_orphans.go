package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/proxy/twophase"
)

// proxyOrphansCmd names and settles prepared transactions whose log is lost.
type proxyOrphansCmd struct {
	proxyFlags
	Shards   int      `placeholder:"N" help:"Look at the servers of \"proxy --shards N\"."`
	User     string   `placeholder:"NAME" help:"The user of the configuration who looks (default: the first one of the database)."`
	Commit   []string `sep:"none" placeholder:"NAME" help:"Commit this transaction wherever it is prepared."`
	Rollback []string `sep:"none" placeholder:"NAME" help:"Roll this transaction back wherever it is prepared."`
	Force    bool     `help:"Decide although some of its shards do not have it any more: they may have decided otherwise."`
	Database string   `arg:"" optional:"" help:"The database (default: the configuration's first one)."`
	JSON     bool     `help:"Print JSON."`
}

// Help is the command's long help.
func (*proxyOrphansCmd) Help() string {
	return `Lists the transactions that are prepared on the shards of a database: those of a proxy that is running, or whose log is there, are settled by it; those of a log that is lost (and those that somebody has prepared by hand) stay, with their locks, until --commit or --rollback decides. See "pgx-dev help sharding".`
}

// The logs that a transaction may belong to.
const (
	logRunning = "a running proxy's"
	logHere    = "the next proxy's, by its log"
	logLost    = "nobody's"
)

// Run lists, or decides.
func (c *proxyOrphansCmd) Run(ctx context.Context, env *Env) (err error) {
	p, err := c.load(env)
	if err != nil {
		return err
	}
	layout, pick, done, err := shardedServers(ctx, env, p, shardedTarget{shards: c.Shards, database: c.Database, user: c.User})
	defer func() { err = errors.Join(err, done()) }()
	if err != nil {
		return err
	}
	logs, err := c.logs(env, p)
	if err != nil {
		return err
	}
	connect := shards.Connector(pick)
	list, unreached := twophase.Left(ctx, layout.Shards, connect)
	if len(c.Commit)+len(c.Rollback) == 0 {
		if err := c.print(env, list, logs); err != nil {
			return err
		}
		return unreached
	}
	if unreached != nil {
		return fmt.Errorf("what is prepared is not known on all shards, so nothing is decided: %w", unreached)
	}
	// All names are looked at before anything is done.
	var todo []decision
	for _, names := range []struct {
		list   []string
		commit bool
	}{{c.Commit, true}, {c.Rollback, false}} {
		for _, name := range names.list {
			o, err := c.find(list, logs, name)
			if err != nil {
				return err
			}
			todo = append(todo, decision{o, names.commit})
		}
	}
	var errs []error
	for _, d := range todo {
		on, err := twophase.Settle(ctx, d.o, d.commit, connect)
		errs = append(errs, err)
		env.UI.Printf("%s %s on shards %v\n", d.o.Name, map[bool]string{true: "committed", false: "rolled back"}[d.commit], on)
	}
	return errors.Join(errs...)
}

type decision struct {
	o      *twophase.Orphan
	commit bool
}

// find is the transaction of a name, if it may be decided.
func (c *proxyOrphansCmd) find(list []twophase.Orphan, logs map[string]string, name string) (*twophase.Orphan, error) {
	for i := range list {
		o := &list[i]
		if o.Name != name {
			continue
		}
		switch whose := whoseLog(o, logs); {
		case whose != logLost:
			return nil, fmt.Errorf("%s is %s, which knows what was decided; start the proxy to have it settled", name, whose)
		case o.Instance != "" && len(o.Members) == 0 && !c.Force:
			return nil, fmt.Errorf("%s does not tell which shards took part, and some may have decided; look at their rows, then give --force", name)
		case len(o.Missing()) > 0 && !c.Force:
			return nil, fmt.Errorf("shards %v took part in %s and do not have it any more: if they have committed it, a rollback would leave it half done, and the other way round; look at their rows, then give --force", o.Missing(), name)
		}
		return o, nil
	}
	return nil, &ExitError{Code: ExitNotExist, Err: fmt.Errorf("no transaction %s is prepared", name)}
}

func whoseLog(o *twophase.Orphan, logs map[string]string) string {
	if whose := logs[o.Instance]; whose != "" && o.Instance != "" {
		return whose
	}
	return logLost
}

// logs are the logs that there are, by their names.
func (c *proxyOrphansCmd) logs(env *Env, p *config.Proxy) (map[string]string, error) {
	root := p.General.TwoPhaseCommitWALDir
	if c.Shards != 0 {
		state, err := env.MakeStateDir()
		if err != nil {
			return nil, err
		}
		root = filepath.Join(state, "2pc", fmt.Sprintf("shards%d", c.Shards))
	}
	out := map[string]string{}
	// DATABASE/USER, as proxies name them; another database's may be on the same servers.
	dirs, err := filepath.Glob(filepath.Join(globbed(root), "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		name, open, err := twophase.InstanceOf(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, fmt.Errorf("the log in %s: %w", dir, err)
		case open:
			out[name] = logRunning
		default:
			out[name] = logHere
		}
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		env.UI.Note("there is no log in %s: transactions of a proxy that has its log elsewhere look as if nobody had them", root)
	}
	return out, nil
}

// globbed is a path in which nothing is a pattern.
func globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func (c *proxyOrphansCmd) print(env *Env, list []twophase.Orphan, logs map[string]string) error {
	if c.JSON {
		out := []map[string]any{}
		for i := range list {
			o := &list[i]
			out = append(out, map[string]any{
				"name": o.Name, "whose": whoseLog(o, logs), "shards": o.Members, "prepared": o.Prepared, "missing": o.Missing(), "since": o.Since + " UTC", "owner": o.Owner,
			})
		}
		return printJSON(env, out)
	}
	if len(list) == 0 {
		env.UI.Note("no transaction is prepared")
		return nil
	}
	t := ui.NewTable("TRANSACTION", "WHOSE", "SHARDS", "PREPARED ON", "SINCE (UTC)", "OWNER")
	for i := range list {
		o := &list[i]
		took := fmt.Sprint(o.Members)
		if len(o.Members) == 0 {
			took = "?"
		}
		t.Row(o.Name, whoseLog(o, logs), took, fmt.Sprint(o.Prepared), o.Since, o.Owner)
	}
	env.UI.Table(t)
	return nil
}
