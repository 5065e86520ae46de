package commands

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// TestSignals checks that a signal cancels the context and is its cause.
func TestSignals(t *testing.T) {
	hangup := make(chan os.Signal, 1) // what nohup ignores is not waited for in vain
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		ctx, stop := withSignals(t.Context(), func(os.Signal) bool { return false })
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Minute):
			t.Fatalf("%v cancels nothing", sig)
		}
		var got signalError
		if !errors.As(context.Cause(ctx), &got) || got.sig != sig {
			t.Errorf("%v: the cause is %v", sig, context.Cause(ctx))
		}
		stop()
	}
}

// TestHelpTexts holds every command and flag to having a help text that ends as a sentence,
// and the file to which a "complete" tag leads to being known.
func TestHelpTexts(t *testing.T) {
	known := strings.Fields("cluster runtime installed topic key option file dir program none")
	env := newEnv(strings.NewReader(""), &strings.Builder{}, &strings.Builder{}, nil)
	parser, err := newParser(newCLI(), env)
	if err != nil {
		t.Fatal(err)
	}
	checkHelp := func(what, help string) {
		if help == "" || !strings.ContainsAny(help[len(help)-1:], ".)") && !strings.HasSuffix(help, "fish.") {
			t.Errorf("%s: help is %q", what, help)
		}
	}
	err = kong.Visit(parser.Model, func(v kong.Visitable, next kong.Next) error {
		switch v := v.(type) {
		case *kong.Node:
			if v.Hidden {
				return nil
			}
			if v.Type == kong.CommandNode {
				checkHelp(v.FullPath(), v.Help)
				if v.Leaf() && !v.Target.Addr().MethodByName("Run").IsValid() {
					t.Errorf("%s has no Run", v.FullPath())
				}
			}
		case *kong.Value:
			checkHelp(v.Summary(), v.Help)
			if c := v.Tag.Get("complete"); c != "" && !strings.Contains(" "+strings.Join(known, " ")+" ", " "+c+" ") {
				t.Errorf("%s: nothing completes %q", v.Summary(), c)
			}
		case *kong.Flag:
			checkHelp("--"+v.Name, v.Help)
			if c := v.Tag.Get("complete"); c != "" && !strings.Contains(" "+strings.Join(known, " ")+" ", " "+c+" ") {
				t.Errorf("--%s: nothing completes %q", v.Name, c)
			}
			if v.HasDefault && v.Default != "" && v.Target.Kind() != reflect.Int {
				t.Errorf("--%s has a default: flags that lie over the configuration have none", v.Name)
			}
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTopics checks that each topic has a title.
func TestTopics(t *testing.T) {
	names := topicNames()
	for _, want := range []string{"clusters", "config", "embed", "environment", "exit-codes"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("no topic %s in %q", want, names)
		}
	}
	for _, name := range names {
		text, ok := topic(name)
		if !ok || title(text) == "" || !strings.HasPrefix(text, "# ") {
			t.Errorf("%s has no title: %q", name, text)
		}
	}
}
