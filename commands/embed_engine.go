package commands

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/engines"
	"github.com/pgx-dev/pgx-dev/engines/cluster"
	"github.com/pgx-dev/pgx-dev/engines/native"
	"github.com/pgx-dev/pgx-dev/engines/wasm"
)

// embedEngine chooses the engine.
type embedEngine struct {
	Engine string `placeholder:"ENGINE" enum:",native,wasm" default:"" help:"wasm or native (default: what made the directory, cluster.engine if it is set, else wasm)."`
	Wasm   bool   `help:"PostgreSQL as WebAssembly in this very process, as --engine wasm."`
	Native bool   `help:"PostgreSQL's own programs as our children, as --engine native."`
	PG     string `name:"pg" placeholder:"VERSION" complete:"runtime" help:"PostgreSQL's version (17, 15.4), or a glob on its bin directory."`
}

// choose returns the name of the engine for a directory, "" for a temporary one.
func (c embedEngine) choose(ctx context.Context, env *Env, dir string) (string, error) {
	asked := c.Engine
	for _, short := range []struct {
		on   bool
		name string
	}{{c.Wasm, "wasm"}, {c.Native, "native"}} {
		switch {
		case short.on && asked != "" && asked != short.name:
			return "", usageError("one engine at a time: %s or %s", asked, short.name)
		case short.on:
			asked = short.name
		}
	}
	cfg, err := env.Config()
	if err != nil {
		return "", err
	}
	if dir == "" {
		return cmp.Or(asked, cfg.File.Cluster.Engine, "wasm"), nil
	}
	st, err := cluster.Inspect(ctx, dir)
	if err != nil {
		return "", err
	}
	made := ""
	if hasCluster(dir) {
		made = cmp.Or(st.Engine, madeBy(dir))
	}
	if made != "" && asked != "" && made != asked {
		return "", fmt.Errorf("%s was made by the %s engine, whose files the %s engine cannot read; leave --%s out", dir, made, asked, asked)
	}
	return cmp.Or(made, asked, cfg.File.Cluster.Engine, "wasm"), nil
}

// madeBy tells by its control file which engine made a data directory that nobody
// remembers. The guest's pointers have 32 bits, so that it passes float8 by reference,
// which no native build for the machines that we run on does.
func madeBy(dir string) string {
	const (
		versionAt   = 8    // ControlFileData.pg_control_version
		version     = 1800 // PG_CONTROL_VERSION of PostgreSQL 18
		float8ByVal = 248  // ControlFileData.float8ByVal of that version
	)
	b, err := os.ReadFile(filepath.Join(dir, "global", "pg_control"))
	if err != nil || len(b) <= float8ByVal || binary.LittleEndian.Uint32(b[versionAt:]) != version || b[float8ByVal] != 0 {
		return "native"
	}
	return "wasm"
}

// newEmbeddedEngine returns an engine that shows its long work until stop is called.
func newEmbeddedEngine(env *Env, name string, extensions []string) (e engines.Engine, closeEngine func() error, stop func(), err error) {
	cfg, err := env.Config()
	if err != nil {
		return nil, nil, nil, err
	}
	if name == "native" {
		steps := &stepper{env: env}
		engine := native.New(cfg.Runtime, native.WithLogger(env.Log), native.WithProgress(steps.show))
		return engine, func() error { return nil }, steps.stop, nil
	}
	engine, stop, err := newWasm(env, extensions)
	return engine, engine.Close, stop, err
}

// newWasm returns a wasm engine that shows its long work until stop is called.
func newWasm(env *Env, extensions []string) (e *wasm.Engine, stop func(), err error) {
	cfg, err := env.Config()
	if err != nil {
		return nil, nil, err
	}
	slow := &slowSteps{env: env}
	wcfg := cfg.Embed
	wcfg.Log, wcfg.Progress = env.Log, slow.show
	wcfg.Extensions = slices.Concat(wcfg.Extensions, extensions)
	return wasm.New(wcfg), slow.stop, nil
}

// slowSteps shows the steps of the wasm engine that take longer than a person likes to
// wait without a word. It is safe for concurrent use.
type slowSteps struct {
	env *Env

	mu    sync.Mutex
	step  string
	timer *time.Timer
	line  *ui.Progress
}

// How long a step may take without being shown: on a terminal, and where each is a line
// that stays.
const (
	patience    = time.Second
	logPatience = 5 * time.Second
)

func (s *slowSteps) show(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endStep()
	s.step = step
	wait := logPatience
	if s.env.UI.Err() {
		wait = patience
	}
	s.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.step == step && s.line == nil {
			s.line = s.env.UI.Progress(step, ui.Steps)
		}
	})
}

func (s *slowSteps) endStep() {
	s.step = ""
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if s.line != nil {
		s.line.Stop()
		s.line = nil
	}
}

func (s *slowSteps) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endStep()
}

// onlyWasm returns an error unless the engine is the wasm one.
func onlyWasm(name, what, instead string) error {
	if name == "wasm" {
		return nil
	}
	return fmt.Errorf("%s: %w; %s", what, engines.ErrUnsupported, instead)
}
