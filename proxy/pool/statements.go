package pool

// Statements are the prepared statements that one connection has, by a number that stands for
// the text, the least recently used ones last. The zero value is empty.
type Statements struct {
	at   map[uint64]*statement
	head statement // of a ring; next is the most recently used
}

type statement struct {
	id, version uint64
	prev, next  *statement
}

// Len is how many there are.
func (s *Statements) Len() int { return len(s.at) }

// Use reports whether the connection has the statement, in that version, and makes it the most
// recently used one.
func (s *Statements) Use(id, version uint64) (has, stale bool) {
	e := s.at[id]
	if e == nil {
		return false, false
	}
	if s.head.next != e {
		e.unlink()
		s.push(e)
	}
	return e.version == version, e.version != version
}

// Add notes that the connection has a statement.
func (s *Statements) Add(id, version uint64) {
	if s.at == nil {
		s.at = map[uint64]*statement{}
		s.head.next, s.head.prev = &s.head, &s.head
	}
	if e := s.at[id]; e != nil {
		e.version = version
		return
	}
	e := &statement{id: id, version: version}
	s.at[id] = e
	s.push(e)
}

// Oldest returns the least recently used statement.
func (s *Statements) Oldest() (id uint64, ok bool) {
	if len(s.at) == 0 {
		return 0, false
	}
	return s.head.prev.id, true
}

// Remove notes that a statement is gone.
func (s *Statements) Remove(id uint64) {
	if e := s.at[id]; e != nil {
		e.unlink()
		delete(s.at, id)
	}
}

// Clear notes that all are gone.
func (s *Statements) Clear() { *s = Statements{} }

func (s *Statements) push(e *statement) {
	e.prev, e.next = &s.head, s.head.next
	e.prev.next, e.next.prev = e, e
}

func (e *statement) unlink() { e.prev.next, e.next.prev = e.next, e.prev }
