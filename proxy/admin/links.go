package admin

import (
	"fmt"
	"time"

	"github.com/pgx-dev/pgx-dev/wire/pgserver"
)

// A link is a client or a server connection.
type link struct {
	user, database, replication, state, addr, localAddr, tls, app string
	port, localPort, pid, prepared                                int
	connected, asked                                              time.Time
	wait                                                          time.Duration
	closing                                                       bool
	id, link                                                      int64 // ptr is made of id
	fd, linked                                                    int   // descriptors; negative: none
	client                                                        bool
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04:05 MST")
}

func pointer(id int64, client bool) string {
	if id == 0 {
		return ""
	}
	if client {
		return fmt.Sprintf("0xc%08x", id)
	}
	return fmt.Sprintf("0x5%08x", id)
}

// links are the columns of CLIENTS and SERVERS.
func links(kind string) []column[link] {
	return []column[link]{
		str("type", func(l *link) string {
			if kind != "" {
				return kind
			}
			if l.client {
				return "C"
			}
			return "S"
		}),
		str("user", func(l *link) string { return l.user }),
		str("database", func(l *link) string { return l.database }),
		str("replication", func(l *link) string { return l.replication }),
		str("state", func(l *link) string { return l.state }),
		str("addr", func(l *link) string { return l.addr }),
		int4("port", func(l *link) int { return l.port }),
		str("local_addr", func(l *link) string { return l.localAddr }),
		int4("local_port", func(l *link) int { return l.localPort }),
		opt("connect_time", func(l *link) string { return moment(l.connected) }),
		opt("request_time", func(l *link) string { return moment(l.asked) }),
		int4("wait", func(l *link) int { return int(l.wait / time.Second) }),
		int4("wait_us", func(l *link) int { return int(l.wait % time.Second / time.Microsecond) }),
		int4("close_needed", func(l *link) int { return flag(l.closing) }),
		str("ptr", func(l *link) string { return pointer(l.id, l.client) }),
		str("link", func(l *link) string { return pointer(l.link, !l.client) }),
		int4("remote_pid", func(l *link) int { return l.pid }),
		str("tls", func(l *link) string { return l.tls }),
		str("application_name", func(l *link) string { return l.app }),
		int4("prepared_statements", func(l *link) int { return l.prepared }),
		num("id", func(l *link) int64 { return l.id }),
	}
}

// sockets adds what PgBouncer tells of its buffers, of which there are none here while nothing
// flows.
func sockets() []column[link] {
	cols := links("")
	for _, name := range []string{"recv_pos", "pkt_pos", "pkt_remain", "send_pos", "send_remain", "pkt_avail", "send_avail"} {
		cols = append(cols, int4(name, func(*link) int { return 0 }))
	}
	return cols
}

func (a *answer) clientLinks() (out []link) {
	s := a.proxy.Snapshot(Clients | Servers)
	linked, fds := map[int64]int64{}, map[int64]int{}
	for i := range s.Servers {
		linked[s.Servers[i].Client] = s.Servers[i].ID
		fds[s.Servers[i].Client] = s.Servers[i].FD
	}
	for i := range s.Clients {
		c := &s.Clients[i]
		l := link{
			user: c.User, database: c.Database, replication: "none", state: c.State, addr: c.Addr, port: c.Port, connected: c.ConnectTime, asked: c.LastRequest,
			localAddr: c.LocalAddr, localPort: c.LocalPort, app: c.ApplicationName, prepared: c.PreparedStatements, id: c.ID, link: linked[c.ID], client: true, tls: c.TLSVersion,
			fd: c.FD, linked: -1,
		}
		if fd, ok := fds[c.ID]; ok && c.ID != 0 {
			l.linked = fd
		}
		switch {
		case c.Replication && c.Physical:
			l.replication = "physical"
		case c.Replication:
			l.replication = "logical"
		}
		if c.State == "waiting" {
			l.wait = c.Since
		} else if c.State != "idle" || c.Locked {
			l.state = "active"
		}
		out = append(out, l)
	}
	return out
}

func (a *answer) serverLinks() (out []link) {
	s := a.proxy.Snapshot(Clients | Servers)
	names, fds := map[int64]string{}, map[int64]int{0: -1}
	for i := range s.Clients {
		names[s.Clients[i].ID] = s.Clients[i].ApplicationName
		fds[s.Clients[i].ID] = s.Clients[i].FD
	}
	for i := range s.Servers {
		c := &s.Servers[i]
		out = append(out, link{
			user: c.User, database: c.Database, replication: "none", state: c.State, addr: c.Addr, port: c.Port, connected: c.ConnectTime, asked: c.RequestTime,
			localAddr: c.LocalAddr, localPort: c.LocalPort, pid: int(c.PID), app: names[c.Client], prepared: c.PreparedStatements, id: c.ID, link: c.Client,
			closing: c.Closing, tls: c.TLSVersion, fd: c.FD, linked: fds[c.Client],
		})
	}
	return out
}

func (a *answer) allLinks() []link { return append(a.clientLinks(), a.serverLinks()...) }

// bouncerFDs names connections with their descriptors. Their keys and secrets are nobody's business.
func bouncerFDs(a *answer) error {
	none := func(*link) string { return "" }
	cols := []column[link]{
		int4("fd", func(l *link) int { return l.fd }),
		str("task", func(l *link) string {
			if l.client {
				return "client"
			}
			return "server"
		}),
		str("user", func(l *link) string { return l.user }),
		str("database", func(l *link) string { return l.database }),
		str("addr", func(l *link) string { return l.addr }),
		int4("port", func(l *link) int { return l.port }),
		{pgserver.Int8("cancel"), func(*link) any { return nil }},
		int4("link", func(l *link) int { return l.linked }),
	}
	for _, name := range []string{"client_encoding", "std_strings", "datestyle", "timezone", "password"} {
		cols = append(cols, opt(name, none))
	}
	for _, name := range []string{"scram_client_key", "scram_server_key"} {
		cols = append(cols, column[link]{pgserver.Bytea(name), func(*link) any { return nil }})
	}
	return table(a, cols, a.allLinks)
}
