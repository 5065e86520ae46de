//go:build !linux

package cluster_test

import "os/exec"

func unprivileged(cmd *exec.Cmd) *exec.Cmd { return cmd }
