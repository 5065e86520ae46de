package fleet

import (
	"context"

	"github.com/pgx-dev/pgx-dev/proxy/plugin"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/wire"
)

// An Adviser is asked about each statement of a user in a database; see route.Config.
type Adviser func(user, database string) func(q *route.Question) (route.Hint, error)

// Plugins makes an Adviser of plugins; nil of none.
func Plugins(chain plugin.Chain) Adviser {
	if len(chain) == 0 {
		return nil
	}
	return func(user, database string) func(*route.Question) (route.Hint, error) {
		return func(q *route.Question) (route.Hint, error) { return consult(chain, user, database, q) }
	}
}

// advise returns what is asked about the statements of a user in a database: whether they name
// their tenant, then the plugins. Nil: nobody.
func (f *Fleet) advise(plan Plan, p pair) func(*route.Question) (route.Hint, error) {
	var ask func(*route.Question) (route.Hint, error)
	if f.Adviser != nil {
		ask = f.Adviser(p.user, p.database)
	}
	t := f.tenants(plan.Tenant, p)
	if t == nil {
		return ask
	}
	return func(q *route.Question) (route.Hint, error) {
		if err := t.check(q); err != nil {
			return route.NoHint(), err
		}
		if ask == nil {
			return route.NoHint(), nil
		}
		return ask(q)
	}
}

// consult asks plugins about a statement. What they take is bounded by their own limits.
func consult(chain plugin.Chain, user, database string, q *route.Question) (route.Hint, error) {
	f := plugin.Facts{
		Text: q.SQL, Kind: kindOf(q.Plan), Reads: q.Reads(), Database: database, User: user, Shards: q.Shards(), Tables: q.Plan.Tables(),
	}
	if q.Session != nil {
		f.InTransaction = q.Session.InTransaction
	}
	if q.Binding != nil {
		f.Extended, f.Params = q.Binding.Values != nil, q.Binding.Values
	}
	for _, k := range q.Keys() {
		f.Keys = append(f.Keys, plugin.Key{Table: k.Table, Column: k.Column, Value: string(k.Value), Null: k.Value == nil})
	}
	hint := route.NoHint()
	v, err := chain.Route(context.Background(), &f)
	switch {
	case err != nil:
		return hint, &wire.Error{
			Code: wire.CodeSystemError, Message: "a plugin of the proxy failed, so the statement is not run",
			Detail: err.Error(),
		}
	case v.Block:
		return hint, &wire.Error{Code: wire.CodeInsufficientPrivilege, Message: v.Message}
	case v.Shard == plugin.AllShards:
		return hint, &wire.Error{
			Code: wire.CodeFeatureNotSupported, Message: "a plugin wants a statement on all shards, which only the statement itself can ask for",
		}
	}
	if v.Shard >= 0 {
		hint.Shard = v.Shard
	}
	switch v.Role {
	case plugin.Primary:
		hint.Role, hint.HasRole = route.Primary, true
	case plugin.Replica:
		hint.Role, hint.HasRole = route.Replica, true
	}
	return hint, nil
}

func kindOf(p *route.Plan) plugin.Kind {
	switch p.Class {
	case route.Select:
		return plugin.Select
	case route.Insert:
		return plugin.Insert
	case route.Update:
		return plugin.Update
	case route.Delete:
		return plugin.Delete
	case route.DDL:
		return plugin.DDL
	case route.CopyIn, route.CopyOut:
		return plugin.Copy
	case route.Set, route.Show:
		return plugin.Setting
	case route.Transaction:
		return plugin.Transaction
	}
	return plugin.Other
}
