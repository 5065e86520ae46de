// Command bench measures pgserver against what else there is in Go for serving PostgreSQL's
// protocol (psql-wire, and a bare server of pgproto3's messages), against the least that a
// server can do (rows appended to one buffer by hand) and against PostgreSQL itself.
//
// Each server is a process of its own, so that its CPU time and allocations are its own too.
// They are measured in turns, so that what else the machine does hits all alike; figures are
// medians of the rounds. It fails when a rival is missing or a promise is not kept.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

func main() {
	serve := flag.String("serve", "", "be this server")
	rounds := flag.Int("rounds", 5, "how often each is measured")
	flag.Parse()
	var err error
	if *serve != "" {
		err = child(*serve)
	} else {
		err = measure(*rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A report collects lines and broken promises.
type report struct{ missed []string }

func (r *report) promise(what string, kept bool) string {
	if kept {
		return "kept"
	}
	r.missed = append(r.missed, what)
	return "MISSED"
}

func measure(rounds int) error {
	pgbench, err := exec.LookPath("pgbench")
	if err != nil {
		return fmt.Errorf("pgbench is needed: %w", err)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	fmt.Printf("%s, %d CPUs, load %s\n\n", runtime.Version(), runtime.NumCPU(), strings.TrimSpace(string(load)))
	all := map[string]*process{}
	defer func() {
		for _, p := range all {
			p.stop()
		}
	}()
	for _, name := range []string{"hand", "raw", "row", "pgproto3", "psql-wire"} {
		p, err := start(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all[name] = p
	}
	pg, err := startPostgreSQL()
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	all["PostgreSQL"] = pg

	r := &report{}
	for _, part := range []func(map[string]*process, int, *report) error{rows, connections, idle} {
		if err := part(all, rounds, r); err != nil {
			return err
		}
	}
	if err := transactions(all, pgbench, rounds, r); err != nil {
		return err
	}
	if len(r.missed) > 0 {
		return fmt.Errorf("not kept: %s", strings.Join(r.missed, "; "))
	}
	return nil
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
