package replication_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/replication"
	"github.com/pgx-dev/pgx-dev/wire/replication/pgoutput"
)

// Copy a running cluster into a directory that a server can be started in.
func ExampleConn_BaseBackup() {
	ctx := context.Background()
	cfg, err := pgconn.ParseConfig("host=/run/postgresql user=postgres")
	if err != nil {
		log.Fatal(err)
	}
	c, err := replication.Connect(ctx, cfg, replication.Physical)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	result, err := c.BaseBackup(ctx, &replication.DirSink{Dir: "/srv/copy"}, replication.BaseBackupOptions{
		Fast: true, WAL: true,
		Progress: func(p replication.Progress) { fmt.Printf("\r%d of %d bytes", p.Bytes, p.Total) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("from", result.Start, "to", result.End)
}

// Receive the changes of published tables, each once, whatever happens in between.
func ExampleConn_Subscribe() {
	ctx := context.Background()
	cfg, err := pgconn.ParseConfig("host=/run/postgresql user=postgres dbname=shop")
	if err != nil {
		log.Fatal(err)
	}
	c, err := replication.Connect(ctx, cfg, replication.Logical)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	var position wire.LSN // that was stored together with the changes
	sub, err := c.Subscribe(ctx, replication.SubscribeOptions{Slot: "mirror", Publications: []string{"all"}, Start: position})
	if err != nil {
		log.Fatal(err)
	}
	for {
		ch, err := sub.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if m, ok := ch.Message.(*pgoutput.Insert); ok {
			fmt.Println("insert into", ch.Relation.Name, m.New)
		}
		if ch.Ack != 0 { // a transaction is complete: store what came of it, and the position
			if err := sub.Acknowledge(ch.Ack, false); err != nil {
				log.Fatal(err)
			}
		}
	}
}
