package merge

import (
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/proxy/gather"
	"github.com/pgx-dev/pgx-dev/wire"
)

// Tag makes one command tag of those of all shards. returned is how many rows the client
// got, which is what the tags of SELECT and FETCH say ([Rows.Count]).
//
// Tags of different commands are an error; so are, for [gather.TagSame], different counts:
// the shards' copies of an omnisharded table have diverged.
func Tag(how gather.Tag, tags []string, returned uint64) (string, error) {
	if len(tags) == 0 {
		return "", wire.Errorf(wire.CodeInternalError, "no shard has answered")
	}
	command, count, counted := cutCount(tags[0])
	for i, tag := range tags[1:] {
		c, n, ok := cutCount(tag)
		switch {
		case c != command || ok != counted:
			return "", wire.Errorf(wire.CodeInternalError, "shard 0 has answered %q, shard %d %q", tags[0], i+1, tag)
		case how == gather.TagSame && n != count:
			err := wire.Errorf(wire.CodeDataCorrupted, "the copies of an omnisharded table differ: shard 0 has answered %q, shard %d %q", tags[0], i+1, tag)
			err.Hint = "Compare the table on all shards, and copy it from the right one to the others."
			return "", err
		case how == gather.TagSum || how == gather.TagTotal:
			count += n
		}
	}
	switch {
	case !counted:
		return tags[0], nil
	case how == gather.TagSum && (command == "SELECT" || command == "FETCH"):
		count = returned
	}
	return command + " " + strconv.FormatUint(count, 10), nil
}

// cutCount splits "INSERT 0 5" into "INSERT 0" and 5.
func cutCount(tag string) (command string, count uint64, ok bool) {
	if i := strings.LastIndexByte(tag, ' '); i >= 0 {
		if n, err := strconv.ParseUint(tag[i+1:], 10, 64); err == nil {
			return tag[:i], n, true
		}
	}
	return tag, 0, false
}
