//go:build !linux

package npm

import "syscall"

func setDeathSignal(*syscall.SysProcAttr) {}
