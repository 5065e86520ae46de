package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/pool"
	"github.com/pgx-dev/pgx-dev/wire"
)

// A cutter is a server that says what its texts tell it to: "SELECT i, k" is the answer i, in three pieces,
// of which the second begins at byte k and is as long as what ends the rows of some. A piece comes when the
// proxy has read the one before, and next lets it.
type cutter struct {
	t       *testing.T
	answers [][]byte
	read    func() int64 // bytes that the proxy has read
	cut     chan struct{}
	next    chan struct{}
}

func (c *cutter) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	r := wire.NewReader(nc, wire.Frontend, 0)
	if _, err := r.ReadStartup(); err != nil {
		return
	}
	say := func(b []byte) bool {
		_, err := nc.Write(b)
		return err == nil
	}
	if !say(encoded(c.t, &wire.AuthenticationOk{}, &wire.BackendKeyData{PID: 1, Key: []byte("abcd")}, &wire.ReadyForQuery{TxStatus: wire.TxIdle})) {
		return
	}
	sql := ""
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return
		}
		switch f.Type {
		case wire.TypeQuery:
			sql = string(f.Body[:len(f.Body)-1])
		case wire.TypeParse:
			sql, _, _ = strings.Cut(string(f.Body[1:]), "\x00")
		}
		if f.Type != wire.TypeQuery && f.Type != wire.TypeSync {
			continue
		}
		var i, k int
		if _, err := fmt.Sscanf(sql, "SELECT %d, %d", &i, &k); err != nil {
			c.t.Errorf("the server is asked %q", sql)
			return
		}
		b := c.answers[i]
		if k == 0 {
			if !say(b) {
				return
			}
			continue
		}
		before := c.read() // all that was said, since whoever has asked has the connection
		pieces := [][]byte{b[:k], b[k:]}
		if second := k + len(ending); second < len(b) {
			pieces = [][]byte{b[:k], b[k:second], b[second:]}
		}
		for n, piece := range pieces {
			if !say(piece) {
				return
			}
			if n == len(pieces)-1 {
				break
			}
			before += int64(len(piece))
			for deadline := time.Now().Add(time.Minute); c.read() < before; runtime.Gosched() {
				if time.Now().After(deadline) {
					c.t.Error("the proxy does not read")
					return
				}
			}
			c.cut <- struct{}{}
			if _, ok := <-c.next; !ok {
				return
			}
		}
	}
}

// ending is how some rows end, and most answers.
const ending = "C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I"

// TestExpressCut has answers of every kind come in pieces, cut at each of their bytes, while another
// client waits for the connection: each client gets its own answer, whole, and nothing else.
func TestExpressCut(t *testing.T) {
	ready := ending[len(ending)-6:]
	message := func(typ byte, body string) string {
		return string(typ) + string([]byte{0, 0, byte((len(body) + 4) >> 8), byte(len(body) + 4)}) + body
	}
	row := func(s string) string { return message('D', "\x00\x01\x00\x00\x00"+string([]byte{byte(len(s))})+s) }
	done := func(tag string) string { return message('C', tag+"\x00") }
	problem := func(severity string) string { return "S" + severity + "\x00V" + severity + "\x00C01000\x00Mx\x00\x00" }
	column := message('T', "\x00\x01a\x00"+strings.Repeat("\x00", 18))
	results := map[string]string{
		"row":            column + row("x") + done("SELECT 1"),
		"ends in a row":  column + row("begin"+ending) + row(ending) + done("SELECT 1"),
		"tag as a row":   column + row("x") + done("SELECT "+ready[1:5]),
		"write":          done("INSERT 0 1"),
		"notice":         message('N', problem("NOTICE")) + column + row("x") + done("SELECT 1"),
		"notice behind":  column + row("x") + done("SELECT 1") + message('N', problem("NOTICE")+ready),
		"notification":   column + row("x") + done("SELECT 1") + message('A', "\x00\x00\x00\x01c\x00"+ready+"\x00"),
		"parameter":      column + row("x") + done("UPDATE 1"),
		"error":          message('E', problem("ERROR")),
		"error in a row": column + row("x") + message('E', problem("ERROR")),
		"empty":          message('I', ""),
		"copy":           message('H', "\x00\x00\x00") + message('d', done("SELECT 1")+ready) + message('c', "") + done("COPY 1"),
		"schema":         done("CREATE TABLE"),
		"suspended":      row("x") + message('s', ""),
	}
	c := &cutter{t: t, cut: make(chan struct{}, 1)}
	var names []string
	var questions []func(k int) []byte
	for name, result := range results {
		if name != "suspended" {
			i := len(c.answers)
			c.answers, names = append(c.answers, []byte(result+ready)), append(names, "query, "+name)
			questions = append(questions, func(k int) []byte { return encoded(t, &wire.Query{SQL: fmt.Sprintf("SELECT %d, %d", i, k)}) })
		}
		i := len(c.answers)
		c.answers, names = append(c.answers, []byte("1\x00\x00\x00\x042\x00\x00\x00\x04"+result+ready)), append(names, "series, "+name)
		questions = append(questions, func(k int) []byte {
			list := []wire.Message{&wire.Parse{SQL: fmt.Sprintf("SELECT %d, %d", i, k)}, &wire.Bind{}, &wire.Describe{Kind: wire.PortalKind}, &wire.Execute{}, &wire.Sync{}}
			if !strings.Contains(result, column) {
				list = append(list[:2], list[3:]...)
			}
			return encoded(t, list...)
		})
	}
	transports(t, func(t *testing.T) {
		step := 11 // where there is no short way a few do
		if onLoops(t) {
			step = 1
		}
		loops := newLoops(t, 1) // two would leave no processor for the clients
		if loops != nil {
			defer loops.Close()
		}
		c.next = make(chan struct{})
		p := pool.New(&pool.Backend{Name: "fake", Dial: func(context.Context) (net.Conn, error) {
			a, b := pair(t)
			go c.serve(b)
			return a, nil
		}, Login: pool.Credentials{User: "u", Database: "d"}}, pool.Config{Size: 1, Loops: loops}, nil)
		c.read = func() int64 { return p.Stats().Received }
		db := &proxy.Database{Name: "d", Servers: proxy.One{Pool: p}}
		px, err := proxy.New(proxy.Config{Loops: loops, Lookup: func(context.Context, proxy.Client) (*proxy.Database, error) { return db, nil }})
		if err != nil {
			t.Fatal(err)
		}
		ln := newPipes()
		served := make(chan error, 1)
		go func() { served <- px.Serve(context.Background(), ln) }()
		clients := make([]net.Conn, 2)
		for i := range clients {
			a, b := pair(t)
			clients[i] = ln.offer(a, b)
			if err := clients[i].SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := clients[i].Write(encoded(t, &wire.StartupMessage{Version: wire.Version30, Params: []wire.Param{{Name: "user", Value: "u"}}})); err != nil {
				t.Fatal(err)
			}
			upToReady(t, clients[i], 1)
		}
		defer func() {
			close(c.next)
			for _, nc := range clients {
				_ = nc.Close()
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := px.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			p.Close(ctx)
		}()
		wait := func(from <-chan struct{}, what string) {
			t.Helper()
			select {
			case <-from:
			case <-time.After(time.Minute):
				t.Fatalf("%s: the server is stuck", what)
			}
		}
		let := func(on chan<- struct{}, what string) {
			t.Helper()
			select {
			case on <- struct{}{}:
			case <-time.After(time.Minute):
				t.Fatalf("%s: the server is stuck", what)
			}
		}
		told := func(client, i int, what string) {
			t.Helper()
			got := make([]byte, len(c.answers[i]))
			if n, err := io.ReadFull(clients[client], got); err != nil || !bytes.Equal(got, c.answers[i]) {
				t.Fatalf("%s: client %d is told\n%q, %v, not\n%q", what, client, got[:n], err, c.answers[i])
			}
		}
		for i := range c.answers {
			for k := 0; k < len(c.answers[i]); k += step {
				what := fmt.Sprintf("%s, cut at %d", names[i], k)
				if _, err := clients[0].Write(questions[i](k)); err != nil {
					t.Fatal(err)
				}
				other := (i + k) % len(c.answers)
				if k > 0 {
					wait(c.cut, what)
					if _, err := clients[1].Write(questions[other](0)); err != nil {
						t.Fatal(err)
					}
					let(c.next, what)
					if k+len(ending) < len(c.answers[i]) {
						wait(c.cut, what)
						if n := p.Active(); n != 1 {
							t.Fatalf("%s: the connection is given back with an answer under way", what)
						}
						let(c.next, what)
					}
				}
				told(0, i, what)
				if k > 0 {
					told(1, other, what)
				}
			}
		}
		if s := p.Stats(); s.Connects != 1 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}
