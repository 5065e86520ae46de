package commands

import "context"

type embedDumpCmd struct{}

func (c *embedDumpCmd) Run(ctx context.Context, env *Env) error { return nil }

type embedLoadCmd struct{}

func (c *embedLoadCmd) Run(ctx context.Context, env *Env) error { return nil }

type embedCloneCmd struct{}

func (c *embedCloneCmd) Run(ctx context.Context, env *Env) error { return nil }
