package databases

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgx-dev/pgx-dev/lease/recipe"
)

// verify builds the template once more and compares it with the one that is there: a
// migration that only works on a database where it has been run before would else stay
// hidden until the template is lost.
func (s *Source) verify(ctx context.Context, l *life, t *template, r *recipe.Recipe) error {
	fresh, copied := buildPrefix+t.key, s.newName()
	defer func() {
		for _, name := range []string{fresh, copied} {
			if err := l.remove(context.WithoutCancel(ctx), name); err != nil {
				s.log.Warn("remove", "name", name, "err", err)
			}
		}
	}()
	if err := s.fill(ctx, l, fresh, r); err != nil {
		return err
	}
	if err := l.createFrom(ctx, copied, t.name); err != nil { // nobody may connect to the template itself
		return err
	}
	var lists [2][]string
	for i, name := range []string{copied, fresh} {
		conn, err := l.connect(ctx, name)
		if err != nil {
			return err
		}
		lists[i], err = recipe.Outline(ctx, conn)
		closeConn(conn)
		if err != nil {
			return err
		}
	}
	if diff := recipe.Compare(lists[0], lists[1]); len(diff) > 0 {
		return &recipe.StepError{Step: "verify", Err: fmt.Errorf("%s is not what its migrations make today; drop it to build it again:\n%s",
			t.name, strings.Join(diff[:min(len(diff), 20)], "\n"))}
	}
	s.log.Info("template verified", "template", t.name)
	return nil
}
