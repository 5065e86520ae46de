package scatter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/copysplit"
	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/proxy/merge"
	"github.com/pgx-dev/pgx-dev/proxy/route"
	"github.com/pgx-dev/pgx-dev/proxy/route/sharding"
	"github.com/pgx-dev/pgx-dev/wire"
)

// sendAt is how many bytes are gathered for a shard before they are sent.
const sendAt = 64 << 10

// A copyIn is a COPY FROM STDIN that is running.
type copyIn struct {
	branches []*branch
	split    *copysplit.Splitter // nil: all get all
	table    string
	how      gather.Tag
	began    bool
	extended bool
}

// copyIn begins COPY FROM STDIN.
func (s *Session) copyIn(ctx context.Context, d *route.Decision, q *request) error {
	c := &copyIn{extended: q.extended}
	shards := d.Targets()
	if d.Merge != nil {
		c.how = d.Merge.Tag
	}
	if len(shards) > 1 && d.Plan.Copy != nil && d.Plan.Copy.Key != nil {
		key, fit := d.Plan.Copy.Key, d.Plan.Copy.Fit
		data := *d.Plan.Copy
		if encoding := s.reported["client_encoding"]; encoding != "" && data.Options["encoding"] == "" {
			data.Options = maps.Clone(data.Options)
			data.Options["encoding"] = encoding
		}
		split, err := copysplit.New(&data, s.ex.cfg.Layout.Shards, func(values []sharding.Raw) (int, error) {
			fit.Apply(values)
			shard, err := key.Place(values, &s.found)
			if need, ok := errors.AsType[*sharding.NeedLookup](err); ok {
				if err := s.lookAside(ctx, need); err != nil {
					return 0, err
				}
				shard, err = key.Place(values, &s.found)
			}
			if err == nil {
				return shard, nil
			}
			return 0, placeError(err, key, slices.Clone(values))
		})
		if err != nil {
			return refuse(err.Error(), "copy into the shards' servers, or change the COPY's options")
		}
		c.split, c.table = split, d.Plan.Copy.Table
	}
	if len(shards) > 1 {
		var err error
		if c.began, err = s.implicitly(); err != nil {
			return err
		}
	}
	plain := &request{sql: q.sql}
	var err error
	if c.branches, err = s.branches(ctx, d, plain, shards); err != nil {
		return err
	}
	if d.Plan.Copy != nil {
		if err := s.copyBinary(ctx, d, c.branches, d.Plan.Copy.Options, ""); err != nil {
			return err
		}
	}
	s.mark(d, c.branches)
	if err := each(c.branches, func(b *branch) error { return b.start(plain, nil, nil) }); err != nil {
		return err
	}
	if err := each(c.branches, (*branch).header); err != nil {
		return err
	}
	for _, b := range c.branches {
		if b.copies != wire.TypeCopyInResponse {
			err := wire.Errorf(wire.CodeInternalError, "shard %d has not begun the COPY", b.l.shard)
			for _, b := range c.branches {
				b.l.dead = true
			}
			return err
		}
	}
	s.copying = c
	if err := s.raw(wire.TypeCopyInResponse, c.branches[0].copy); err != nil {
		return err
	}
	return s.flush()
}

// copyMessage takes CopyData, CopyDone and CopyFail.
func (s *Session) copyMessage(ctx context.Context, typ wire.Type, body []byte) error {
	c := s.copying
	switch typ {
	case wire.TypeCopyData:
		err := c.write(body)
		if err == nil {
			return nil
		}
		return s.copied(ctx, "", c.cancel(err))
	case wire.TypeCopyFail:
		var m wire.CopyFail
		if err := m.Decode(body); err != nil {
			return err
		}
		return s.copied(ctx, "", c.fail(m.Message))
	}
	tag, err := c.done()
	return s.copied(ctx, tag, err)
}

// copied ends the COPY in the session.
func (s *Session) copied(ctx context.Context, tag string, err error) error {
	c := s.copying
	s.copying = nil
	if broken(err) {
		return err
	}
	s.scratch = append(s.scratch[:0], tag...)
	if c.extended {
		if err == nil && s.tx.implicit {
			// It is complete once it is committed, at Sync.
			err = nil
		}
		if err == nil {
			return s.complete()
		}
		s.skip = true
		s.fail(err)
		return s.flush()
	}
	if c.began && !s.restPart {
		err = s.finishReply(ctx, err)
	} else if err == nil {
		err = s.complete()
	}
	if err != nil {
		return s.answered(ctx, err)
	}
	return s.proceed(ctx)
}

// write passes data on.
func (c *copyIn) write(data []byte) error {
	if c.split == nil {
		for _, b := range c.branches {
			if err := b.l.copyData(data); err != nil {
				return err
			}
		}
		return nil
	}
	if err := c.split.Write(data); err != nil {
		return err
	}
	return c.push(sendAt)
}

// push sends the shards what has gathered for them, if it is as much as least.
func (c *copyIn) push(least int) error {
	for _, b := range c.branches {
		out := c.split.Out(b.l.shard)
		if len(out) == 0 || len(out) < least {
			continue
		}
		if err := b.l.copyData(out); err != nil {
			return err
		}
		c.split.Taken(b.l.shard)
	}
	return nil
}

func (l *link) copyData(data []byte) error {
	const most = 1 << 29
	for len(data) > 0 {
		n := min(len(data), most)
		l.buf = wire.Header{Type: wire.TypeCopyData, Len: n}.AppendTo(l.buf)
		l.buf = append(l.buf, data[:n]...)
		data = data[n:]
		if len(l.buf) >= sendAt {
			if err := l.push(); err != nil {
				return err
			}
		}
	}
	return nil
}

// done ends the data.
func (c *copyIn) done() (string, error) {
	if c.split != nil {
		err := c.split.Close()
		if err == nil {
			err = c.push(0)
		}
		if err != nil {
			return "", c.cancel(err)
		}
	}
	err := c.end(&wire.CopyDone{})
	if err != nil {
		return "", err
	}
	var tags []string
	for _, b := range c.branches {
		tags = append(tags, b.tag)
	}
	return merge.Tag(c.how, tags, 0)
}

// fail ends the data by the client's CopyFail.
func (c *copyIn) fail(message string) error {
	return c.end(&wire.CopyFail{Message: message})
}

// cancel ends the data because of an error of ours, which it returns.
func (c *copyIn) cancel(cause error) error {
	if err := c.end(&wire.CopyFail{Message: "the proxy has stopped the COPY"}); broken(err) {
		return err
	}
	return cause
}

// end sends the last message to all and reads their answers.
func (c *copyIn) end(m wire.Message) error {
	var first error
	at := 0 // its line
	keep := func(line int, err error) {
		if err != nil && (first == nil || broken(err) || !broken(first) && line > 0 && (at == 0 || line < at)) {
			first, at = err, line
		}
	}
	for _, b := range c.branches {
		err := b.l.put(m)
		if err == nil {
			err = b.l.push()
		}
		keep(0, err)
	}
	for _, b := range c.branches {
		if b.l.dead {
			b.ended = true
			continue
		}
		keep(c.placed(b, b.finish()))
	}
	return first
}

// placed is a shard's error with the line of the client's data, rather than that of the shard's
// part of them, in its context; 0 if there is none.
func (c *copyIn) placed(b *branch, err error) (int, error) {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || c.split == nil || broken(err) {
		return 0, err
	}
	prefix := "COPY " + c.table + ", "
	lines := strings.Split(e.Where, "\n")
	for i, where := range lines {
		rest, found := strings.CutPrefix(where, prefix)
		if !found {
			continue
		}
		// "line 5", whatever the language
		word, rest, _ := strings.Cut(rest, " ")
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		own, err := strconv.Atoi(rest[:digits])
		if err != nil {
			continue
		}
		copied := *e
		line, known := c.split.Line(b.l.shard, own)
		if known {
			lines[i] = prefix + word + " " + strconv.Itoa(line) + rest[digits:]
		} else {
			lines[i] = fmt.Sprintf("%s%s %d of those that went to shard %d%s", prefix, word, own, b.l.shard, rest[digits:])
		}
		copied.Where = strings.Join(lines, "\n")
		return line, &copied
	}
	return 0, err
}
