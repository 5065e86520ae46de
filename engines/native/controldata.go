package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgx-dev/pgx-dev/engines"
)

// ControlData is the beginning of global/pg_control, which has had the same layout since
// PostgreSQL 8.4 (ControlFileData in catalog/pg_control.h).
type ControlData struct {
	SystemID       uint64    // database system identifier, shared by copies of a directory
	ControlVersion uint32    // PG_CONTROL_VERSION, for instance 1300
	CatalogVersion uint32    // CATALOG_VERSION_NO, for instance 202209061
	State          State     // what the server last wrote
	Modified       time.Time // when it wrote that
}

// A State is what a server last recorded about itself (DBState in catalog/pg_control.h).
type State uint32

// The states of a data directory.
const (
	Startup State = iota
	Shutdown
	ShutdownInRecovery
	ShuttingDown
	CrashRecovery
	ArchiveRecovery
	InProduction
)

var stateNames = [...]string{
	"starting up", "shut down", "shut down in recovery", "shutting down",
	"in crash recovery", "in archive recovery", "in production",
}

// String returns the name that pg_controldata uses.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("unrecognized state %d", uint32(s))
}

// ReadControlData reads global/pg_control of the data directory dir, which must have been
// written on a machine of the same byte order. "in production" in a directory without a
// server means that the last one crashed.
func ReadControlData(dir string) (ControlData, error) {
	path := filepath.Join(dir, "global", "pg_control")
	b, err := os.ReadFile(path)
	if err != nil {
		return ControlData{}, fmt.Errorf("read control file: %w", err)
	}
	return parseControlData(b, path)
}

func parseControlData(b []byte, path string) (ControlData, error) {
	// PG_CONTROL_FILE_SIZE is 8192 since 8.4; only the first 300 or so bytes are used.
	if len(b) < 32 {
		return ControlData{}, fmt.Errorf("control file %s has only %d bytes", path, len(b))
	}
	ne := binary.NativeEndian
	c := ControlData{
		SystemID:       ne.Uint64(b[0:]),
		ControlVersion: ne.Uint32(b[8:]),
		CatalogVersion: ne.Uint32(b[12:]),
		State:          State(ne.Uint32(b[16:])),
		Modified:       time.Unix(int64(ne.Uint64(b[24:])), 0),
	}
	if c.ControlVersion < 800 || c.ControlVersion > 99999 || int(c.State) >= len(stateNames) {
		return ControlData{}, fmt.Errorf("control file %s is damaged or of another machine (version %d, state %d)", path, c.ControlVersion, c.State)
	}
	return c, nil
}

// DirVersion returns the major version that made the data directory dir, from PG_VERSION:
// "17", "9.6". The error wraps engines.ErrNotExist if there is no PG_VERSION.
func DirVersion(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", dir, engines.ErrNotExist)
	}
	if err != nil {
		return "", fmt.Errorf("read version of data directory: %w", err)
	}
	text := strings.TrimSpace(string(b))
	v, err := ParseVersion(text)
	if err != nil || v.Major() != text {
		return "", fmt.Errorf("%s is not a data directory: its PG_VERSION says %.20q", dir, text)
	}
	return text, nil
}
