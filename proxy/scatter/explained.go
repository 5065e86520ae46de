package scatter

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// An explanation is the plans of several shards below a node of ours, in one of EXPLAIN's formats.
// What the shards' servers write is moved, and not changed otherwise.
type explanation struct {
	format string
	title  string
	facts  [][2]string // of our node: names and values
	plans  []shardPlan
}

// A shardPlan is what EXPLAIN returns on a shard.
type shardPlan struct {
	title string
	shard int
	query string // what it was sent, if that is not the client's own statement
	lines []string
}

// rows are the bodies of the answer's rows.
func (x *explanation) rows() ([][]byte, error) {
	var lines []string
	switch x.format {
	case "json":
		doc, err := x.json()
		if err != nil {
			return nil, err
		}
		lines = []string{doc}
	case "xml":
		doc, err := x.xml()
		if err != nil {
			return nil, err
		}
		lines = []string{doc}
	case "yaml":
		lines = []string{strings.Join(x.yaml(), "\n")}
	default:
		lines = x.text()
	}
	var out [][]byte
	for _, l := range lines {
		out = append(out, (&wire.DataRow{Values: [][]byte{[]byte(l)}}).AppendTo(nil)[wire.HeaderLen:])
	}
	return out, nil
}

// text is the format of lines: nodes below others are indented (ExplainNode in explain.c).
func (x *explanation) text() []string {
	out := []string{x.title}
	for _, f := range x.facts {
		out = append(out, "  "+f[0]+": "+f[1])
	}
	for _, p := range x.plans {
		out = append(out, "  ->  "+p.title)
		if p.query != "" {
			out = append(out, "        Query: "+strings.Join(strings.Fields(p.query), " "))
		}
		nodes := true
		for i, l := range p.lines {
			// What follows the nodes begins at the margin: Planning Time, triggers and the like.
			nodes = nodes && (i == 0 || strings.HasPrefix(l, " "))
			switch {
			case i == 0:
				l = "        ->  " + l
			case nodes:
				l = "            " + l
			default:
				l = "        " + l
			}
			out = append(out, l)
		}
	}
	return out
}

// A member is one of a JSON object's.
type member struct {
	name  string
	value json.RawMessage
}

// object appends a JSON object, whose members keep their order.
func object(list []member) json.RawMessage {
	out := []byte{'{'}
	for i, m := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted(m.name)...), ':'), m.value...)
	}
	return append(out, '}')
}

func quoted(s string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be
	return bytes.TrimSpace(b.Bytes())
}

// scalar is a number, or a string.
func scalar(s string) json.RawMessage {
	if _, err := strconv.ParseUint(s, 10, 63); err == nil {
		return json.RawMessage(s)
	}
	return quoted(s)
}

func array(list []json.RawMessage) json.RawMessage {
	return append(append([]byte{'['}, bytes.Join(rawBytes(list), []byte(","))...), ']')
}

func rawBytes(list []json.RawMessage) [][]byte {
	out := make([][]byte, len(list))
	for i, r := range list {
		out[i] = r
	}
	return out
}

// members reads a JSON object in order.
func members(doc json.RawMessage) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, wire.Errorf(wire.CodeInternalError, "a shard's plan is no JSON object: %w", err)
	}
	var out []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		m := member{name: name}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// json is the JSON format: the shards are nodes below ours, with the plan of each below it.
func (x *explanation) json() (string, error) {
	root := []member{{"Node Type", quoted(x.title)}}
	var steps []json.RawMessage
	for _, f := range x.facts {
		if f[0] == "Step" {
			steps = append(steps, quoted(f[1]))
			continue
		}
		root = append(root, member{f[0], scalar(f[1])})
	}
	if steps != nil {
		root = append(root, member{"Steps", array(steps)})
	}
	var plans []json.RawMessage
	for _, p := range x.plans {
		node := []member{{"Node Type", quoted(p.title)}, {"Shard", json.RawMessage(strconv.Itoa(p.shard))}}
		if p.query != "" {
			node = append(node, member{"Query", quoted(p.query)})
		}
		var docs []json.RawMessage
		if err := json.Unmarshal([]byte(strings.Join(p.lines, "\n")), &docs); err != nil {
			return "", wire.Errorf(wire.CodeInternalError, "the plan of shard %d: %w", p.shard, err)
		}
		var below []json.RawMessage
		for _, doc := range docs { // a rule may make more than one of a statement
			list, err := members(doc)
			if err != nil {
				return "", err
			}
			for _, m := range list {
				if m.name == "Plan" {
					below = append(below, m.value)
				} else {
					node = append(node, m)
				}
			}
		}
		plans = append(plans, object(append(node, member{"Plans", array(below)})))
	}
	if plans != nil {
		root = append(root, member{"Plans", array(plans)})
	}
	var b bytes.Buffer
	if err := json.Indent(&b, array([]json.RawMessage{object([]member{{"Plan", object(root)}})}), "", "  "); err != nil {
		return "", wire.Errorf(wire.CodeInternalError, "the shards' plans: %w", err)
	}
	return b.String(), nil
}

// yaml is the YAML format, as servers indent it: a plan is four blanks deep, what goes with it
// two.
func (x *explanation) yaml() []string {
	out := []string{"- Plan: ", "    Node Type: " + string(quoted(x.title))}
	steps := false
	for _, f := range x.facts {
		if f[0] != "Step" {
			out = append(out, "    "+f[0]+": "+string(scalar(f[1])))
		}
		steps = steps || f[0] == "Step"
	}
	if steps {
		out = append(out, "    Steps: ")
		for _, f := range x.facts {
			if f[0] == "Step" {
				out = append(out, "      - "+string(quoted(f[1])))
			}
		}
	}
	if len(x.plans) > 0 {
		out = append(out, "    Plans: ")
	}
	for _, p := range x.plans {
		out = append(out, "      - Node Type: "+string(quoted(p.title)), "        Shard: "+strconv.Itoa(p.shard))
		if p.query != "" {
			out = append(out, "        Query: "+string(quoted(p.query)))
		}
		var plan, rest []string
		inside, first := false, false
		for l := range strings.SplitSeq(strings.Join(p.lines, "\n"), "\n") {
			switch {
			case strings.HasPrefix(strings.TrimPrefix(l, "- "), "Plan:"), strings.HasPrefix(l, "  Plan:"):
				inside, first = true, true
			case inside && strings.HasPrefix(l, "    "):
				lead := "            "
				if first {
					lead = "          - "
				}
				plan, first = append(plan, lead+l[4:]), false
			default:
				inside = false
				if l = strings.TrimPrefix(strings.TrimPrefix(l, "- "), "  "); l != "" {
					rest = append(rest, "        "+l)
				}
			}
		}
		out = append(append(append(out, rest...), "        Plans: "), plan...)
	}
	return out
}

// xml is the XML format.
func (x *explanation) xml() (string, error) {
	var b strings.Builder
	escape := func(s string) string {
		var e strings.Builder
		_ = xml.EscapeText(&e, []byte(s)) // a Builder takes all
		return e.String()
	}
	fact := func(indent, name, value string) {
		name = strings.ReplaceAll(name, " ", "-")
		b.WriteString(indent + "<" + name + ">" + escape(value) + "</" + name + ">\n")
	}
	b.WriteString("<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n  <Query>\n    <Plan>\n")
	fact("      ", "Node Type", x.title)
	for _, f := range x.facts {
		fact("      ", f[0], f[1])
	}
	if len(x.plans) > 0 {
		b.WriteString("      <Plans>\n")
	}
	for _, p := range x.plans {
		b.WriteString("        <Plan>\n")
		fact("          ", "Node Type", p.title)
		fact("          ", "Shard", strconv.Itoa(p.shard))
		if p.query != "" {
			fact("          ", "Query", p.query)
		}
		doc := strings.Join(p.lines, "\n")
		var plans []string
		for {
			query, rest, found := cutTag(doc, "Query", 2)
			if !found {
				break
			}
			doc = rest
			for {
				plan, after, found := cutTag(query, "Plan", 4)
				if !found {
					break
				}
				plans = append(plans, plan)
				query = after
			}
			for l := range strings.SplitSeq(strings.Trim(query, "\n"), "\n") {
				if l != "" {
					b.WriteString("      " + l + "\n")
				}
			}
		}
		if len(plans) == 0 {
			return "", wire.Errorf(wire.CodeInternalError, "the plan of shard %d cannot be read", p.shard)
		}
		b.WriteString("          <Plans>\n")
		for _, plan := range plans {
			b.WriteString("            <Plan>\n")
			for l := range strings.SplitSeq(strings.Trim(plan, "\n"), "\n") {
				b.WriteString("        " + l + "\n")
			}
			b.WriteString("            </Plan>\n")
		}
		b.WriteString("          </Plans>\n        </Plan>\n")
	}
	if len(x.plans) > 0 {
		b.WriteString("      </Plans>\n")
	}
	b.WriteString("    </Plan>\n  </Query>\n</explain>")
	return b.String(), nil
}

// cutTag cuts the first element of a name that is so many blanks deep: what is in it, and what
// else there is.
func cutTag(doc, name string, deep int) (in, rest string, found bool) {
	doc = "\n" + strings.TrimPrefix(doc, "\n")
	lead := "\n" + strings.Repeat(" ", deep)
	before, after, found := strings.Cut(doc, lead+"<"+name+">\n")
	if !found {
		return "", doc, false
	}
	in, rest, found = strings.Cut("\n"+after, lead+"</"+name+">")
	return in, before + rest, found
}
