package pgserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// ledger is an account that transactions change.
type ledger struct {
	mu      sync.Mutex
	balance int
}

var pending = pgserver.NewKey[int]("uncommitted change")

func (l *ledger) ServeQuery(w pgserver.ResponseWriter, q *pgserver.Query) error {
	if q.DescribeOnly {
		return nil // nothing here has columns
	}
	word, rest, _ := strings.Cut(q.SQL, " ")
	if word != "rollback" && word != "commit" && q.Session.TxStatus() == wire.TxFailed {
		return wire.Errorf(wire.CodeInFailedSQLTransaction, "current transaction is aborted, commands ignored until end of transaction block")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	change, _ := pending.Get(q.Session)
	switch word {
	case "begin", "rollback":
		pending.Delete(q.Session)
	case "commit":
		if q.Session.TxStatus() == wire.TxFailed {
			pending.Delete(q.Session)
			return w.Complete("ROLLBACK")
		}
		l.balance += change
		pending.Delete(q.Session)
	case "add":
		var n int
		if _, err := fmt.Sscan(rest, &n); err != nil {
			return wire.Errorf(wire.CodeSyntaxError, "add what? %w", err)
		}
		if l.balance+change+n < 0 {
			return wire.Errorf(wire.CodeCheckViolation, "there is not that much")
		}
		pending.Set(q.Session, change+n)
	}
	// The library follows BEGIN, COMMIT and ROLLBACK and tells the client the state.
	return w.Complete(strings.ToUpper(word))
}

// Transactions: the tags say where they begin and end, an error lets them fail.
func ExampleSession_TxStatus() {
	account := &ledger{balance: 10}
	addr, stop := serve(&pgserver.Server{Handler: account})
	defer stop()

	ctx := context.Background()
	conn := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer conn.Close(ctx)
	for _, amounts := range [][]int{{-3, 5}, {-6, -20}} {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for _, n := range amounts {
				if _, err := tx.Exec(ctx, fmt.Sprintf("add %d", n)); err != nil {
					fmt.Printf("%c %v\n", conn.PgConn().TxStatus(), err)
					return err
				}
			}
			return nil
		})
		fmt.Printf("%c committed: %v, balance %d\n", conn.PgConn().TxStatus(), err == nil, account.balance)
	}
	// Output:
	// I committed: true, balance 12
	// E ERROR: there is not that much (SQLSTATE 23514)
	// I committed: false, balance 12
}

// COPY in both directions, as CSV: lines come and go as a stream.
func ExampleCopyReader() {
	var lines [][2]string
	csv := pgserver.CopyFormat{Kind: pgserver.CopyCSV}
	h := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if strings.HasSuffix(q.SQL, "from stdin") {
			in, err := w.CopyIn(csv, 2)
			if err != nil {
				return err
			}
			for row, err := range in.Rows() {
				if err != nil {
					return err
				}
				lines = append(lines, [2]string{row[0].String(), row[1].String()})
			}
			return w.Complete(fmt.Sprintf("COPY %d", in.Count()))
		}
		out, err := w.CopyOut(csv, 2)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if err := out.Row(l[1], l[0]); err != nil {
				return err
			}
		}
		return out.Close()
	})
	addr, stop := serve(&pgserver.Server{Handler: h})
	defer stop()

	ctx := context.Background()
	conn := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer conn.Close(ctx)
	tag, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("one,\"1, or so\"\ntwo,2\n"), "copy t from stdin")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tag)
	var back bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &back, "copy t to stdout"); err != nil {
		log.Fatal(err)
	}
	fmt.Print(back.String())
	// Output:
	// COPY 2
	// "1, or so",one
	// 2,two
}

// A cancel request ends the query's context, and rows that are being sent as well.
func ExampleQuery_Context() {
	running := make(chan struct{})
	h := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		close(running)
		<-q.Context().Done() // something long
		return q.Context().Err()
	})
	addr, stop := serve(&pgserver.Server{Handler: h})
	defer stop()

	conn := mustConnect("postgres://me@" + addr + "/x?sslmode=disable&default_query_exec_mode=simple_protocol")
	defer conn.Close(context.Background())
	go func() {
		<-running
		if err := conn.PgConn().CancelRequest(context.Background()); err != nil {
			log.Fatal(err)
		}
	}()
	_, err := conn.Exec(context.Background(), "sleep forever")
	fmt.Println(err)
	// Output: ERROR: canceling statement due to user request (SQLSTATE 57014)
}

// Cursors for a handler that has never heard of them: it runs as far as is fetched.
func ExampleCursors() {
	last := 0
	h := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if word := strings.ToUpper(q.SQL); word == "BEGIN" || word == "COMMIT" || word == "ROLLBACK" {
			if q.DescribeOnly {
				return nil
			}
			return w.Complete(word)
		}
		if err := w.Columns(pgserver.Int4("n")); err != nil {
			return err
		}
		for last = 1; ; last++ { // endless
			if err := w.Row(last); err != nil {
				return err
			}
		}
	})
	addr, stop := serve(&pgserver.Server{Handler: pgserver.Chain(h, pgserver.Cursors)})
	defer stop()

	ctx := context.Background()
	conn := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer conn.Close(ctx)
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "declare c cursor for numbers"); err != nil {
			return err
		}
		for range 2 {
			rows, err := tx.Query(ctx, "fetch 3 from c")
			if err != nil {
				return err
			}
			got, err := pgx.CollectRows(rows, pgx.RowTo[int])
			if err != nil {
				return err
			}
			fmt.Println(got)
		}
		return nil
	})
	fmt.Println(err, last)
	// Output:
	// [1 2 3]
	// [4 5 6]
	// <nil> 6
}

// Notifications between sessions, and from the program itself.
func ExampleNotifications() {
	broker := &pgserver.Broker{}
	none := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		return wire.Errorf(wire.CodeSyntaxError, "only LISTEN and NOTIFY")
	})
	addr, stop := serve(&pgserver.Server{Handler: pgserver.Notifications(none), Notifier: broker})
	defer stop()

	ctx := context.Background()
	listener := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer listener.Close(ctx)
	notifier := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer notifier.Close(ctx)
	if _, err := listener.Exec(ctx, "listen news"); err != nil {
		log.Fatal(err)
	}
	if _, err := notifier.Exec(ctx, "notify news, 'from a session'"); err != nil {
		log.Fatal(err)
	}
	if err := broker.Notify(0, "news", "from the program"); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		n, err := listener.WaitForNotification(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n.Channel, n.Payload)
	}
	// Output:
	// news from a session
	// news from the program
}

// A client in a page, made of the packages below the server: frames of package wire and SCRAM
// of package auth.
func Example_client() {
	addr, stop := serve(&pgserver.Server{
		Auth: pgserver.SCRAM(auth.Secrets{"me": "secret"}),
		Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
			if err := w.Columns(pgserver.Text("answer")); err != nil {
				return err
			}
			return w.Row("you said " + q.SQL)
		}),
	})
	defer stop()

	nc, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	if err := talk(nc, "me", "secret", "hello"); err != nil {
		log.Fatal(err)
	}
	// Output: you said hello
}

func talk(nc io.ReadWriter, user, password, sql string) error {
	r, w := wire.NewReader(nc, wire.Backend, 0), wire.NewWriter(nc)
	scram := &auth.SCRAMClient{Password: password}
	send := func(m wire.FrontendMessage) error { return errors.Join(w.Send(m), w.Flush()) }
	if err := send(&wire.StartupMessage{Version: wire.Version32, Params: []wire.Param{{Name: "user", Value: user}}}); err != nil {
		return err
	}
	asked := false
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return err
		}
		m, err := wire.DecodeBackend(f.Type, f.Body)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.AuthenticationSASL:
			mechanism, err := scram.Choose(m.Mechanisms)
			if err != nil {
				return err
			}
			err = send(&wire.SASLInitialResponse{Mechanism: mechanism, Data: scram.First()})
			if err != nil {
				return err
			}
		case *wire.AuthenticationSASLContinue:
			proof, _, err := scram.Next(m.Data)
			if err != nil {
				return err
			}
			if err := send(&wire.SASLResponse{Data: proof}); err != nil {
				return err
			}
		case *wire.AuthenticationSASLFinal:
			if _, _, err := scram.Next(m.Data); err != nil {
				return err
			}
		case *wire.AuthenticationOk:
			if !scram.Verified() {
				return errors.New("the server did not prove who it is")
			}
		case *wire.ErrorResponse:
			return &m.Error
		case *wire.DataRow:
			fmt.Printf("%s\n", m.Values[0])
		case *wire.ReadyForQuery:
			if asked {
				return send(&wire.Terminate{})
			}
			asked = true
			if err := send(&wire.Query{SQL: sql}); err != nil {
				return err
			}
		}
	}
}
