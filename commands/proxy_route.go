package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pgx-dev/pgx-dev/config"
	"github.com/pgx-dev/pgx-dev/proxy/fleet"
	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/hash"
	"github.com/pgx-dev/pgx-dev/proxy/route/schema"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
)

// proxyRouteCmd says where statements would go.
type proxyRouteCmd struct {
	proxyFlags
	SQL      []string `arg:"" optional:"" name:"sql" help:"The statements; without any they are read from --file or stdin."`
	File     string   `short:"f" placeholder:"FILE" complete:"file" help:"Read statements from a file."`
	Database string   `placeholder:"NAME" help:"The database (default: the first one of the configuration)."`
	Param    []string `short:"p" sep:"none" placeholder:"VALUE" help:"A parameter, as text: the first is $1; repeatable."`
	Shards   int      `placeholder:"N" help:"Suppose N shards."`
	Demo     bool     `help:"Suppose the tables of proxy --demo."`
	Offline  bool     `help:"Ask no server for its schema: more is refused."`
}

// Help is the command's long help.
func (*proxyRouteCmd) Help() string {
	return `Prints, for each statement, the shards it would go to, what they would be sent, how their answers would be merged, and why. The exit code is 1 if one would be refused. With servers in the configuration their schema is read; with --offline, or --shards N, nothing is connected to. EXPLAIN (ROUTE) says the same in a session.`
}

var errRefused = errors.New("not every statement can be carried out; see above")

// Run prints.
func (c *proxyRouteCmd) Run(ctx context.Context, env *Env) error {
	p, err := c.load(env)
	if err != nil {
		return err
	}
	text, err := c.text(env)
	if err != nil {
		return err
	}
	database := c.Database
	if database == "" && len(p.Databases) > 0 {
		database = p.Databases[0].Name
	}
	database = cmp.Or(database, "postgres")
	n := cmp.Or(c.Shards, p.Shards(database), 3)
	layoutConfig, err := shardLayout(p, database, n, c.Demo)
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	layout, err := sharding.Compile(layoutConfig)
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	snap, err := c.schema(ctx, p, database)
	if err != nil {
		return err
	}
	router := route.New(route.Config{Layout: layout, Schema: snap, CrossShardDisabled: p.General.CrossShardDisabled})
	values := [][]byte{}
	for _, v := range c.Param {
		values = append(values, []byte(v))
	}
	binding := &route.Binding{Values: values, UniqueID: func() int64 { return 0 }}
	refused := false
	for _, sql := range text {
		ranges, err := route.Split(sql)
		if err != nil {
			return &ExitError{Code: ExitFailed, Err: err}
		}
		for _, r := range ranges {
			if !routeOne(env, router, strings.TrimSpace(sql[r.From:r.To]), binding) {
				refused = true
			}
		}
	}
	if refused {
		return &ExitError{Code: ExitFailed, Err: errRefused}
	}
	return nil
}

// routeOne prints the decision on one statement, and reports whether there is one.
func routeOne(env *Env, router *route.Router, sql string, b *route.Binding) bool {
	env.UI.Printf("%s\n", sql)
	var d route.Decision
	err := router.Route(&d, sql, &route.Session{Hint: route.NoHint()}, b)
	if err == nil {
		env.UI.Printf("%s\n", indent(d.Explain()))
		return true
	}
	if need, ok := errors.AsType[*sharding.NeedLookup](err); ok {
		env.UI.Printf("%s\n", indent(fmt.Sprintf("the shard of key %q is looked up: %s", need.Value, need.Query)))
		return true
	}
	e := wire.AsError(err)
	what := fmt.Sprintf("refused (%s): %s", e.Code, e.Message)
	if e.Hint != "" {
		what += "\nhint: " + e.Hint
	}
	env.UI.Printf("%s\n", indent(what))
	return false
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

func (c *proxyRouteCmd) text(env *Env) ([]string, error) {
	switch {
	case len(c.SQL) > 0 && c.File != "":
		return nil, usageError("give statements, or --file, not both")
	case len(c.SQL) > 0:
		return c.SQL, nil
	case c.File != "":
		b, err := os.ReadFile(c.File)
		return []string{string(b)}, err
	}
	b, err := io.ReadAll(env.Stdin)
	return []string{string(b)}, err
}

// schema reads the schema of the first shard, unless it is not wanted; nil if there is none.
func (c *proxyRouteCmd) schema(ctx context.Context, p *config.Proxy, database string) (*schema.Snapshot, error) {
	if c.Demo && (c.Offline || c.Shards != 0) {
		return demoSnapshot(), nil
	}
	if c.Offline || c.Shards != 0 || len(p.Databases) == 0 || len(p.Config.Users) == 0 {
		return nil, nil
	}
	source, err := fleet.FromConfig(&p.Config)
	if err != nil {
		return nil, &ExitError{Code: ExitUsage, Err: err}
	}
	plan, err := source(p.Config.Users[0].Name, database)
	if err != nil {
		return nil, err
	}
	for i := range plan.Servers {
		if b := plan.Servers[i].Backend; b.Shard == 0 {
			snap, err := shards.Schema(ctx, &b)
			if err != nil {
				return nil, fmt.Errorf("read the schema of %s: %w; --offline does without", b.Name, err)
			}
			return snap, nil
		}
	}
	return nil, nil
}

// demoSnapshot is the schema of --demo.
func demoSnapshot() *schema.Snapshot {
	column := func(name string, t hash.OID) schema.Column {
		return schema.Column{Name: name, Type: t, TypeName: hash.TypeName(t), Collation: gather.Collation{Known: true}}
	}
	return schema.New([]*schema.Table{
		{
			Schema: "public", Name: "users", Kind: 'r', Primary: []string{"id"}, Unique: [][]string{{"id"}},
			Columns: []schema.Column{column("id", hash.Int8), column("email", hash.Text)},
		},
		{
			Schema: "public", Name: "payments", Kind: 'r',
			Columns: []schema.Column{column("id", hash.Int8), column("user_id", hash.Int8), column("amount", hash.Numeric)},
		},
	}, nil)
}
