package cluster

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/occupant"
)

// A State is what a cluster is at.
type State string

// The states of a cluster.
const (
	Missing State = "missing"
	Stopped State = "stopped"
	Running State = "running"
	Busy    State = "busy"    // starting, stopping, or not answering
	Foreign State = "foreign" // it runs, but pgx-dev did not start it
)

// A Status describes a cluster.
type Status struct {
	Name    string        `json:"name,omitempty"`
	State   State         `json:"state"`
	Dir     string        `json:"dir"`
	Version string        `json:"version,omitempty"` // major version if it does not run
	Temp    bool          `json:"temp,omitempty"`
	Engine  string        `json:"engine,omitempty"`
	Pinned  bool          `json:"pinned,omitempty"` // runs without users
	Since   *time.Time    `json:"since,omitempty"`
	Users   []User        `json:"users,omitempty"`
	Info    *engines.Info `json:"info,omitempty"` // while it runs
	Spec    *engines.Spec `json:"spec,omitempty"` // while it runs
	Init    []InitRun     `json:"init,omitempty"`
	Archive *Archive      `json:"archive,omitempty"`
	Control string        `json:"control"` // control directory
	// Supervisor is the process that does not answer, while State is Busy; Postmaster the
	// one that runs, while it is Foreign.
	Supervisor int `json:"supervisor,omitempty"`
	Postmaster int `json:"postmaster,omitempty"`
}

// Inspect returns the status of the cluster in a data directory. It waits for nothing
// and changes nothing.
func Inspect(ctx context.Context, dir string) (Status, error) {
	f, err := at(dir)
	if err != nil {
		return Status{State: Missing, Dir: dir}, err
	}
	st := Status{State: Missing, Dir: f.dir, Name: filepath.Base(f.dir), Control: f.control}
	r, err := f.readRecord()
	if err != nil {
		return st, err
	}
	st.Temp, st.Init, st.Archive, st.Engine = r.Temp, r.Init, r.Archive, r.Engine
	if r.Name != "" {
		st.Name = r.Name
	}
	if f.exists() {
		st.State = Stopped
		b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
		if err != nil {
			return st, err
		}
		st.Version = strings.TrimSpace(string(b))
	}
	alive, err := f.supervised()
	if err != nil {
		return st, err
	}
	if !alive {
		if st.Postmaster = occupant.Postmaster(f.dir); st.Postmaster != 0 {
			st.State = Foreign
		}
		return st, nil
	}
	st.State = Busy
	run, err := readRunning(f)
	if err != nil || run == nil {
		return st, err
	}
	asking, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	resp, err := askOnce(asking, run.Socket, request{Cmd: "status"})
	if err != nil {
		st.Supervisor = run.PID
		return st, ctx.Err() // it stops just now, or does not answer
	}
	slices.SortFunc(resp.Users, func(a, b User) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.PID, b.PID))
	})
	st.State, st.Version, st.Engine = Running, run.Info.Version, run.Engine
	st.Pinned, st.Since, st.Users, st.Info, st.Spec = resp.Pinned, &run.Since, resp.Users, &run.Info, &run.Spec
	return st, nil
}
