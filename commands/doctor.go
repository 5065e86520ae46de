package commands

import (
	"context"
	"errors"

	"github.com/pgx-dev/pgx-dev/commands/ui"
)

// doctorCmd looks at everything that pgx-dev needs from the machine.
type doctorCmd struct {
	JSON bool `help:"Print JSON."`
}

// A Check is one thing that doctor looks at. It changes nothing.
type Check struct {
	Name string
	Run  func(ctx context.Context, env *Env) []Finding
}

// A Finding is what a check has to say.
type Finding struct {
	Status Severity `json:"status"`
	Text   string   `json:"text"`
	// Fix says what to do about it.
	Fix string `json:"fix,omitempty"`
}

// Severity says how bad a finding is.
type Severity string

// The severities: fine, worth knowing, something will not work, nothing will work.
const (
	Fine    Severity = "ok"
	Hint    Severity = "hint"
	Warning Severity = "warning"
	Broken  Severity = "broken"
)

// checks lists what doctor looks at, in the order of the report. A subsystem adds its own
// here.
func checks() []Check {
	return []Check{
		{"config", checkConfig},
		{"postgresql", checkRuntimes},
		{"npm", checkNPM},
		{"account", checkAccount},
		{"state directory", checkState},
		{"stale state", checkStale},
		{"sockets", checkSockets},
		{"cache", checkCache},
		{"temporary clusters", checkTemp},
		{"terminal", checkTerminal},
	}
}

// errBroken ends doctor when something that is needed does not work.
var errBroken = errors.New("something that is needed does not work; see above")

// Run prints the findings, and fails if one is Broken.
func (c *doctorCmd) Run(ctx context.Context, env *Env) error {
	type row struct {
		Check string `json:"check"`
		Finding
	}
	var rows []row
	broken := false
	for _, check := range checks() {
		for _, f := range check.Run(ctx, env) {
			rows = append(rows, row{check.Name, f})
			broken = broken || f.Status == Broken
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if c.JSON {
		if err := printJSON(env, struct {
			OK       bool  `json:"ok"`
			Findings []row `json:"findings"`
		}{!broken, rows}); err != nil {
			return err
		}
	} else {
		t := ui.NewTable("", "CHECK", "FOUND")
		for _, r := range rows {
			t.Row(paintSeverity(env.UI, r.Status), r.Check, r.Text)
			if r.Fix != "" {
				t.Row("", "", env.UI.Dim("→ "+r.Fix))
			}
		}
		env.UI.Table(t)
	}
	if broken {
		return errBroken
	}
	return nil
}

func paintSeverity(u *ui.UI, s Severity) string {
	switch s {
	case Fine:
		return u.Good(string(s))
	case Warning:
		return u.Caution(string(s))
	case Broken:
		return u.Bad(string(s))
	}
	return string(s)
}

func fine(text string) []Finding { return []Finding{{Status: Fine, Text: text}} }
