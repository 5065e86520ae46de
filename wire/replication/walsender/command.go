package walsender

import (
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// A Command is a replication command: one of this package's types whose names are those
// of the commands.
type Command interface{ command() }

type (
	// IdentifySystem is IDENTIFY_SYSTEM.
	IdentifySystem struct{}
	// Show is SHOW.
	Show struct{ Name string }
	// ReadSlot is READ_REPLICATION_SLOT.
	ReadSlot struct{ Slot string }
	// TimelineHistory is TIMELINE_HISTORY.
	TimelineHistory struct{ Timeline uint32 }
	// UploadManifest is UPLOAD_MANIFEST.
	UploadManifest struct{}
	// BaseBackup is BASE_BACKUP. Options have lower-case names; a flag's value is empty.
	BaseBackup struct{ Options []wire.Param }
	// CreateSlot is CREATE_REPLICATION_SLOT. The flags of servers before 15 come as the
	// options that took their places, for instance USE_SNAPSHOT as snapshot 'use'.
	CreateSlot struct {
		Slot      string
		Temporary bool
		Plugin    string // empty for a physical slot
		Options   []wire.Param
	}
	// AlterSlot is ALTER_REPLICATION_SLOT.
	AlterSlot struct {
		Slot    string
		Options []wire.Param
	}
	// DropSlot is DROP_REPLICATION_SLOT.
	DropSlot struct {
		Slot string
		Wait bool
	}
	// StartReplication is START_REPLICATION.
	StartReplication struct {
		Slot     string // may be empty for a physical stream
		Logical  bool
		Start    wire.LSN
		Timeline uint32       // of a physical stream; 0 is the current one
		Options  []wire.Param // of the output plugin
	}
)

func (*IdentifySystem) command()   {}
func (*Show) command()             {}
func (*ReadSlot) command()         {}
func (*TimelineHistory) command()  {}
func (*UploadManifest) command()   {}
func (*BaseBackup) command()       {}
func (*CreateSlot) command()       {}
func (*AlterSlot) command()        {}
func (*DropSlot) command()         {}
func (*StartReplication) command() {}

// ParseCommand parses a query string that came on a replication connection. It returns nil
// and no error when that is not a replication command but SQL, by its first word as in
// PostgreSQL (SHOW is a replication command only on a connection without a database, so
// that is up to the caller). A command that is wrong is a [*wire.Error] with code 42601.
func ParseCommand(query string) (Command, error) {
	l := newLexer(query)
	var c Command
	switch {
	case l.keyword("IDENTIFY_SYSTEM"):
		c = &IdentifySystem{}
	case l.keyword("SHOW"):
		names := []string{l.ident()}
		for l.punct('.') {
			names = append(names, l.ident())
		}
		c = &Show{strings.Join(names, ".")}
	case l.keyword("READ_REPLICATION_SLOT"):
		c = &ReadSlot{l.ident()}
	case l.keyword("TIMELINE_HISTORY"):
		c = &TimelineHistory{l.timeline()}
	case l.keyword("UPLOAD_MANIFEST"):
		c = &UploadManifest{}
	case l.keyword("BASE_BACKUP"):
		c = &BaseBackup{l.backupOptions()}
	case l.keyword("CREATE_REPLICATION_SLOT"):
		c = l.createSlot()
	case l.keyword("ALTER_REPLICATION_SLOT"):
		c = &AlterSlot{l.ident(), l.options()}
	case l.keyword("DROP_REPLICATION_SLOT"):
		c = &DropSlot{l.ident(), l.keyword("WAIT")}
	case l.keyword("START_REPLICATION"):
		c = l.startReplication()
	default:
		return nil, nil
	}
	if err := l.end(); err != nil {
		return nil, err
	}
	return c, nil
}

func (l *lexer) timeline() uint32 {
	n, err := strconv.ParseUint(l.tok.text, 10, 32)
	if l.tok.kind != 'i' || err != nil || n == 0 {
		l.unexpected()
		return 0
	}
	l.next()
	return uint32(n)
}

func (l *lexer) lsn() wire.LSN {
	lsn, err := wire.ParseLSN(l.tok.text)
	if l.tok.kind != 'i' || err != nil {
		l.unexpected()
		return 0
	}
	l.next()
	return lsn
}

// options reads a list in parentheses, if there is one.
func (l *lexer) options() []wire.Param {
	if !l.punct('(') {
		return nil
	}
	var params []wire.Param
	for l.err == nil {
		p := wire.Param{Name: l.ident()}
		if l.tok.kind == 's' || l.tok.kind == 'i' {
			p.Value = l.tok.text
			l.next()
		}
		params = append(params, p)
		if l.punct(')') {
			break
		}
		if !l.punct(',') {
			l.unexpected()
		}
	}
	return params
}

func (l *lexer) createSlot() Command {
	c := &CreateSlot{Slot: l.ident()}
	c.Temporary = l.keyword("TEMPORARY")
	switch {
	case l.keyword("PHYSICAL"):
	case l.keyword("LOGICAL"):
		c.Plugin = l.ident()
	default:
		l.unexpected()
	}
	if l.tok.kind == '(' {
		c.Options = l.options()
		return c
	}
	for l.tok.kind == 'i' {
		word := strings.ToUpper(l.ident())
		switch word {
		case "EXPORT_SNAPSHOT":
			c.Options = append(c.Options, wire.Param{Name: "snapshot", Value: "export"})
		case "NOEXPORT_SNAPSHOT":
			c.Options = append(c.Options, wire.Param{Name: "snapshot", Value: "nothing"})
		case "USE_SNAPSHOT":
			c.Options = append(c.Options, wire.Param{Name: "snapshot", Value: "use"})
		case "RESERVE_WAL", "TWO_PHASE":
			c.Options = append(c.Options, wire.Param{Name: strings.ToLower(word)})
		default:
			l.fail(`syntax error at or near "` + word + `"`)
		}
	}
	return c
}

func (l *lexer) startReplication() Command {
	c := &StartReplication{}
	if l.keyword("SLOT") {
		c.Slot = l.ident()
	}
	c.Logical = c.Slot != "" && l.keyword("LOGICAL")
	if !c.Logical {
		l.keyword("PHYSICAL")
	}
	c.Start = l.lsn()
	if c.Logical {
		c.Options = l.options()
	} else if l.keyword("TIMELINE") {
		c.Timeline = l.timeline()
	}
	return c
}

// backupOptions reads the list in parentheses, or the words of servers before 15.
func (l *lexer) backupOptions() []wire.Param {
	if l.tok.kind == '(' {
		return l.options()
	}
	var params []wire.Param
	for l.tok.kind == 'i' && l.err == nil {
		p := wire.Param{Name: l.ident()}
		switch p.Name {
		case "label", "max_rate", "manifest", "manifest_checksums":
			p.Value = l.tok.text
			l.next()
		case "progress", "fast", "wal", "nowait", "tablespace_map", "noverify_checksums":
		default:
			l.fail(`syntax error at or near "` + p.Name + `"`)
		}
		params = append(params, p)
	}
	return params
}
