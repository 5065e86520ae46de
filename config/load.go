package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/pgx-dev/pgx-dev/engines/cluster"
)

// A lookup finds an environment variable, as [os.LookupEnv] does.
type lookup = func(name string) (string, bool)

// Options say what to load.
type Options struct {
	// Path is the file to read. Empty: $PGX_DEV_CONFIG, else the nearest pgx-dev.toml from
	// Dir upward, else the one in the user's config directory, else none.
	Path string
	// Dir is where the search starts. Default: the working directory.
	Dir string
	// Environ finds environment variables. Default: os.LookupEnv.
	Environ func(name string) (string, bool)
	// Names are the names of all variables, so that misspelt ones are noticed. Default:
	// those of the process if Environ is nil, else none.
	Names []string
	// Set are KEY=VALUE pairs from flags, the strongest layer.
	Set []string
}

func (o *Options) setDefaults() (err error) {
	if o.Environ == nil {
		o.Environ = os.LookupEnv
		for _, kv := range os.Environ() {
			name, _, _ := strings.Cut(kv, "=")
			o.Names = append(o.Names, name)
		}
	}
	if o.Dir == "" {
		if o.Dir, err = os.Getwd(); err != nil {
			return fmt.Errorf("find the working directory: %w; if it was removed, change to another", err)
		}
	}
	return nil
}

// Load finds and reads the configuration. Its error joins every mistake that was found, as
// [*Error] values, or wraps ErrNoFile. The Config is returned along with the error, with
// Path set and whatever could be read, unless no file could be chosen.
func Load(o Options) (*Config, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	path, project, err := find(o.Path, o.Dir, o.Environ)
	if err != nil {
		return nil, err
	}
	c := &Config{File: Default(), Path: path, Project: project, environ: o.Environ, origins: map[string]Origin{}}
	var src []byte
	if path != "" {
		if src, err = os.ReadFile(path); err != nil {
			return c, fmt.Errorf("read the config file: %w", err)
		}
	}
	return c, c.load(string(src), displayPath(path, o.Dir), o.Names, o.Set)
}

// envIndex is the environment's place among the layers.
const envIndex = 1

// load lays the file, the environment and flags over the defaults.
func (c *Config) load(src, name string, variables, options []string) error {
	root := reflect.ValueOf(&c.File).Elem()
	file, at, errs := fileLayer(src, name, root.Type())
	c.lines = at
	env := envLayer(root.Type(), c.environ)
	set := slices.DeleteFunc(slices.Clone(variables), func(name string) bool {
		value, _ := c.environ(name)
		return value == "" // counts as unset
	})
	errs = append(errs, unknownEnv(root.Type(), set)...)
	flags, flagErrs := flagLayer(options, root.Type())
	errs = append(errs, flagErrs...)
	c.layers = [3][]assignment{file, env, flags}

	defer func() { // also of what is wrong, which is shown
		if c.origins[joinKey("cluster", "init")].Kind == FromFile {
			c.fromFile(c.File.Cluster.Init)
		}
	}()
	names := map[string]bool{}
	for _, layer := range c.layers {
		for _, a := range layer {
			if a.path[0] == "clusters" {
				names[a.path[1]] = true
				continue
			}
			if err := a.apply(root, a.path, c.origins); err != nil {
				errs = append(errs, err...)
			}
		}
	}
	for name := range names {
		cfg, origins, clusterErrs := c.cluster(name)
		errs = append(errs, clusterErrs...)
		if c.Clusters == nil {
			c.Clusters = map[string]cluster.Config{}
		}
		c.Clusters[name] = cfg
		for key, o := range origins {
			c.origins[joinKey("clusters", name)+"."+key] = o
		}
	}
	c.Proxy.Normalize()
	if len(errs) == 0 {
		errs = validate(root, "", c.at)
	}
	return joined(errs)
}

// cluster computes one cluster's configuration. Its errors are those of [clusters.NAME]
// alone; what is wrong in [cluster] has been said by load. The origins are of the keys
// that are the cluster's own.
func (c *Config) cluster(name string) (cluster.Config, map[string]Origin, []error) {
	cfg := Default().Cluster
	root := reflect.ValueOf(&cfg).Elem()
	all := map[string]Origin{} // of every key
	own := map[string]Origin{} // of those that [clusters.NAME] or its like has
	var errs []error
	apply := func(a assignment, path []string) []error {
		set := map[string]Origin{}
		failed := a.apply(root, path, set)
		maps.Copy(all, set)
		if a.path[0] == "clusters" {
			maps.Copy(own, set)
		}
		return failed
	}
	for i, layer := range c.layers {
		if i == envIndex {
			layer = slices.Concat(layer, envCluster(name, c.environ))
		}
		for _, a := range layer {
			if a.path[0] == "cluster" {
				_ = apply(a, a.path[1:]) // load has reported it
			}
		}
		for _, a := range layer {
			if a.path[0] == "clusters" && a.path[1] == name {
				errs = append(errs, apply(a, a.path[2:])...)
			}
		}
	}
	if all["init"].Kind == FromFile {
		c.fromFile(cfg.Init)
	}
	for key := range own {
		own[key] = all[key] // a stronger layer of [cluster] may have the last word
	}
	return cfg, own, errs
}

// fromFile makes paths that the file has relative to it.
func (c *Config) fromFile(paths []string) {
	for i, path := range paths {
		if c.Path != "" && path != "" && !filepath.IsAbs(path) {
			paths[i] = filepath.Join(filepath.Dir(c.Path), path)
		}
	}
}

// fileLayer parses a file into assignments. at says where its keys stand.
func fileLayer(src, name string, t reflect.Type) (out []assignment, at func(key string) Origin, errs []error) {
	var table map[string]any
	if _, err := toml.Decode(src, &table); err != nil {
		if parse, ok := errors.AsType[toml.ParseError](err); ok {
			return nil, nil, []error{&Error{Origin: Origin{FromFile, name, parse.Position.Line}, Msg: parse.Message}}
		}
		return nil, nil, []error{fmt.Errorf("%s: %w", name, err)}
	}
	lines := lineIndex(src)
	f := flattener{origin: func(key string) Origin { return Origin{FromFile, name, lines.of(key)} }}
	f.flatten(table, t, nil)
	return f.out, f.origin, f.errs
}

// displayPath shortens path to what a person in dir would type.
func displayPath(path, dir string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

func joined(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	sortErrors(errs)
	return errors.Join(errs...)
}
