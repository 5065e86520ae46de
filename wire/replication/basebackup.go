package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/wire"
)

// BaseBackupOptions say what [Conn.BaseBackup] asks for. The zero value is a backup with
// a spread checkpoint, without WAL, as fast as it goes.
type BaseBackupOptions struct {
	// Label goes into backup_label. Default: "pgx-dev base backup".
	Label string
	// Fast makes the checkpoint that a backup begins with run at full speed. Otherwise it
	// may take as long as checkpoint_timeout.
	Fast bool
	// WAL puts the log that makes the copy consistent into it, so that it starts by itself.
	// Without it the log has to come from an archive, and the server waits until all of it
	// is archived. From version 10 on a temporary replication slot keeps the server from
	// recycling the log before it is sent, if there is a slot to be had (max_replication_slots).
	WAL bool
	// Manifest asks for a backup_manifest, which servers from version 13 on can make.
	Manifest bool
	// ManifestChecksums is NONE, CRC32C, SHA224, SHA256, SHA384 or SHA512. Default: CRC32C.
	ManifestChecksums string
	// MaxRate limits the transfer, in kB/s, from 32 to 1048576. 0 is no limit. Servers from
	// 9.4 on can do it.
	MaxRate int
	// NoVerify makes the server not check the checksums of data pages.
	NoVerify bool
	// Progress is called after each piece that has been taken. nil: the server does not
	// estimate the size, which spares it a walk through its files.
	Progress func(Progress)
}

// Progress tells how far a base backup is.
type Progress struct {
	Bytes int64 // taken, of all tablespaces
	// Total is the server's estimate at the start; WAL is not in it, and files may have
	// grown, so Bytes may pass it.
	Total       int64
	Tablespace  int // that is being taken, from 1
	Tablespaces int
}

// A Tablespace is a part of a cluster that is copied as one archive.
type Tablespace struct {
	OID      uint32 // 0 for the data directory itself
	Location string // on the server; empty for the data directory
	Size     int64  // estimate in bytes; 0 without Progress
}

// Archive returns the name that the tablespace's tar file has by custom: "base.tar" or
// "16385.tar".
func (t Tablespace) Archive() string {
	if t.OID == 0 {
		return "base.tar"
	}
	return strconv.FormatUint(uint64(t.OID), 10) + ".tar"
}

// BackupResult tells where in the log a base backup lies.
type BackupResult struct {
	Start, End  wire.LSN
	Timeline    uint32
	Tablespaces []Tablespace
	Bytes       int64 // taken
}

// A Sink takes what a base backup consists of. Its methods are called one after the other.
type Sink interface {
	// Begin is called once the server has begun the backup.
	Begin(tablespaces []Tablespace) error
	// Archive takes a tablespace, as tar. What it leaves unread is dropped.
	Archive(t Tablespace, tar io.Reader) error
	// Manifest takes the backup_manifest, if it was asked for.
	Manifest(r io.Reader) error
	// Commit is called when all is there and the server has said that it is complete.
	Commit() error
	// Abort is called instead of Commit when something went wrong, and takes away what was
	// made.
	Abort() error
}

// linker is a sink that wants links in pg_tblspc rather than a tablespace_map.
type linker interface{ wantsLinks() bool }

// BaseBackup copies the cluster into sink. On an error the sink has been aborted; if the
// error is not the server's own answer, or it came in the middle, the connection is
// broken. When the sink fails the error wraps the sink's.
//
// Servers from 9.1 on can do it. Version 15 changed both the command and the stream.
func (c *Conn) BaseBackup(ctx context.Context, sink Sink, opts BaseBackupOptions) (BackupResult, error) {
	command, err := opts.command(c.version, sink)
	if err != nil {
		return BackupResult{}, fmt.Errorf("base backup: %w", err)
	}
	stop := c.watch(ctx)
	defer stop()
	b := &backup{c: c, sink: sink, opts: opts}
	err = b.run(command)
	if err == nil {
		if err = sink.Commit(); err == nil {
			return b.result, nil
		}
	}
	err = ctxError(ctx, err)
	if aerr := sink.Abort(); aerr != nil {
		err = fmt.Errorf("%w (and cleaning up: %w)", err, aerr)
	}
	if b.result.Bytes > 0 {
		return BackupResult{}, fmt.Errorf("base backup after %d bytes: %w", b.result.Bytes, err)
	}
	return BackupResult{}, fmt.Errorf("base backup: %w", err)
}

// command builds the BASE_BACKUP command for a server of the given version.
func (o BaseBackupOptions) command(version int, sink Sink) (string, error) {
	if version < 90100 {
		return "", fmt.Errorf("the server has version %d: 9.1 or later is needed", version)
	}
	if o.MaxRate != 0 && (o.MaxRate < 32 || o.MaxRate > 1<<20) {
		return "", fmt.Errorf("max rate %d kB/s: it has to be 32 to %d", o.MaxRate, 1<<20)
	}
	if o.MaxRate != 0 && version < 90400 {
		return "", errors.New("max rate: servers before 9.4 cannot limit the transfer")
	}
	if o.Manifest && version < 130000 {
		return "", errors.New("manifest: servers before 13 make none")
	}
	switch o.ManifestChecksums {
	case "", "NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512":
	default:
		return "", fmt.Errorf("manifest checksums %q: use NONE, CRC32C, SHA224, SHA256, SHA384 or SHA512", o.ManifestChecksums)
	}
	label := o.Label
	if label == "" {
		label = "pgx-dev base backup"
	}
	l, _ := sink.(linker)
	list := &optionList{named: version >= 150000}
	list.add("LABEL", QuoteLiteral(label))
	list.flag(o.Progress != nil, "PROGRESS")
	if o.Fast {
		if list.named {
			list.add("CHECKPOINT", "'fast'")
		} else {
			list.flag(true, "FAST")
		}
	}
	list.flag(o.WAL, "WAL")
	if o.WAL {
		// The log is in the backup: nothing has to wait for the archive.
		if list.named {
			list.add("WAIT", "0")
		} else {
			list.flag(true, "NOWAIT")
		}
	}
	if o.MaxRate != 0 {
		list.add("MAX_RATE", strconv.Itoa(o.MaxRate))
	}
	list.flag(version >= 90500 && (l == nil || !l.wantsLinks()), "TABLESPACE_MAP")
	if o.NoVerify && version >= 110000 {
		if list.named {
			list.add("VERIFY_CHECKSUMS", "0")
		} else {
			list.flag(true, "NOVERIFY_CHECKSUMS")
		}
	}
	if o.Manifest {
		list.add("MANIFEST", "'yes'")
		if o.ManifestChecksums != "" {
			list.add("MANIFEST_CHECKSUMS", QuoteLiteral(o.ManifestChecksums))
		}
	}
	return list.command("BASE_BACKUP"), nil
}

// An optionList writes a replication command's options: one after the other up to version
// 14, in parentheses with commas from 15 on.
type optionList struct {
	named bool
	items []string
}

func (l *optionList) add(name, value string) { l.items = append(l.items, name+" "+value) }

func (l *optionList) flag(on bool, name string) {
	if on {
		l.items = append(l.items, name)
	}
}

func (l *optionList) command(words string) string {
	switch {
	case len(l.items) == 0:
		return words
	case l.named:
		return words + " (" + strings.Join(l.items, ", ") + ")"
	}
	return words + " " + strings.Join(l.items, " ")
}
