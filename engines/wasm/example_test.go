package wasm_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

func ExampleOpenTemp() {
	ctx := context.Background()
	db, err := wasm.OpenTemp(ctx, wasm.Options{Extensions: []string{"pg_trgm"}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)

	results, err := db.Exec(ctx, `CREATE TABLE t(id int, name text); INSERT INTO t VALUES (1, 'one'), (2, 'two'); SELECT * FROM t`)
	if err != nil {
		log.Fatal(err)
	}
	b, err := results[2].JSON()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(b))
	// Output: [{"id":1,"name":"one"},{"id":2,"name":"two"}]
}

func ExampleNew() {
	ctx := context.Background()
	e := wasm.New(wasm.Config{})
	defer e.Close()
	srv, err := e.Start(ctx, engines.Spec{}) // a temporary server
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close(ctx)
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close(ctx)
	var answer int
	if err := conn.QueryRow(ctx, "SELECT $1::int + 2", 40).Scan(&answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
	// Output: 42
}
