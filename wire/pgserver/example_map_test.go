package pgserver_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// memory is a database of one table, in memory. It is a Preparer, so that clients learn
// parameters and columns without running anything.
type memory struct {
	mu   sync.Mutex
	data map[string]string
}

// statements are all that it understands.
var statements = map[string]memoryStmt{
	"put $1 $2": {params: []uint32{pgtype.TextOID, pgtype.TextOID}},
	"get $1":    {params: []uint32{pgtype.TextOID}, columns: []pgserver.Column{pgserver.Text("value")}},
	"list":      {columns: []pgserver.Column{pgserver.Text("key"), pgserver.Text("value")}},
}

type memoryStmt struct {
	params  []uint32
	columns []pgserver.Column
	db      *memory
	name    string
}

func (s memoryStmt) Params() []uint32           { return s.params }
func (s memoryStmt) Columns() []pgserver.Column { return s.columns }

func (m *memory) Prepare(_ context.Context, _ *pgserver.Session, sql string, _ []uint32) (pgserver.Stmt, error) {
	s, ok := statements[strings.ToLower(sql)]
	if !ok {
		return nil, wire.Errorf(wire.CodeSyntaxError, "what is %q? I know put $1 $2, get $1 and list", sql)
	}
	s.db, s.name = m, strings.Fields(sql)[0]
	return s, nil
}

// ServeQuery is for the simple protocol, which has no parameters.
func (m *memory) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	s, err := m.Prepare(q.Context(), q.Session, q.SQL, nil)
	if err != nil {
		return err
	}
	return s.Query(w, q)
}

func (s memoryStmt) Query(w pgserver.ResponseWriter, q *pgserver.Query) error {
	if len(q.Args) != len(s.params) {
		return wire.Errorf(wire.CodeUndefinedParameter, "there is no parameter $%d", len(q.Args)+1)
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.columns == nil {
		var key, value string
		if err := q.Scan(&key, &value); err != nil {
			return err
		}
		s.db.data[key] = value
		return w.Complete("INSERT 0 1")
	}
	if err := w.Columns(s.columns...); err != nil {
		return err
	}
	if s.name == "list" {
		for _, key := range slices.Sorted(maps.Keys(s.db.data)) {
			if err := w.Row(key, s.db.data[key]); err != nil {
				return err
			}
		}
		return nil
	}
	value, ok := s.db.data[q.Args[0].String()]
	if !ok {
		return nil // no row
	}
	return w.Row(value)
}

// A database that is a map, with prepared statements.
func ExamplePreparer() {
	addr, stop := serve(&pgserver.Server{Handler: &memory{data: map[string]string{}}})
	defer stop()

	conn := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer conn.Close(context.Background())
	ctx := context.Background()
	for key, value := range map[string]string{"elephant": "grey", "crab": "red"} {
		tag, err := conn.Exec(ctx, "put $1 $2", key, value)
		if err != nil || tag.RowsAffected() != 1 {
			log.Fatal(tag, err)
		}
	}
	var value string
	if err := conn.QueryRow(ctx, "get $1", "elephant").Scan(&value); err != nil {
		log.Fatal(err)
	}
	fmt.Println("an elephant is", value)
	fmt.Println(conn.QueryRow(ctx, "get $1", "unicorn").Scan(&value))
	_, err := conn.Exec(ctx, "drop everything")
	fmt.Println(err)
	// Output:
	// an elephant is grey
	// no rows in result set
	// ERROR: what is "drop everything"? I know put $1 $2, get $1 and list (SQLSTATE 42601)
}
