package walsender

import (
	"strconv"

	"github.com/pgx-dev/pgx-dev/wire"
)

// Plugin are the options of the output plugin pgoutput.
type Plugin struct {
	Version      int
	Publications []string
	Streaming    string // "", "on" or "parallel"
	TwoPhase     bool
	Binary       bool
	Messages     bool
	Origin       string // "any" or "none"
}

// ParsePlugin reads the options of START_REPLICATION. Errors are those of pgoutput.c.
func ParsePlugin(params []wire.Param) (Plugin, error) {
	p := Plugin{Origin: "any"}
	seen := map[string]bool{}
	for _, o := range params {
		if seen[o.Name] {
			return p, wire.Errorf(wire.CodeSyntaxError, "conflicting or redundant options")
		}
		seen[o.Name] = true
		var err error
		switch o.Name {
		case "proto_version":
			p.Version, err = strconv.Atoi(o.Value)
			if err != nil || p.Version < 1 || p.Version > 4 {
				return p, wire.Errorf(wire.CodeInvalidParameterValue, "proto_version %q is not 1 to 4", o.Value)
			}
		case "publication_names":
			p.Publications, err = identList(o.Value)
		case "streaming":
			var on bool
			if o.Value == "parallel" {
				p.Streaming = o.Value
			} else if on, err = parseBool(o); on {
				p.Streaming = "on"
			}
		case "two_phase":
			p.TwoPhase, err = parseBool(o)
		case "binary":
			p.Binary, err = parseBool(o)
		case "messages":
			p.Messages, err = parseBool(o)
		case "origin":
			if p.Origin = o.Value; p.Origin != "any" && p.Origin != "none" {
				err = wire.Errorf(wire.CodeInvalidParameterValue, "unrecognized origin value: %q", o.Value)
			}
		default:
			err = wire.Errorf(wire.CodeInternalError, "unrecognized pgoutput option: %s", o.Name)
		}
		if err != nil {
			return p, err
		}
	}
	if p.Version == 0 {
		return p, wire.Errorf(wire.CodeInvalidParameterValue, "option %q missing", "proto_version")
	}
	if len(p.Publications) == 0 {
		return p, wire.Errorf(wire.CodeInvalidParameterValue, "option %q missing", "publication_names")
	}
	return p, nil
}

// parseBool takes what PostgreSQL's defGetBoolean takes.
func parseBool(p wire.Param) (bool, error) {
	switch p.Value {
	case "", "1", "true", "on", "t":
		return true, nil
	case "0", "false", "off", "f":
		return false, nil
	}
	return false, wire.Errorf(wire.CodeSyntaxError, "%s requires a Boolean value", p.Name)
}

// identList splits names as SplitIdentifierString does.
func identList(s string) ([]string, error) {
	l := newLexer(s)
	var names []string
	for {
		names = append(names, l.ident())
		if !l.punct(',') {
			break
		}
	}
	if l.err != nil || l.tok.kind != 0 {
		return nil, wire.Errorf(wire.CodeInvalidParameterValue, "invalid publication_names syntax")
	}
	return names, nil
}
