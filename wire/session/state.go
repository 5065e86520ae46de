package session

import (
	"maps"
	"slices"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Statement is a prepared statement of the session.
type Statement struct {
	Name       string // "" is the unnamed one
	SQL        string
	ParamTypes []uint32 // as the client gave them in Parse; 0 is open

	// Params and Fields are what the server told when it was asked, with Described set.
	// Fields is nil for a statement that returns no rows.
	Described bool
	Params    []uint32
	Fields    []wire.Field
}

// A Portal is a bound statement of the session.
type Portal struct {
	Name      string
	Statement *Statement // nil when the tracker does not know it, as those that PREPARE made
	Suspended bool       // an Execute with a row limit left rows in it
}

// State is what a session has, apart from its connection: what another server connection must
// be given to go on for it.
type State struct {
	Tx         wire.TxStatus // as of the last ReadyForQuery; 0 before the first
	Statements map[string]*Statement
	Portals    map[string]*Portal
	// Reported are the parameters the server has told by ParameterStatus.
	Reported map[string]string
	// Params are those set by [Tracker.SetParam].
	Params map[string]string
	// Channels are those added by [Tracker.Listen].
	Channels map[string]struct{}
	// PID and Key are from BackendKeyData.
	PID uint32
	Key []byte
}

// undo restores what a transaction changed beside the data.
type undo struct {
	params   map[string]string   // before the transaction; nil if nothing was changed
	local    map[string]string   // what the end of the transaction goes back to
	hadLocal map[string]struct{} // names in local that had a value
	channels map[string]struct{} // before the transaction; nil if nothing was changed
}

// SetParam notes that the session has set a parameter, as SET does, or SET LOCAL. A local
// value ends with the transaction, and so does any that was set in a transaction that rolls
// back. Outside of a transaction block a local one has no effect.
func (t *Tracker) SetParam(name, value string, local bool) {
	if local && !t.inTx() {
		return
	}
	t.remember()
	if t.Params == nil {
		t.Params = map[string]string{}
	}
	old, had := t.Params[name]
	switch _, noted := t.undo.local[name]; {
	case local && !noted:
		if t.undo.local == nil {
			t.undo.local, t.undo.hadLocal = map[string]string{}, map[string]struct{}{}
		}
		t.undo.local[name] = old
		if had {
			t.undo.hadLocal[name] = struct{}{}
		}
	case !local && noted:
		// A plain SET after SET LOCAL is what stays.
		delete(t.undo.local, name)
		delete(t.undo.hadLocal, name)
	}
	t.Params[name] = value
}

// ResetParam notes RESET of a parameter; "" is RESET ALL.
func (t *Tracker) ResetParam(name string) {
	t.remember()
	if name == "" {
		clear(t.Params)
		return
	}
	delete(t.Params, name)
}

// Listen notes LISTEN.
func (t *Tracker) Listen(channel string) {
	t.rememberChannels()
	if t.Channels == nil {
		t.Channels = map[string]struct{}{}
	}
	t.Channels[channel] = struct{}{}
}

// Unlisten notes UNLISTEN; "" is all channels.
func (t *Tracker) Unlisten(channel string) {
	t.rememberChannels()
	if channel == "" {
		clear(t.Channels)
		return
	}
	delete(t.Channels, channel)
}

// Prepare notes a statement that did not come by Parse, as PREPARE makes one.
func (t *Tracker) Prepare(name, sql string) { t.statement(&Statement{Name: name, SQL: sql}) }

// Deallocate notes that a statement is gone; "" is all but the unnamed one.
func (t *Tracker) Deallocate(name string) {
	if name != "" {
		delete(t.Statements, name)
		return
	}
	maps.DeleteFunc(t.Statements, func(name string, _ *Statement) bool { return name != "" })
}

// ListenNames returns the channels the session listens on, sorted.
func (s *State) ListenNames() []string { return slices.Sorted(maps.Keys(s.Channels)) }

func (t *Tracker) inTx() bool {
	return t.Tx == wire.TxActive || t.Tx == wire.TxFailed
}

// remember keeps the parameters as they were before the transaction.
func (t *Tracker) remember() {
	if t.inTx() && t.undo.params == nil {
		t.undo.params = maps.Clone(t.Params)
		if t.undo.params == nil {
			t.undo.params = map[string]string{}
		}
	}
}

func (t *Tracker) rememberChannels() {
	if t.inTx() && t.undo.channels == nil {
		t.undo.channels = maps.Clone(t.Channels)
		if t.undo.channels == nil {
			t.undo.channels = map[string]struct{}{}
		}
	}
}

// endTx settles what the transaction changed.
func (t *Tracker) endTx(committed bool) {
	u := t.undo
	t.undo = undo{}
	if !committed {
		if u.params != nil {
			t.Params = u.params
		}
		if u.channels != nil {
			t.Channels = u.channels
		}
		return
	}
	for name, old := range u.local {
		if _, had := u.hadLocal[name]; had {
			t.Params[name] = old
		} else {
			delete(t.Params, name)
		}
	}
}
