package guest

import (
	"errors"
	"math"
	"strconv"
)

// A Setting is a configuration parameter with a value that SetConfigOption understands.
type Setting struct{ Name, Value string }

// Sources of a parameter's value (GucSource, guc.h).
const (
	SourceClient  = 9  // startup message: also the value that RESET goes back to
	SourceSession = 13 // SET
)

// Offsets in struct config_generic (guc_tables.h, PostgreSQL 18, wasm32), and of the
// variable pointer behind it.
const (
	gucName     = 0
	gucVartype  = 24
	gucSource   = 32
	gucNondef   = 64
	gucVariable = 92

	gucReal = 2 // PGC_REAL
	suset   = 5 // PGC_SUSET
)

// Settings walks the parameters that differ from their built-in default.
type Settings struct {
	in   *Instance
	head uint32 // guc_nondef_list
}

// Settings finds PostgreSQL's list of changed parameters.
func (in *Instance) Settings() (*Settings, error) {
	s := &Settings{in: in}
	// search_path is set on our command line, so it is in the list for good.
	record := s.record("search_path")
	if record == 0 || in.Proc.String(in.Load(record+gucName)) != "search_path" {
		return nil, errors.New("struct config_generic is not as expected")
	}
	first := record + gucNondef
	for n, i := in.Load(first+4), 0; n != first; n, i = in.Load(n+4), i+1 {
		// The head of the list is the one node that is in no record.
		name, ok := s.name(n - gucNondef)
		if !ok || s.record(name) != n-gucNondef {
			s.head = n
		}
		if i > 10000 {
			break
		}
	}
	if s.head == 0 {
		return nil, errors.New("the list of changed parameters has no head")
	}
	return s, nil
}

func (s *Settings) name(record uint32) (string, bool) {
	at := s.in.Load(record + gucName)
	if at == 0 || at >= s.in.Memory().Size()-64 {
		return "", false
	}
	b, ok := s.in.Memory().Read(at, 64)
	if !ok {
		return "", false
	}
	for i, c := range b {
		if c == 0 {
			return string(b[:i]), i > 0
		}
		if c < ' ' || c > '~' {
			return "", false
		}
	}
	return "", false
}

func (s *Settings) record(name string) uint32 {
	// find_option(name, create_placeholders, skip_errors, elevel)
	return uint32(s.in.Call("find_option", s.in.cstrings(name)[0], 0, 1, 0))
}

// Variable returns the address of the C variable of an integer parameter, 0 if there is
// no such parameter.
func (s *Settings) Variable(name string) uint32 {
	r := s.record(name)
	if r == 0 {
		return 0
	}
	return s.in.Load(r + gucVariable)
}

// Changed returns the parameters whose value is from SET, sorted as PostgreSQL has them.
// Those that belong to a transaction are left out.
func (s *Settings) Changed() []Setting {
	var out []Setting
	for n := s.in.Load(s.head + 4); n != s.head; n = s.in.Load(n + 4) {
		record := n - gucNondef
		if s.in.Load(record+gucSource) != SourceSession {
			continue
		}
		name := s.in.Proc.String(s.in.Load(record + gucName))
		switch name {
		case "seed", "transaction_isolation", "transaction_read_only", "transaction_deferrable":
			continue
		}
		out = append(out, Setting{name, s.value(record, name)})
	}
	return out
}

// Get returns a parameter's value; "" if there is none of that name.
func (s *Settings) Get(name string) string {
	r := s.record(name)
	if r == 0 {
		return ""
	}
	return s.value(r, name)
}

func (s *Settings) value(record uint32, name string) string {
	if s.in.Load(record+gucVartype) == gucReal {
		// GetConfigOption would round it to six digits.
		at := s.in.Load(record + gucVariable)
		if bits, ok := s.in.Memory().ReadUint64Le(at); ok {
			return strconv.FormatFloat(math.Float64frombits(bits), 'g', -1, 64)
		}
	}
	at := uint32(s.in.Call("GetConfigOption", s.in.cstrings(name)[0], 1, 0))
	if at == 0 {
		return ""
	}
	return s.in.Proc.String(at)
}

// Set sets a parameter. It raises an ERROR for a bad value: call it through Protect.
func (s *Settings) Set(name, value string, source int) error {
	a := s.in.cstrings(name, value)
	_, err := s.in.try("SetConfigOption", a[0], a[1], suset, uint64(source))
	return err
}

// Reset does what RESET does.
func (s *Settings) Reset(name string) error {
	_, err := s.in.try("SetConfigOption", s.in.cstrings(name)[0], 0, suset, SourceSession)
	return err
}

// InTransaction runs f in a transaction of its own, which parameters with a look at the
// catalog need.
func (in *Instance) InTransaction(f func() error) error {
	if _, err := in.try("StartTransactionCommand"); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	_, err := in.try("CommitTransactionCommand")
	return err
}

// Entries returns how many entries a hash table (HTAB *) at a variable has.
func (in *Instance) Entries(variable uint32) int {
	table := in.Load(variable)
	if table == 0 {
		return 0
	}
	return int(in.Call("hash_get_num_entries", uint64(table)))
}

// Strings reads a List of C strings at a variable.
func (in *Instance) Strings(variable uint32) []string {
	list := in.Load(variable)
	if list == 0 {
		return nil
	}
	n, elements := in.Load(list+4), in.Load(list+12)
	out := make([]string, n)
	for i := range out {
		out[i] = in.Proc.String(in.Load(elements + uint32(i)*4))
	}
	return out
}

// MakeStrings makes a List of C strings in one piece of memory, which FreeStrings gives
// back. It is for lists that PostgreSQL only reads.
func (in *Instance) MakeStrings(tag uint32, list []string) uint32 {
	size := uint32(16 + 4*len(list))
	for _, s := range list {
		size += uint32(len(s)) + 1
	}
	p := in.alloc((size + 3) &^ 3)
	mem := in.Memory()
	for i, v := range []uint32{tag, uint32(len(list)), uint32(len(list)), p + 16} {
		mem.WriteUint32Le(p+uint32(i)*4, v)
	}
	at := p + 16 + uint32(4*len(list))
	for i, s := range list {
		mem.WriteUint32Le(p+16+uint32(i)*4, at)
		mem.WriteString(at, s+"\x00")
		at += uint32(len(s)) + 1
	}
	return p
}

// FreeStrings gives back what MakeStrings returned.
func (in *Instance) FreeStrings(p uint32) { in.Call("free", uint64(p)) }
