package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A client is a connection that reads no more than it must.
type client struct {
	nc  net.Conn
	buf []byte
}

func (p *process) dial(buf []byte) (*client, error) {
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, buf: buf}
	m := wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: p.user}, {Name: "database", Value: "postgres"}}}
	if err := c.roundTrip(m.AppendTo(nil)); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

// roundTrip sends, and reads up to ReadyForQuery, which ends a stream with these six bytes.
func (c *client) roundTrip(b []byte) error {
	if err := c.nc.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	if _, err := c.nc.Write(b); err != nil {
		return err
	}
	var tail [6]byte
	for {
		n, err := c.nc.Read(c.buf)
		if err != nil {
			return fmt.Errorf("wait for ReadyForQuery: %w", err)
		}
		if n >= 6 {
			copy(tail[:], c.buf[n-6:n])
		} else {
			copy(tail[:], tail[n:])
			copy(tail[6-n:], c.buf[:n])
		}
		if tail == [6]byte{'Z', 0, 0, 0, 5, 'I'} {
			return nil
		}
	}
}

func (p *process) query(n int) []byte {
	sql := strconv.Itoa(n)
	if p.pg != nil {
		sql = fmt.Sprintf("SELECT 1234567::int8, 'the name of it', '2024-02-29', '3.25', 'some words' FROM generate_series(1, %d)", n)
	}
	return (&wire.Query{SQL: sql}).AppendTo(nil)
}

const bursts = 20

// rows streams rows to a client that counts bytes.
func rows(all map[string]*process, rounds int, r *report) error {
	order := []struct {
		name string
		n    int
	}{{"hand", 4_000_000}, {"raw", 4_000_000}, {"row", 2_000_000}, {"pgproto3", 2_000_000}, {"PostgreSQL", 1_000_000}, {"psql-wire", 100_000}}
	speed, cpu, mallocs := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	clients, burst := map[string]*client{}, map[string][]float64{}
	for _, o := range order {
		c, err := all[o.name].dial(make([]byte, 256<<10))
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		defer c.nc.Close()
		clients[o.name] = c
	}
	// Short bursts in turns: whatever the machine does meanwhile hits all of them.
	for range rounds {
		took, before, after := map[string]time.Duration{}, map[string]stats{}, map[string]stats{}
		for _, o := range order {
			if err := clients[o.name].roundTrip(all[o.name].query(10_000)); err != nil { // warm
				return fmt.Errorf("%s: %w", o.name, err)
			}
			var err error
			if before[o.name], err = all[o.name].stats(); err != nil {
				return err
			}
		}
		for range bursts {
			for _, o := range order {
				began := time.Now()
				if err := clients[o.name].roundTrip(all[o.name].query(o.n / bursts)); err != nil {
					return fmt.Errorf("%s: %w", o.name, err)
				}
				d := time.Since(began)
				took[o.name] += d
				burst[o.name] = append(burst[o.name], d.Seconds()/float64(o.n))
			}
		}
		for _, o := range order {
			var err error
			if after[o.name], err = all[o.name].stats(); err != nil {
				return err
			}
			n := float64(o.n / bursts * bursts)
			speed[o.name] = append(speed[o.name], n/took[o.name].Seconds())
			cpu[o.name] = append(cpu[o.name], (after[o.name].CPU-before[o.name].CPU)/n*1e9)
			mallocs[o.name] = append(mallocs[o.name], float64(after[o.name].Mallocs-before[o.name].Mallocs)/n)
		}
	}
	hand, handCPU := median(speed["hand"]), median(cpu["hand"])
	fmt.Printf("%-26s %12s %9s %12s %9s %12s\n", "rows of 5 columns", "rows/s", "ratio", "CPU ns/row", "ratio", "allocs/row")
	for _, o := range order {
		name := map[string]string{"hand": "by hand", "raw": "pgserver RawRow", "row": "pgserver Row(any)", "pgproto3": "pgproto3's messages"}[o.name]
		if name == "" {
			name = o.name
		}
		s := median(speed[o.name])
		if all[o.name].pg != nil {
			fmt.Printf("%-26s %12.0f %9.2f %12s %9s %12s\n", name, s, s/hand, "-", "-", "-")
			continue
		}
		x := median(cpu[o.name])
		fmt.Printf("%-26s %12.0f %9.2f %12.1f %9.2f %12.4f\n", name, s, s/hand, x, x/handCPU, median(mallocs[o.name]))
	}
	// A few allocations belong to the query, not to its rows.
	var ratios []float64 // of each burst to the one just before it
	for i := range burst["raw"] {
		ratios = append(ratios, burst["hand"][i]/burst["raw"][i])
	}
	ratio := median(ratios)
	fmt.Printf("RawRow at least 0.9 of by hand, burst by burst: %.2f, %s; no allocation for a raw row: %s; at most 1 for Row(any): %s\n\n",
		ratio, r.promise(fmt.Sprintf("RawRow is %.2f of by hand", ratio), ratio >= 0.9),
		r.promise("RawRow allocates", median(mallocs["raw"]) < 0.001),
		r.promise("Row(any) allocates more than once", median(mallocs["row"]) < 1.001))
	return nil
}

// connections connects, asks once and leaves, again and again.
func connections(all map[string]*process, rounds int, r *report) error {
	speed := map[string][]float64{}
	order := []string{"raw", "pgproto3", "hand", "psql-wire", "PostgreSQL"}
	bye := (&wire.Terminate{}).AppendTo(nil)
	buf := make([]byte, 64<<10)
	for range rounds {
		for _, name := range order {
			p := all[name]
			n := 500
			if name == "psql-wire" || name == "PostgreSQL" {
				n = 50
			}
			ask := p.query(1)
			began := time.Now()
			for range n {
				c, err := p.dial(buf)
				if err == nil {
					err = c.roundTrip(ask)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				_, err = c.nc.Write(bye)
				if err = errors.Join(err, c.nc.Close()); err != nil {
					return err
				}
			}
			speed[name] = append(speed[name], float64(n)/time.Since(began).Seconds())
		}
	}
	base := median(speed["pgproto3"])
	fmt.Printf("%-26s %12s %9s\n", "connect, query, leave", "conns/s", "ratio")
	for _, name := range order {
		s := median(speed[name])
		fmt.Printf("%-26s %12.0f %9.2f\n", label(name), s, s/base)
	}
	fmt.Println()
	return nil
}

func label(name string) string {
	if l, ok := map[string]string{"raw": "pgserver", "pgproto3": "pgproto3's messages", "hand": "by hand"}[name]; ok {
		return l
	}
	return name
}

// idle is what a connection costs that has been busy and now waits.
func idle(all map[string]*process, _ int, r *report) error {
	fmt.Printf("%-26s %12s\n", "idle connection", "heap, bytes")
	for _, name := range []string{"raw", "pgproto3", "hand", "psql-wire"} {
		p := all[name]
		n := 500
		if name == "psql-wire" {
			n = 20
		}
		before, err := p.heap()
		if err != nil {
			return err
		}
		buf := make([]byte, 64<<10)
		var open []net.Conn
		for range n {
			c, err := p.dial(buf)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			open = append(open, c.nc)
			for _, rows := range []int{2000, 1} { // a large answer must not leave a large buffer
				if err := c.roundTrip(p.query(rows)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		after, err := p.heap()
		if err != nil {
			return err
		}
		for _, nc := range open {
			nc.Close()
		}
		per := float64(int64(after.Heap)-int64(before.Heap)) / float64(n)
		fmt.Printf("%-26s %12.0f\n", label(name), per)
		if name == "raw" {
			defer fmt.Printf("at most 16 KiB, stack included: %s\n\n", r.promise(fmt.Sprintf("%.0f bytes for an idle connection", per), per <= 16<<10))
		}
	}
	return nil
}

var tps = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)[^\n]*$[\s\S]*?^tps = ([0-9.]+)`)

// transactions is pgbench with prepared statements.
func transactions(all map[string]*process, pgbench string, rounds int, r *report) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	scripts := map[string]string{"raw": "1", "pgproto3": "1", "PostgreSQL": "SELECT 1234567::int8, 'the name of it', '2024-02-29', '3.25', 'some words'"}
	order := []string{"raw", "pgproto3", "PostgreSQL"}
	speed, cpu := map[string][]float64{}, map[string][]float64{}
	for range rounds {
		for _, name := range order {
			p := all[name]
			script := filepath.Join(dir, name+".sql")
			if err := os.WriteFile(script, []byte(scripts[name]+"\n"), 0o600); err != nil {
				return err
			}
			host, port, err := net.SplitHostPort(p.addr)
			if err != nil {
				return err
			}
			before, err := p.stats()
			if err != nil {
				return err
			}
			cmd := exec.Command(pgbench, "-n", "-M", "prepared", "-f", script, "-c", "8", "-j", "1", "-T", "3",
				"-h", host, "-p", port, "-U", "postgres", "postgres")
			cmd.Env = append(os.Environ(), "PGSSLMODE=disable", "PGGSSENCMODE=disable")
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("pgbench with %s: %w\n%s", name, err, out)
			}
			after, err := p.stats()
			if err != nil {
				return err
			}
			m := tps.FindSubmatch(out)
			if m == nil {
				return fmt.Errorf("pgbench with %s said: %s", name, out)
			}
			n, _ := strconv.ParseFloat(string(m[1]), 64) // digits
			s, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil {
				return err
			}
			speed[name] = append(speed[name], s)
			cpu[name] = append(cpu[name], (after.CPU-before.CPU)/n*1e6)
		}
	}
	base, baseCPU := median(speed["pgproto3"]), median(cpu["pgproto3"])
	fmt.Printf("%-26s %12s %9s %12s %9s\n", "pgbench -M prepared", "tps", "ratio", "CPU µs/tx", "ratio")
	for _, name := range order {
		s := median(speed[name])
		if all[name].pg != nil {
			fmt.Printf("%-26s %12.0f %9.2f %12s %9s\n", label(name), s, s/base, "-", "-")
			continue
		}
		x := median(cpu[name])
		fmt.Printf("%-26s %12.0f %9.2f %12.2f %9.2f\n", label(name), s, s/base, x, x/baseCPU)
	}
	ratio := median(speed["raw"]) / base
	fmt.Printf("at least 0.9 of the pgproto3 server: %s\n", r.promise(fmt.Sprintf("pgbench: %.2f of the pgproto3 server", ratio), ratio >= 0.9))
	return nil
}
