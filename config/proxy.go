package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pgx-dev/pgx-dev/config/spell"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// ProxyOptions say what to load for the proxy: a pgdog.toml with its users.toml, a
// PgBouncer file, or, if none is named, [proxy] of what Options find. The environment and
// flags are laid over each of them.
type ProxyOptions struct {
	Options
	// PgDog is a pgdog.toml.
	PgDog string
	// Users is its users.toml. Default: the one beside it, if there is one.
	Users string
	// PgBouncer is a pgbouncer.ini.
	PgBouncer string
	// URLs are databases to add.
	URLs []string
}

// A Proxy is the proxy's configuration, with what to tell about it.
type Proxy struct {
	conf.Config
	// Files are those that were read, of which a change matters to a reload.
	Files []string
	// Warnings name what has no effect.
	Warnings []conf.Warning
}

// LoadProxy reads the proxy's configuration. Its error joins every mistake, as [*Error]
// values; the Proxy is then nil.
func LoadProxy(o ProxyOptions) (*Proxy, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	l := &proxyLoader{options: o, Config: Config{environ: o.Environ, origins: map[string]Origin{}}, seen: map[string]func(string) Origin{}}
	l.Proxy = conf.DefaultConfig()
	switch {
	case o.PgDog != "" && o.PgBouncer != "":
		return nil, errors.New("a pgdog.toml and a PgBouncer file exclude each other")
	case o.PgDog != "":
		l.Proxy = conf.PgDogDefaults()
		if o.Users == "" {
			beside := filepath.Join(filepath.Dir(o.PgDog), "users.toml")
			if _, err := os.Stat(l.path(beside)); err == nil {
				o.Users = beside
			}
		}
		l.toml(o.PgDog, reflect.TypeFor[conf.Config]())
		if o.Users != "" {
			l.toml(o.Users, reflect.TypeFor[usersFile]())
		}
	case o.PgBouncer != "":
		l.pgbouncer(o.PgBouncer)
	default:
		if o.Users != "" {
			return nil, errors.New("a users.toml belongs to a pgdog.toml")
		}
		c, err := Load(o.Options)
		if err != nil {
			return nil, err
		}
		l.Config = *c
		if c.Path != "" {
			l.files = append(l.files, c.Path)
			l.Proxy.RelativeTo(filepath.Dir(c.Path))
		}
		l.overlaid = true
	}
	l.overlay()
	l.Proxy.Normalize()
	l.userlist()
	for _, u := range o.URLs {
		if err := l.Proxy.AddURL(u); err != nil {
			l.errs = append(l.errs, err)
		}
	}
	if len(l.errs) == 0 {
		l.errs = l.validate()
	}
	if err := joined(l.errs); err != nil {
		return nil, err
	}
	l.warnings = append(l.warnings, l.Proxy.Warnings()...)
	base := conf.DefaultConfig()
	if o.PgBouncer != "" {
		base = conf.PgBouncerDefaults()
	}
	l.warnings = append(l.warnings, l.Proxy.Unused(&base)...)
	return &Proxy{Config: l.Proxy, Files: l.files, Warnings: l.warnings}, nil
}

// usersFile is the format of a users.toml.
type usersFile struct {
	Admin conf.Admin  `toml:"admin"`
	Users []conf.User `toml:"users"`
}

// A proxyLoader collects the layers of a proxy's configuration. Of its Config, only the
// proxy's section is used.
type proxyLoader struct {
	Config
	options  ProxyOptions
	files    []string
	errs     []error
	warnings []conf.Warning
	seen     map[string]func(key string) Origin // by section, where its keys stand
	overlaid bool
}

func (l *proxyLoader) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.options.Dir, path)
}

// toml reads a file of PgDog's.
func (l *proxyLoader) toml(path string, format reflect.Type) {
	src, err := os.ReadFile(l.path(path))
	if err != nil {
		l.errs = append(l.errs, readError(path, err))
		return
	}
	l.files = append(l.files, l.path(path))
	out, at, errs := fileLayer(string(src), displayPath(path, l.options.Dir), format)
	l.errs = append(l.errs, errs...)
	root := reflect.ValueOf(&l.Proxy).Elem()
	for _, a := range out {
		a.proxy = true
		l.seen[a.path[0]] = at
		l.errs = append(l.errs, a.apply(root, a.path, l.origins)...)
	}
}

func readError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNoFile, path)
	}
	return fmt.Errorf("read the configuration: %w", err)
}

// pgbouncer reads a file of PgBouncer's.
func (l *proxyLoader) pgbouncer(path string) {
	c, files, warnings, err := conf.ParsePgBouncer(path, conf.PgBouncerSource{
		Read:    func(name string) ([]byte, error) { return os.ReadFile(l.path(name)) },
		Nearest: spell.Nearest,
	})
	for _, f := range files {
		l.files = append(l.files, l.path(f))
	}
	l.warnings = append(l.warnings, warnings...)
	if err != nil {
		l.errs = append(l.errs, parts(err)...)
		return
	}
	l.Proxy = c
}

// userlist adds the users of an auth_file that have no entry.
func (l *proxyLoader) userlist() {
	path := l.Proxy.PgBouncer.AuthFile
	if path == "" {
		return
	}
	users, err := conf.ReadUserlist(path, func(name string) ([]byte, error) { return os.ReadFile(l.path(name)) })
	if err != nil {
		l.errs = append(l.errs, parts(err)...)
		return
	}
	l.files = append(l.files, l.path(path))
	for _, u := range users {
		if !slices.ContainsFunc(l.Proxy.Users, func(o conf.User) bool { return o.Name == u.Name }) {
			l.Proxy.Users = append(l.Proxy.Users, u)
		}
	}
}

// overlay lays the environment and flags over what the files say.
func (l *proxyLoader) overlay() {
	l.unknownPgDog()
	if l.overlaid {
		return
	}
	root := reflect.ValueOf(&l.File).Elem()
	flags, errs := flagLayer(l.options.Set, root.Type())
	l.errs = append(l.errs, errs...)
	l.errs = append(l.errs, unknownEnv(root.Type(), l.set())...)
	for _, layer := range [][]assignment{envLayer(root.Type(), l.environ), flags} {
		for _, a := range layer {
			if a.path[0] != "proxy" {
				continue
			}
			l.errs = append(l.errs, a.apply(root, a.path, l.origins)...)
			delete(l.origins, joinKey(a.path...))
			l.origins[joinKey(a.path[1:]...)] = a.origin
		}
	}
}

// set returns the variables that are set.
func (l *proxyLoader) set() []string {
	return slices.DeleteFunc(slices.Clone(l.options.Names), func(name string) bool {
		value, _ := l.environ(name)
		return value == ""
	})
}

// unknownPgDog warns of variables that look like PgDog's and are none. They are no errors
// since PgDog has some of its own.
func (l *proxyLoader) unknownPgDog() {
	var known []string
	for _, k := range keysOf(reflect.TypeFor[conf.General](), []string{"proxy", "general"}) {
		known = append(known, k.env...)
	}
	names := l.set()
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "PGDOG_") || slices.Contains(known, name) {
			continue
		}
		msg := "is no setting's variable and has no effect"
		if near := spell.Nearest(name, known); near != "" {
			msg += "; did you mean " + near + "?"
		}
		l.warnings = append(l.warnings, conf.Warning{Key: "$" + name, Msg: msg})
	}
}

// validate says where mistakes are, as far as it is known.
func (l *proxyLoader) validate() []error {
	var errs []error
	for _, err := range parts(l.Proxy.Validate()) {
		m, ok := errors.AsType[*conf.Mistake](err)
		if !ok {
			errs = append(errs, err)
			continue
		}
		prefix := ""
		if l.overlaid {
			prefix = "proxy."
		}
		errs = append(errs, &Error{Origin: l.place(prefix + m.Key), Key: m.Key, Msg: m.Msg})
	}
	return errs
}

// place returns where a key was set.
func (l *proxyLoader) place(key string) Origin {
	o := l.at(key)
	section, _, _ := strings.Cut(strings.TrimPrefix(key, "proxy."), ".")
	section, _, _ = strings.Cut(section, "[")
	if at := l.seen[section]; at != nil && (o.Kind == FromFile || o.Kind == FromDefault) {
		return at(key)
	}
	return o
}
