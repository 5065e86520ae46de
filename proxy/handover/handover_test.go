package handover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen returns listeners of both kinds, and a path for an offer.
func listen(t *testing.T) (sockets []Socket, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgxh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = tcp.Close(), unix.Close() })
	return []Socket{{tcp, "clients", ""}, {unix, "more", dir}}, filepath.Join(dir, "handover")
}

// hello accepts a connection of a client that has come by now, and says something to it.
func hello(t *testing.T, at net.Addr, by net.Listener) {
	t.Helper()
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := by.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write([]byte("x"))
	_ = s.Close()
	b := make([]byte, 1)
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(b); err != nil || b[0] != 'x' {
		t.Errorf("%v: %q, %v", at, b, err)
	}
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestTakeover(t *testing.T) {
	sockets, path := listen(t)
	taken := make(chan int, 1)
	cancels := make(chan string, 1)
	o, err := NewOffer(OfferConfig{
		Path: path, Sockets: sockets, Note: "psst", Taken: func(pid int) { taken <- pid },
		Cancel: func(pid uint32, key []byte) { cancels <- fmt.Sprint(pid, " ", string(key)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	// Two ask; the one that is ready first has them.
	late, err := Take(limited(t), path)
	if err != nil {
		t.Fatal(err)
	}
	defer late.discard()
	x, err := Take(limited(t), path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.discard()
	if x.PID != os.Getpid() || x.Note != "psst" || len(x.Sockets) != 2 || x.Sockets[1].Name != "more" || x.Sockets[1].Made == "" {
		t.Fatalf("took over %+v", x)
	}
	hello(t, sockets[0].Addr(), sockets[0]) // until then the old one accepts
	if err := x.Accept(); err != nil {
		t.Fatal(err)
	}
	if pid := <-taken; pid != os.Getpid() {
		t.Errorf("taken by %d", pid)
	}
	if err := late.Accept(); !errors.Is(err, errRefused) {
		t.Errorf("the second one: %v", err)
	}
	// The old one closes its listeners; the new one's work, the Unix socket's file included.
	for i, s := range sockets {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		hello(t, s.Addr(), x.Sockets[i])
	}
	x.Cancel(7, []byte("key!"))
	if got := <-cancels; got != "7 key!" {
		t.Errorf("cancel %s", got)
	}
	// The new one offers in its turn, at the same path, which the old one leaves alone.
	o2, err := NewOffer(OfferConfig{Path: path, Sockets: x.Sockets, Taken: func(int) {}})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	x.Ended(limited(t))
	if !Offered(limited(t), path) {
		t.Error("the old one has removed the new one's offer")
	}
	file := sockets[1].Addr().String()
	if err := x.Sockets[1].Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(file); !os.IsNotExist(err) {
		t.Errorf("the last one leaves %s: %v", file, err)
	}
	if err := o2.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Take(limited(t), path); !errors.Is(err, ErrNobody) {
		t.Errorf("nobody is there: %v", err)
	}
}

// TestNobodyTakes has processes ask that die, or talk nonsense: the old one stays as it is.
func TestNobodyTakes(t *testing.T) {
	sockets, path := listen(t)
	o, err := NewOffer(OfferConfig{Path: path, Sockets: sockets, Taken: func(int) { t.Error("taken") }})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		x, err := Take(limited(t), path)
		if err != nil {
			t.Fatal(err)
		}
		x.discard()
	}
	for _, text := range []string{"", "R", "X1234", strings.Repeat("C", 100)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(text))
		_ = c.Close()
	}
	for _, s := range sockets {
		hello(t, s.Addr(), s)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if o.Taken() {
		t.Error("taken")
	}
	file := sockets[1].Addr().String()
	_ = sockets[1].Close()
	if _, err := os.Lstat(file); !os.IsNotExist(err) {
		t.Errorf("a listener that nobody took over leaves its file: %v", err)
	}
}

// TestStrangeGreetings has an old process say what none does.
func TestStrangeGreetings(t *testing.T) {
	for _, tt := range []struct{ name, say, want string }{
		{"nothing", "", "EOF"},
		{"too long", "\xff\xff\xff\xff", "a greeting of 4294967295 bytes"},
		{"no JSON", "\x00\x00\x00\x02no", "invalid character"},
		{"another version", "\x00\x00\x00\x0d" + `{"version":2}`, "hands over in version 2, and this is 1"},
		{"no sockets", "\x00\x00\x00\x25" + `{"version":1,"sockets":[{"name":"a"}]}`[:37] + " ", "unexpected end"},
		{"fewer than named", "\x00\x00\x00\x26" + `{"version":1,"sockets":[{"name":"a"}]}`, "0 sockets came, and 1 were named"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, path := listen(t)
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c, err := l.Accept(); err == nil {
					_, _ = bytes.NewBufferString(tt.say).WriteTo(c)
					_ = c.Close()
				}
			}()
			x, err := Take(limited(t), path)
			<-done
			if err == nil {
				x.discard()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
