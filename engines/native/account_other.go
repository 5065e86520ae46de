//go:build !linux

package native

import "syscall"

// parentDeathSignal says that the kernel does not end our children with us; a watchdog
// does.
const parentDeathSignal = false

func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

// passing returns nothing: there are no ambient capabilities.
func passing(account) []account { return nil }

// namespaces returns nothing: there are no user namespaces.
func namespaces() []account { return nil }
