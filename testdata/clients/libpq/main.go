// A real application's moves, with lib/pq; the URL is the first argument.
package main

import (
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/lib/pq"
)

func main() {
	log.SetFlags(log.Lshortfile)
	db, err := sql.Open("postgres", os.Args[1])
	check(err)
	db.SetMaxOpenConns(4)
	for _, migration := range []string{
		"CREATE TABLE pq_user (id serial PRIMARY KEY, email text UNIQUE NOT NULL)",
		"ALTER TABLE pq_user ADD COLUMN tags text[] NOT NULL DEFAULT '{}'",
	} {
		tx, err := db.Begin()
		check(err)
		_, err = tx.Exec(migration)
		check(err)
		check(tx.Commit())
	}
	insert, err := db.Prepare("INSERT INTO pq_user (email, tags) VALUES ($1, $2) RETURNING id")
	check(err)
	for i := range 20 {
		var id int
		check(insert.QueryRow(fmt.Sprintf("u%d@x", i), pq.Array([]string{"a", "b"})).Scan(&id))
	}
	tx, err := db.Begin()
	check(err)
	_, err = tx.Exec("INSERT INTO pq_user (email) VALUES ('lost@x')")
	check(err)
	_, err = tx.Exec("INSERT INTO pq_user (email) VALUES ('u1@x')")
	var dup *pq.Error
	if !errors.As(err, &dup) || dup.Code != "23505" || dup.Constraint != "pq_user_email_key" {
		log.Fatalf("a duplicate: %v", err)
	}
	check(tx.Rollback())
	tx, err = db.Begin()
	check(err)
	copied, err := tx.Prepare(pq.CopyIn("pq_user", "email"))
	check(err)
	for i := range 1000 {
		_, err = copied.Exec(fmt.Sprintf("copied%d@x", i))
		check(err)
	}
	_, err = copied.Exec()
	check(err)
	check(copied.Close())
	check(tx.Commit())
	l := pq.NewListener(os.Args[1], time.Second, time.Minute, nil)
	check(l.Listen("pq"))
	_, err = db.Exec("NOTIFY pq, 'hello'")
	check(err)
	if n := <-l.Notify; n == nil || n.Extra != "hello" {
		log.Fatalf("notified of %v", n)
	}
	check(l.Close())
	var n int
	check(db.QueryRow("SELECT count(*) FROM pq_user").Scan(&n))
	check(db.Close())
	fmt.Println("lib/pq", n)
}

func check(err error) {
	if err != nil {
		_ = log.Output(2, err.Error())
		os.Exit(1)
	}
}
