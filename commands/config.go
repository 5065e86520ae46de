package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pgx-dev/pgx-dev/commands/ui"
	"github.com/pgx-dev/pgx-dev/config"
)

// configInitCmd writes the sample file.
type configInitCmd struct {
	File string `arg:"" optional:"" complete:"file" help:"Where to write it (default: pgx-dev.toml here; - for stdout)."`
}

// Run writes it, never over another file.
func (c *configInitCmd) Run(env *Env) error {
	switch c.File {
	case "-":
		env.UI.Printf("%s", config.Sample())
		return nil
	case "":
		c.File = config.Name
	}
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is already there and was left alone; \"pgx-dev config init -\" prints the sample", c.File)
	}
	if err != nil {
		return fmt.Errorf("write the sample config: %w", err)
	}
	_, err = f.WriteString(config.Sample())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the sample config: %w", err)
	}
	env.UI.Note("wrote %s; every key is commented out and shows its default", c.File)
	return nil
}

// configShowCmd prints every value in effect.
type configShowCmd struct {
	Key  string `arg:"" optional:"" complete:"key" help:"Only this key or section."`
	JSON bool   `help:"Print JSON."`
}

// Run prints it.
func (c *configShowCmd) Run(env *Env) error {
	cfg, err := env.Config()
	if err != nil {
		return err
	}
	settings, err := pick(cfg.Settings(), c.Key)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env, struct {
			Path     string           `json:"path"`
			Settings []config.Setting `json:"settings"`
		}{cfg.Path, settings})
	}
	t := ui.NewTable("KEY", "VALUE", "FROM")
	for _, s := range settings {
		from := s.Origin
		if from == "default" {
			from = env.UI.Dim(from)
		}
		t.Row(s.Key, s.Text(), from)
	}
	env.UI.Table(t)
	return nil
}

// configCheckCmd says whether the configuration is right.
type configCheckCmd struct{}

// Run loads it.
func (c *configCheckCmd) Run(env *Env) error {
	cfg, err := env.Config()
	if err != nil {
		return err
	}
	if cfg.Path == "" {
		env.UI.Note("no config file; the environment is fine")
		return nil
	}
	env.UI.Note("%s is fine", cfg.Path)
	return nil
}

// configPathCmd prints which file is in use.
type configPathCmd struct{}

// Run prints it, or fails with ExitNotExist if there is none.
func (c *configPathCmd) Run(env *Env) error {
	cfg, err := env.config()
	if errors.Is(err, config.ErrNoFile) || cfg == nil && err != nil {
		_, err := env.Config()
		return err
	}
	if cfg.Path == "" { // what is wrong inside the file does not matter here
		return &ExitError{Code: ExitNotExist, Err: errors.New("no config file; \"pgx-dev config init\" writes one")}
	}
	env.UI.Printf("%s\n", cfg.Path)
	return nil
}
