package native_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/native/settings"
)

// A temporary server, which is gone after Close.
func Example() {
	ctx := context.Background()
	engine := native.New(native.DefaultConfig())
	srv, err := engine.Start(ctx, engines.Spec{Fast: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = srv.Close(ctx) }()

	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var sum int
	if err := conn.QueryRow(ctx, "SELECT sum(n) FROM generate_series(1, 100) n").Scan(&sum); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum)
	// Output: 5050
}

// Settings with their units.
func Example_settings() {
	ctx := context.Background()
	srv, err := native.New(native.DefaultConfig()).Start(ctx, engines.Spec{Fast: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = srv.Close(ctx) }()
	conn, err := engines.Connect(ctx, srv, "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()

	if err := settings.Set(ctx, conn, "work_mem", 64*settings.MB); err != nil {
		log.Fatal(err)
	}
	if err := settings.Reload(ctx, conn); err != nil {
		log.Fatal(err)
	}
	s, err := settings.Get(ctx, conn, "work_mem")
	if err != nil {
		log.Fatal(err)
	}
	value, err := s.Value()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Text, s.Unit, "is", value)
	// Output: 65536 kB is 64MB
}
