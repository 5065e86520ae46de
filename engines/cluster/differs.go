package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
)

// Differs says, a phrase each, in what the running server is not as req asks for, for
// instance "it runs with work_mem = 4MB, not 8MB". What req leaves open does not count.
func (s *Server) Differs(req Request) []string {
	var out []string
	have, want := s.run.Spec, req.Spec
	if req.Engine != "" && req.Engine != s.run.Engine {
		out = append(out, fmt.Sprintf("it runs on the %s engine, not %s", s.run.Engine, req.Engine))
	}
	version := s.run.Info.Version
	switch v := want.Version; {
	case v == "" || v == version || v == have.Version || strings.HasPrefix(version, v+"."):
	case strings.Contains(v, "/"):
		if ok, err := path.Match(v, s.run.Info.Bindir); err != nil || !ok {
			out = append(out, fmt.Sprintf("it runs the programs in %s, not %s", s.run.Info.Bindir, v))
		}
	default:
		out = append(out, fmt.Sprintf("it runs PostgreSQL %s, not %s", version, v))
	}
	for _, name := range slices.Sorted(maps.Keys(want.Params)) {
		switch v, ok := have.Params[name]; {
		case !ok:
			out = append(out, fmt.Sprintf("it runs without %s = %s", name, want.Params[name]))
		case v != want.Params[name]:
			out = append(out, fmt.Sprintf("it runs with %s = %s, not %s", name, v, want.Params[name]))
		}
	}
	if want.Fast != have.Fast {
		was, now := "safe", "fast"
		if have.Fast {
			was, now = now, was
		}
		out = append(out, fmt.Sprintf("it runs %s, not %s", was, now))
	}
	if want.TCP != "" && s.run.Info.TCP == "" {
		out = append(out, "it runs without a TCP listener")
	}
	if p, port := s.otherPort(req); p != "" && have.TCP != want.TCP {
		out = append(out, fmt.Sprintf("it listens on port %s, not %s", p, port))
	}
	return out
}

// PortTaken returns the TCP port that the server listens on where it was started to listen
// on the one that req asks for, which another program had; else "".
func (s *Server) PortTaken(req Request) string {
	p, _ := s.otherPort(req)
	if s.run.Spec.TCP != req.Spec.TCP {
		return ""
	}
	return p
}

// otherPort returns the port that is bound and the one that is wanted, if they differ.
func (s *Server) otherPort(req Request) (bound, wanted string) {
	_, wanted, err := net.SplitHostPort(req.Spec.TCP)
	if err != nil || wanted == "0" || s.run.Info.TCP == "" {
		return "", ""
	}
	if _, bound, err = net.SplitHostPort(s.run.Info.TCP); err != nil || bound == wanted {
		return "", ""
	}
	return bound, wanted
}

// tcpOr returns a TCP address with port 0 replaced by the port that was bound last, else
// by PostgreSQL's own.
func tcpOr(addr string, last int) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "0" {
		return addr
	}
	if last == 0 {
		last = 5432
	}
	return net.JoinHostPort(host, strconv.Itoa(last))
}

// remember records the engine, and the port that was bound.
func (f files) remember(engine string, info engines.Info) error {
	port := 0
	if _, p, err := net.SplitHostPort(info.TCP); err == nil {
		if port, err = strconv.Atoi(p); err != nil {
			return err
		}
	}
	return f.updateRecord(func(r *record) {
		r.Engine = engine
		r.Port = cmp.Or(port, r.Port)
	})
}
