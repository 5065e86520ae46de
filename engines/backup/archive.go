package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ArchiveWAL copies a segment of the write-ahead log to its place in the archive. It is
// what the server's archive_command runs, so it keeps to what the documentation asks of
// one: it succeeds when the same content is there already, fails when another is, and
// reports success only once the copy is on disk. Killed, it leaves a file wal/.tmp.*, which
// Take removes.
func ArchiveWAL(src, dst string) error {
	if _, err := os.Lstat(dst); err == nil {
		same, err := sameContent(src, dst)
		if err != nil {
			return fmt.Errorf("archive %s: %w", src, err)
		}
		if !same {
			return fmt.Errorf("archive %s: %s is there already with other content; do two clusters archive to one directory?", src, dst)
		}
		// Who put it there may have been killed before it was on disk.
		return errors.Join(syncFile(dst), syncFile(filepath.Dir(dst)))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	in, err := os.Open(src)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer func() { _ = in.Close() }()
	return install(dst, func(f *os.File) error {
		_, err := io.Copy(f, in)
		return err
	})
}

// ArchiveCommand returns the archive_command that runs program (a path and arguments)
// with the segment and its place in the backup directory dir.
func ArchiveCommand(program []string, dir string) string {
	var words []string
	for _, w := range program {
		words = append(words, quoteCommand(w))
	}
	return strings.Join(append(words, "%p", quoteCommand(walDir(dir)+string(filepath.Separator))+"%f"), " ")
}

// restoreCommand returns the restore_command for the archive in dir.
func restoreCommand(dir string) string {
	return "cp " + quoteCommand(walDir(dir)+string(filepath.Separator)) + "%f %p"
}

// quoteCommand quotes a word for the shell, and its percent signs for the server.
func quoteCommand(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, "'", `'\''`), "%", "%%") + "'"
}
