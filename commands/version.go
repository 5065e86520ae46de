package commands

import (
	"cmp"
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// versionCmd shows the version and how it was built.
type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

// A buildInfo is what is known about how this binary was made.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"` // uncommitted changes
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	CGO      bool   `json:"cgo"`
	Tags     string `json:"tags,omitempty"`
}

func readBuildInfo() buildInfo {
	b := buildInfo{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, b.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "CGO_ENABLED":
			b.CGO = s.Value == "1"
		case "-tags":
			b.Tags = s.Value
		}
	}
	return b
}

// Run prints it.
func (c *versionCmd) Run(env *Env) error {
	b := readBuildInfo()
	if c.JSON {
		return printJSON(env, b)
	}
	env.UI.Printf("pgx-dev %s\n", b.Version)
	if b.Revision != "" {
		dirty := ""
		if b.Modified {
			dirty = ", with changes"
		}
		env.UI.Printf("revision %s (%s%s)\n", b.Revision, b.Time, dirty)
	}
	env.UI.Printf("%s %s/%s\n", b.Go, b.OS, b.Arch)
	if b.Tags != "" {
		env.UI.Printf("tags %s\n", b.Tags)
	}
	return nil
}

// versionFlag is --version: the first line of "pgx-dev version".
type versionFlag bool

// BeforeReset prints the version and ends the parsing.
func (versionFlag) BeforeReset(_ *kong.Context, env *Env) error {
	env.UI.Printf("pgx-dev %s\n", readBuildInfo().Version)
	return errDone
}

// IgnoreDefault tells kong not to run the hook when the flag is not given.
func (versionFlag) IgnoreDefault() {}

// printJSON writes a result as indented JSON.
func printJSON(env *Env, v any) error {
	enc := json.NewEncoder(env.UI.Stdout())
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
