package native

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pgx-dev/pgx-dev/engines"
)

// defaultPort is in the name of every unix socket; it is no TCP port.
const defaultPort = 5432

// checkSpec refuses what cannot be started, before anything is touched.
func checkSpec(spec engines.Spec) error {
	if err := engines.CheckParams(spec.Params); err != nil {
		return err
	}
	for what, text := range map[string]string{"directory": spec.Dir, "template": spec.Template} {
		if strings.ContainsAny(text, "\x00\n\r") {
			// postmaster.pid has one line for it.
			return fmt.Errorf("the name of the %s, %q, has a line break or a zero byte", what, text)
		}
	}
	if spec.MustExist && spec.Dir == "" {
		return fmt.Errorf("a temporary cluster cannot exist before: %w", engines.ErrNotExist)
	}
	if _, err := ParseConstraint(spec.Version); err != nil {
		return err
	}
	if spec.TCP != "" {
		if _, err := parseTCP(spec.TCP); err != nil {
			return err
		}
	}
	return nil
}

// parseTCP reads Spec.TCP.
func parseTCP(s string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("bad TCP address %q: want host:port: %w", s, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.IsLoopback() {
		return netip.AddrPort{}, fmt.Errorf("bad TCP address %q: only loopback addresses are listened on, such as 127.0.0.1:5432", s)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("bad TCP port in %q: want a number from 0 to 65535", s)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

// postgresArgs returns postgres' arguments. Settings on the command line beat
// postgresql.conf and postgresql.auto.conf, and last for this run only.
func postgresArgs(v Version, dir, socketDir string, port int, listen string, spec engines.Spec) []string {
	args := []string{"-D", dir}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	set("listen_addresses", listen)
	set("port", strconv.Itoa(port))
	if v.Num() >= 90300 {
		set("unix_socket_directories", quoteListItem(socketDir))
	} else {
		set("unix_socket_directory", socketDir)
	}
	set("unix_socket_permissions", "0700")
	set("logging_collector", "off")
	set("log_destination", "stderr")
	// The log is read for the cause when a start fails.
	set("lc_messages", "C")
	if v.Num() >= 100000 && v.Num() < 140000 {
		// From 14 on it is the default, and our pg_hba.conf wants it for TCP.
		set("password_encryption", "scram-sha-256")
	}
	if strings.HasPrefix(dir, "/dev/shm/") && v.Num() >= 90400 {
		// The directory is in memory already, and what a killed server leaves goes with it.
		set("dynamic_shared_memory_type", "mmap")
	}
	if spec.Fast {
		for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			set(name, "off")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Params)) {
		set(name, spec.Params[name])
	}
	return args
}

// quoteListItem quotes a name for a comma-separated list setting (SplitDirectoriesString
// in varlena.c), if it needs that.
func quoteListItem(s string) string {
	if !strings.ContainsAny(s, ", \"") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
