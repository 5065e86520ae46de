// lib/pq on a SQLite database; the URL is the first argument.
package main

import (
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/lib/pq"
)

func main() {
	log.SetFlags(log.Lshortfile)
	db, err := sql.Open("postgres", os.Args[1])
	check(err)
	db.SetMaxOpenConns(4)
	_, err = db.Exec("CREATE TABLE pq (id integer PRIMARY KEY, name text UNIQUE, data blob, born date)")
	check(err)
	insert, err := db.Prepare("INSERT INTO pq (name, data, born) VALUES ($1, $2, $3) RETURNING id")
	check(err)
	for i := range 20 {
		var id int
		check(insert.QueryRow(fmt.Sprintf("n%d", i), []byte{0, 1, byte(i)}, "2024-02-29").Scan(&id))
		if id != i+1 {
			log.Fatalf("id %d", id)
		}
	}
	tx, err := db.Begin()
	check(err)
	_, err = tx.Exec("INSERT INTO pq (name) VALUES ('n1')")
	var dup *pq.Error
	if !errors.As(err, &dup) || dup.Code != "23505" {
		log.Fatalf("a duplicate: %v", err)
	}
	check(tx.Rollback())
	tx, err = db.Begin()
	check(err)
	copied, err := tx.Prepare(pq.CopyIn("pq", "name", "data"))
	check(err)
	for i := range 1000 {
		_, err = copied.Exec(fmt.Sprintf("copied%d", i), []byte("x\x00y"))
		check(err)
	}
	_, err = copied.Exec()
	check(err)
	check(copied.Close())
	_, err = tx.Exec("DECLARE c CURSOR FOR SELECT name FROM pq ORDER BY id")
	check(err)
	rows, err := tx.Query("FETCH 7 FROM c")
	check(err)
	fetched := 0
	for rows.Next() {
		fetched++
	}
	check(rows.Err())
	if fetched != 7 {
		log.Fatalf("fetched %d", fetched)
	}
	check(tx.Commit())
	var n, length int
	check(db.QueryRow("SELECT count(*), max(length(data))::int FROM pq WHERE id > $1 AND name = ANY($2)", 0, pq.Array([]string{"copied1", "n1", "no"})).Scan(&n, &length))
	if n != 2 || length != 3 {
		log.Fatalf("%d rows, %d bytes", n, length)
	}
	var typ string
	check(db.QueryRow("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'pq'::regclass AND attname = $1", "born").Scan(&typ))
	if typ != "date" {
		log.Fatalf("born is %s", typ)
	}
	check(db.QueryRow("SELECT count(*) FROM pq").Scan(&n))
	fmt.Println("lib/pq", n)
}

func check(err error) {
	if err != nil {
		_ = log.Output(2, err.Error())
		os.Exit(1)
	}
}
