package proxy

import (
	"fmt"

	"github.com/pgx-dev/pgx-dev/wire"
)

// crowds counts sessions by user and by database.
type crowds struct {
	users, databases map[string]int
}

func leave(m map[string]int, name string) {
	if m[name]--; m[name] == 0 {
		delete(m, name)
	}
}

// admit counts a session, unless there are as many of its user or database as there may be.
func (p *Proxy) admit(s *session) error {
	if p.cfg.ClientLimits == nil {
		return nil
	}
	user, database := p.cfg.ClientLimits(s.known())
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.crowds
	switch {
	case user > 0 && c.users[s.client.User] >= user:
		return tooMany("user", s.client.User, user, "max_user_client_connections")
	case database > 0 && c.databases[s.client.Database] >= database:
		return tooMany("database", s.client.Database, database, "max_db_client_connections")
	}
	if c.users == nil {
		c.users, c.databases = map[string]int{}, map[string]int{}
	}
	c.users[s.client.User]++
	c.databases[s.client.Database]++
	s.admitted = true
	return nil
}

// dismiss takes back what admit has counted.
func (p *Proxy) dismiss(s *session) {
	if !s.admitted {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	leave(p.crowds.users, s.client.User)
	leave(p.crowds.databases, s.client.Database)
}

func tooMany(what, name string, limit int, setting string) error {
	return &wire.Error{
		Severity: wire.SeverityFatal, Code: wire.CodeTooManyConnections,
		Message: fmt.Sprintf("there are %d clients of the %s %q already", limit, what, name),
		Hint:    fmt.Sprintf("%s limits them.", setting),
	}
}
