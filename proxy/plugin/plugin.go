package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// Config says which module to run, and within which bounds. Zero fields mean the default.
type Config struct {
	// Name is for the log and errors.
	Name string
	// Code is the module.
	Code []byte
	// Settings are given to pgx_init.
	Settings string
	// Memory bounds each instance's memory, in bytes, rounded up to 64 KiB. Default: 16 MiB.
	Memory int
	// Timeout bounds each call. It is for those that never end: a busy machine may take a
	// while for any. Default: 1 second.
	Timeout time.Duration
	// Instances bounds how many run at once; further calls wait. Default: 4.
	Instances int
	// Logger gets what modules write, and their failures. Default: nobody does.
	Logger *slog.Logger
}

const (
	pageSize   = 64 << 10
	maxMessage = 1 << 10 // of pgx_message and pgx.log, in bytes
	hostModule = "pgx"
)

// A Plugin is a module that is ready to be asked. It is safe for concurrent use. Close frees
// it; calls must have ended.
type Plugin struct {
	cfg     Config
	log     *slog.Logger
	runtime wazero.Runtime
	module  wazero.CompiledModule
	slots   chan struct{}

	mu   sync.Mutex
	idle []*instance
}

// An instance is one running copy of a module, for one call at a time.
type instance struct {
	mod          api.Module
	route, alloc api.Function
	message      api.Function // nil: none
	ptr, size    uint32       // of the buffer for requests
	buf          []byte
}

// Load compiles a module and starts it once. A module that imports what there is not, lacks
// what it has to export, or refuses its settings is an error that says so.
func Load(ctx context.Context, cfg Config) (_ *Plugin, err error) {
	cfg.Memory = cmp.Or(cfg.Memory, 16<<20)
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Second)
	cfg.Instances = cmp.Or(cfg.Instances, 4)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Plugin{cfg: cfg, log: cfg.Logger.With("component", "plugin", "plugin", cfg.Name), slots: make(chan struct{}, cfg.Instances)}
	p.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithMemoryLimitPages(uint32((cfg.Memory+pageSize-1)/pageSize)).
		WithCloseOnContextDone(true))
	defer func() {
		if err != nil {
			err = fmt.Errorf("plugin %s: %w", cfg.Name, errors.Join(err, p.Close()))
		}
	}()
	if p.module, err = p.runtime.CompileModule(ctx, cfg.Code); err != nil {
		return nil, fmt.Errorf("is no WebAssembly module: %w", err)
	}
	if err := p.imports(); err != nil {
		return nil, err
	}
	_, err = p.runtime.NewHostModuleBuilder(hostModule).
		NewFunctionBuilder().WithFunc(p.write).Export("log").
		Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	in, err := p.start(ctx)
	if err != nil {
		return nil, err
	}
	p.idle = append(p.idle, in)
	return p, nil
}

// FromConfig loads every [[plugins]] of a configuration, in order. After an error none is
// left running.
func FromConfig(ctx context.Context, c *conf.Config, log *slog.Logger) (Chain, error) {
	var chain Chain
	var errs []error
	for i := range c.Plugins {
		cfg := &c.Plugins[i]
		code, err := os.ReadFile(cfg.File())
		if err != nil {
			errs = append(errs, fmt.Errorf("plugin %s: %w", cfg.Name, err))
			continue
		}
		p, err := Load(ctx, Config{Name: cfg.Name, Code: code, Settings: cfg.Config, Logger: log})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		chain = append(chain, p)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, chain.Close())...)
	}
	return chain, nil
}

// imports checks that the module wants nothing but what there is.
func (p *Plugin) imports() error {
	var unknown []string
	for _, f := range p.module.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != hostModule || name != "log" {
			unknown = append(unknown, module+"."+name)
		}
	}
	for _, m := range p.module.ImportedMemories() {
		module, name, _ := m.Import()
		unknown = append(unknown, module+"."+name)
	}
	if len(unknown) > 0 {
		return fmt.Errorf("it imports %s; plugins are given nothing but pgx.log (build it without WASI)", strings.Join(unknown, ", "))
	}
	return nil
}

// write is pgx.log.
func (p *Plugin) write(_ context.Context, m api.Module, ptr, size uint32) {
	if b, ok := m.Memory().Read(ptr, min(size, maxMessage)); ok {
		p.log.Info("the plugin says", "text", plain(b))
	}
}

// plain makes a text of what a module wrote, fit for a log and a client.
func plain(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b), " "))
}

// start makes an instance.
func (p *Plugin) start(ctx context.Context) (_ *instance, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(p.cfg.Timeout, 5*time.Second))
	defer cancel()
	mod, err := p.runtime.InstantiateModule(ctx, p.module, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		return nil, fmt.Errorf("start it: %w", err)
	}
	defer func() {
		if err != nil {
			_ = mod.Close(context.WithoutCancel(ctx))
		}
	}()
	in := &instance{mod: mod}
	const i32, i64 = api.ValueTypeI32, api.ValueTypeI64
	if _, ok := p.module.ExportedMemories()["memory"]; !ok {
		return nil, errors.New("it exports no memory")
	}
	abi, err := exported(mod, "pgx_abi", true, nil, i32)
	if err != nil {
		return nil, err
	}
	if in.alloc, err = exported(mod, "pgx_alloc", true, []api.ValueType{i32}, i32); err != nil {
		return nil, err
	}
	if in.route, err = exported(mod, "pgx_route", true, []api.ValueType{i32, i32}, i64); err != nil {
		return nil, err
	}
	if in.message, err = exported(mod, "pgx_message", false, nil, i64); err != nil {
		return nil, err
	}
	setup, err := exported(mod, "pgx_init", false, []api.ValueType{i32, i32}, i32)
	if err != nil {
		return nil, err
	}
	res, err := abi.Call(ctx)
	if err != nil {
		return nil, fmt.Errorf("pgx_abi: %w", err)
	}
	if v := uint32(res[0]); v != version {
		return nil, fmt.Errorf("it speaks version %d of the protocol, and this proxy %d", v, version)
	}
	if setup == nil {
		if p.cfg.Settings != "" {
			return nil, errors.New("it has settings, and no pgx_init to take them")
		}
		return in, nil
	}
	if err := in.put(ctx, []byte(p.cfg.Settings)); err != nil {
		return nil, err
	}
	if res, err = setup.Call(ctx, uint64(in.ptr), uint64(len(p.cfg.Settings))); err != nil {
		return nil, fmt.Errorf("pgx_init: %w", err)
	}
	if code := int32(res[0]); code != 0 {
		return nil, fmt.Errorf("it refuses its settings (%d)%s", code, in.said(ctx))
	}
	return in, nil
}

// exported returns an export of a certain type; nil if it is missing and need not be there.
func exported(mod api.Module, name string, required bool, params []api.ValueType, result api.ValueType) (api.Function, error) {
	f := mod.ExportedFunction(name)
	if f == nil {
		if required {
			return nil, fmt.Errorf("it exports no %s", name)
		}
		return nil, nil
	}
	d := f.Definition()
	if string(d.ParamTypes()) != string(params) || string(d.ResultTypes()) != string([]api.ValueType{result}) {
		return nil, fmt.Errorf("its %s has another type than the protocol's", name)
	}
	return f, nil
}

// put writes b into the module's memory, at in.ptr.
func (in *instance) put(ctx context.Context, b []byte) error {
	if size := uint32(len(b)); size > in.size || in.size == 0 {
		size = max(size, 1<<10)
		res, err := in.alloc.Call(ctx, uint64(size))
		if err != nil {
			return fmt.Errorf("pgx_alloc: %w", err)
		}
		in.ptr, in.size = uint32(res[0]), size
	}
	if !in.mod.Memory().Write(in.ptr, b) {
		return fmt.Errorf("pgx_alloc returned %d bytes at %d, which is beyond its memory", in.size, in.ptr)
	}
	return nil
}

// said returns what the module has to say, with a colon before it.
func (in *instance) said(ctx context.Context) string {
	if in.message == nil {
		return ""
	}
	res, err := in.message.Call(ctx)
	if err != nil {
		return ""
	}
	b, ok := in.mod.Memory().Read(uint32(res[0]>>32), min(uint32(res[0]), maxMessage))
	if !ok || len(b) == 0 {
		return ""
	}
	return ": " + plain(b)
}

// Route asks the module about a query. An error means that nobody knows what it would have
// said: the query must not run.
func (p *Plugin) Route(ctx context.Context, f *Facts) (Verdict, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return NoOpinion(), context.Cause(ctx)
	}
	v, err := p.ask(ctx, f)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Warn("the plugin failed", "error", err)
		}
		return NoOpinion(), fmt.Errorf("plugin %s: %w", p.cfg.Name, err)
	}
	return v, nil
}

func (p *Plugin) ask(ctx context.Context, f *Facts) (_ Verdict, err error) {
	p.mu.Lock()
	var in *instance
	if n := len(p.idle); n > 0 {
		in = p.idle[n-1]
		p.idle = p.idle[:n-1]
	}
	p.mu.Unlock()
	if in == nil {
		if in, err = p.start(ctx); err != nil {
			return NoOpinion(), err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.Timeout, fmt.Errorf("it took longer than %v", p.cfg.Timeout))
	defer cancel()
	v, err := in.ask(ctx, f)
	if err != nil {
		_ = in.mod.Close(context.WithoutCancel(ctx)) // whatever state it is in
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return NoOpinion(), err
	}
	p.mu.Lock()
	p.idle = append(p.idle, in)
	p.mu.Unlock()
	return v, nil
}

func (in *instance) ask(ctx context.Context, f *Facts) (Verdict, error) {
	var err error
	if in.buf, err = f.AppendTo(in.buf[:0]); err != nil {
		return NoOpinion(), err
	}
	size := len(in.buf)
	err = in.put(ctx, in.buf)
	if cap(in.buf) > 1<<20 {
		in.buf = nil // one long query must not keep its memory
	}
	if err != nil {
		return NoOpinion(), err
	}
	res, err := in.route.Call(ctx, uint64(in.ptr), uint64(size))
	if err != nil {
		return NoOpinion(), fmt.Errorf("pgx_route: %w", err)
	}
	v, err := parseVerdict(res[0], f.Shards)
	if err == nil && v.Block {
		v.Message = strings.TrimPrefix(in.said(ctx), ": ")
	}
	return v, err
}

// Close frees the module.
func (p *Plugin) Close() error { return p.runtime.Close(context.Background()) }

// A Chain is several plugins, asked in order. The first one that blocks decides; of a shard
// and a role the first opinion counts.
type Chain []*Plugin

// Route asks the plugins about a query; see [Plugin.Route].
func (c Chain) Route(ctx context.Context, f *Facts) (Verdict, error) {
	out := NoOpinion()
	for _, p := range c {
		v, err := p.Route(ctx, f)
		if err != nil {
			return NoOpinion(), err
		}
		if v.Block {
			if v.Message == "" {
				v.Message = "blocked by plugin " + p.cfg.Name
			}
			return v, nil
		}
		if out.Shard == NoShard {
			out.Shard = v.Shard
		}
		if out.Role == NoRole {
			out.Role = v.Role
		}
	}
	return out, nil
}

// Close frees the plugins.
func (c Chain) Close() error {
	var errs []error
	for _, p := range c {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
