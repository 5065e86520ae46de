package pgserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgx-dev/pgx-dev/wire"
	"github.com/pgx-dev/pgx-dev/wire/auth"
	"github.com/pgx-dev/pgx-dev/wire/pgserver"
	"github.com/pgx-dev/pgx-dev/wire/wiretest"
)

// serve runs a server on a free port. A program would call ListenAndServe.
func serve(srv *pgserver.Server) (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	return l.Addr().String(), func() {
		if err := srv.Close(); err != nil {
			log.Fatal(err)
		}
		if err := <-done; !errors.Is(err, pgserver.ErrServerClosed) {
			log.Fatal(err)
		}
	}
}

func mustConnect(url string) *pgx.Conn {
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

// The smallest server: the same rows for everybody.
func ExampleHandlerFunc() {
	planets := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if err := w.Columns(pgserver.Int4("nr"), pgserver.Text("name"), pgserver.Float8("au")); err != nil {
			return err
		}
		for i, name := range []string{"Mercury", "Venus", "Earth"} {
			if err := w.Row(i+1, name, []float64{0.39, 0.72, 1}[i]); err != nil {
				return err
			}
		}
		return nil
	})
	addr, stop := serve(&pgserver.Server{Handler: planets})
	defer stop()

	conn := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer conn.Close(context.Background())
	rows, _ := conn.Query(context.Background(), "select whatever")
	var nr int
	var name string
	var au float64
	if _, err := pgx.ForEachRow(rows, []any{&nr, &name, &au}, func() error {
		fmt.Println(nr, name, au)
		return nil
	}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 Mercury 0.39
	// 2 Venus 0.72
	// 3 Earth 1
}

// TLS only, with a certificate that may be renewed while the server runs.
func ExampleServer_tls() {
	cert, err := wiretest.Certificate("localhost")
	if err != nil {
		log.Fatal(err)
	}
	srv := &pgserver.Server{
		RequireTLS: true,
		TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &cert, nil // read it again when the file has changed
		}},
		Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
			if err := w.Columns(pgserver.Text("protocol"), pgserver.Text("server_name")); err != nil {
				return err
			}
			cs := q.Session.TLS()
			return w.Row(tls.VersionName(cs.Version), cs.ServerName)
		}),
	}
	addr, stop := serve(srv)
	defer stop()

	cfg, err := pgx.ParseConfig("postgres://me@" + addr + "/x?sslmode=require")
	if err != nil {
		log.Fatal(err)
	}
	cfg.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	cfg.TLSConfig.RootCAs.AddCert(cert.Leaf)
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close(context.Background())
	var version, name string
	if err := conn.QueryRow(context.Background(), "tls").Scan(&version, &name); err != nil {
		log.Fatal(err)
	}
	fmt.Println(version, name)
	// Output: TLS 1.3 localhost
}

// Passwords by SCRAM, from the verifiers that PostgreSQL keeps in pg_authid.
func ExampleSCRAM() {
	verifier, err := auth.NewSCRAMSecret("tiger", 4096) // select rolpassword from pg_authid
	if err != nil {
		log.Fatal(err)
	}
	secrets := auth.Secrets{"scott": verifier.Text()}
	addr, stop := serve(&pgserver.Server{
		Auth: pgserver.SCRAM(secrets),
		Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
			if err := w.Columns(pgserver.Text("user")); err != nil {
				return err
			}
			return w.Row(q.Session.User())
		}),
	})
	defer stop()

	for _, password := range []string{"tiger", "lion"} {
		conn, err := pgx.Connect(context.Background(), "postgres://scott:"+password+"@"+addr+"/x?sslmode=disable")
		if err != nil {
			_, reason, _ := strings.Cut(err.Error(), "FATAL: ")
			fmt.Println(reason)
			continue
		}
		var user string
		if err := conn.QueryRow(context.Background(), "select user").Scan(&user); err != nil {
			log.Fatal(err)
		}
		fmt.Println("hello,", user)
		conn.Close(context.Background())
	}
	// Output:
	// hello, scott
	// password authentication failed for user "scott" (SQLSTATE 28P01)
}

// Bearer tokens, judged by whatever knows them.
func ExampleOAuth() {
	validator := auth.ValidatorFunc(func(_ context.Context, r auth.BearerRequest) (auth.BearerResult, error) {
		return auth.BearerResult{Identity: "ann", Authorized: r.Token == "token-of-ann"}, nil
	})
	addr, stop := serve(&pgserver.Server{
		Auth: &pgserver.OAuth{Validator: validator, Issuer: "https://id.example.com", Scope: "db"},
		Handler: pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
			if err := w.Columns(pgserver.Text("bearer")); err != nil {
				return err
			}
			return w.Row(q.Session.Identity().System)
		}),
	})
	defer stop()

	for _, user := range []string{"ann", "bob"} { // bob has ann's token
		cfg, err := pgx.ParseConfig("postgres://" + user + "@" + addr + "/x?sslmode=disable")
		if err != nil {
			log.Fatal(err)
		}
		cfg.OAuthTokenProvider = func(context.Context) (string, error) { return "token-of-ann", nil }
		conn, err := pgx.ConnectConfig(context.Background(), cfg)
		if err != nil {
			fmt.Println(user, "is refused")
			continue
		}
		var bearer string
		if err := conn.QueryRow(context.Background(), "x").Scan(&bearer); err != nil {
			log.Fatal(err)
		}
		fmt.Println(user, "is", bearer)
		conn.Close(context.Background())
	}
	// Output:
	// ann is ann
	// bob is refused
}

// A language that is not SQL: sums in Polish notation. The server passes query strings whole.
func ExampleServer_notSQL() {
	polish := pgserver.HandlerFunc(func(w pgserver.ResponseWriter, q *pgserver.Query) error {
		if err := w.Columns(pgserver.Float8("result")); err != nil {
			return err
		}
		result, rest, err := evaluate(strings.Fields(q.SQL))
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("%q is left over", rest)
		}
		if err != nil {
			return wire.Errorf(wire.CodeSyntaxError, "no sum: %w", err)
		}
		return w.Row(result)
	})
	addr, stop := serve(&pgserver.Server{Handler: polish, WholeStrings: true})
	defer stop()

	conn := mustConnect("postgres://me@" + addr + "/x?sslmode=disable")
	defer conn.Close(context.Background())
	for _, sum := range []string{"* + 1 2 ; 45 5", "- 7"} {
		var result float64
		if err := conn.QueryRow(context.Background(), sum).Scan(&result); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(result)
	}
	// Output:
	// 27
	// ERROR: no sum: a number is missing (SQLSTATE 42601)
}

// evaluate computes a sum in Polish notation; the semicolon divides.
func evaluate(words []string) (float64, []string, error) {
	if len(words) == 0 {
		return 0, nil, fmt.Errorf("a number is missing")
	}
	op, rest := words[0], words[1:]
	var n float64
	if _, err := fmt.Sscan(op, &n); err == nil && !strings.ContainsAny(op[:1], "+-*;") {
		return n, rest, nil
	}
	a, rest, err := evaluate(rest)
	if err != nil {
		return 0, nil, err
	}
	b, rest, err := evaluate(rest)
	if err != nil {
		return 0, nil, err
	}
	switch op {
	case "+":
		return a + b, rest, nil
	case "-":
		return a - b, rest, nil
	case "*":
		return a * b, rest, nil
	case ";":
		return a / b, rest, nil
	}
	return 0, nil, fmt.Errorf("%q is no operator", op)
}
