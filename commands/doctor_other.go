//go:build !linux

package commands

import (
	"context"
	"errors"
)

func tryNamespace(context.Context) error {
	return errors.New("only Linux has user namespaces")
}
