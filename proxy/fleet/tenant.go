package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/proxy/shards"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A tenancy refuses queries of tables with the tenants' column that do not say whose rows they
// mean: it is as if that column were a sharding key.
type tenancy struct {
	column string
	pick   func() (Pick, error) // of the servers

	mu     sync.Mutex
	router *route.Router // nil: the schema has not been read
	read   time.Time
}

const (
	// schemaAge is for how long a schema is believed: a column that has been added counts after
	// that at the latest.
	schemaAge = time.Minute
	// schemaTimeout bounds the reading of it.
	schemaTimeout = 10 * time.Second
)

// check returns an error for a query that does not name its tenant.
func (t *tenancy) check(q *route.Question) error {
	for fresh := false; ; fresh = true {
		r, read, err := t.current(fresh)
		if err != nil {
			return &wire.Error{
				Code: wire.CodeConnectionFailure, Message: "the proxy cannot tell whether the query names its tenant",
				Detail: err.Error(),
			}
		}
		p, err := r.Prepare(q.SQL, q.Session)
		if err != nil {
			return err
		}
		unbound, unknown := p.Unbound()
		switch {
		case len(unbound) > 0:
			return &wire.Error{
				Code: wire.CodeInsufficientPrivilege, Message: fmt.Sprintf("the query does not say of which tenant it means the rows of %q", unbound[0]),
				Hint: fmt.Sprintf("Compare its column %q with a value.", t.column),
			}
		case len(unknown) == 0 || fresh && read:
			return nil // who is not there even now is temporary, or the server will say so
		}
	}
}

// current returns the router for the schema, read anew if that is wanted or due. Who comes again
// and again with tables that there are not does not have it read each time.
func (t *tenancy) current(fresh bool) (r *route.Router, read bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := time.Since(t.read); t.router != nil && age < schemaAge && (!fresh || age < 50*time.Millisecond) {
		return t.router, true, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), schemaTimeout)
	defer cancel()
	started := time.Now()
	pick, err := t.pick()
	if err != nil {
		return nil, false, err
	}
	p, err := pick(ctx, 0, route.Primary)
	if err != nil {
		return nil, false, err
	}
	snap, err := shards.Schema(ctx, p.Backend())
	if err != nil {
		return nil, false, err
	}
	layout, err := sharding.Compile(sharding.Config{Shards: 2, Tables: []sharding.Table{{Columns: []string{t.column}}}})
	if err != nil {
		return nil, false, err
	}
	t.router, t.read = route.New(route.Config{Layout: layout, Schema: snap}), started
	return t.router, true, nil
}

// tenants returns what checks the statements of a user in a database; nil where nothing is to be
// checked.
func (f *Fleet) tenants(column string, p pair) *tenancy {
	if column == "" {
		return nil
	}
	return &tenancy{column: column, pick: func() (Pick, error) {
		m, err := f.member(p)
		if err != nil {
			return nil, err
		}
		return m.pick, nil
	}}
}
