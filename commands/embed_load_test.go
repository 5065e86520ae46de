package commands

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestNewerDump(t *testing.T) {
	unknown := fmt.Errorf("a.sql:13: %w", &pgconn.PgError{Code: "42704", Message: `unrecognized configuration parameter "transaction_timeout"`})
	const dump = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 18.6\n-- Dumped by pg_dump version 18.3\n"
	for name, test := range map[string]struct {
		err  error
		text string
		want bool
	}{
		"a newer dump":  {unknown, dump, true},
		"own SQL":       {unknown, "set transaction_timeout = 0;", false},
		"another error": {&pgconn.PgError{Code: "42601"}, dump, false},
		"no answer":     {errors.New("the connection is gone"), dump, false},
		"none":          {nil, dump, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := newerDump(test.err, []byte(test.text))
			if !errors.Is(got, test.err) {
				t.Errorf("%v does not wrap %v", got, test.err)
			}
			if hint := got != nil && strings.Contains(got.Error(), "pg_dump 18 wrote it"); hint != test.want {
				t.Errorf("%v; a hint is wanted: %v", got, test.want)
			}
		})
	}
}
