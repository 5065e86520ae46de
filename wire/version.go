package wire

import (
	"fmt"
	"slices"
)

// A Version is a protocol version: the major number in the high 16 bits, the minor in the
// low ones.
type Version uint32

// The versions that this package speaks, and one that nobody does.
const (
	Version30 Version = 3 << 16
	Version32 Version = 3<<16 | 2
	// VersionGrease asks for more than there will ever be. A client that sends it finds
	// out whether the path to the server can negotiate (PG_PROTOCOL_GREASE).
	VersionGrease Version = 3<<16 | 9999
)

// MakeVersion returns the version with the given numbers.
func MakeVersion(major, minor uint16) Version { return Version(major)<<16 | Version(minor) }

// Major returns the major number.
func (v Version) Major() int { return int(v >> 16) }

// Minor returns the minor number.
func (v Version) Minor() int { return int(v & 0xffff) }

// String returns, for instance, "3.2".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major(), v.Minor()) }

// A NegotiateProtocolVersion is what a server sends before authentication when it does not
// know the minor version or some protocol option ("_pq_." and a name) that a client asked
// for. The client goes on with what is offered or closes the connection.
type NegotiateProtocolVersion struct {
	// Version is the newest that the server speaks, at most the requested one. Servers
	// send the whole number; a value below 1<<16 is a minor number of protocol 3.
	Version      Version
	Unrecognized []string // names of options, with their prefix
}

func (*NegotiateProtocolVersion) backend() {}

// AppendTo appends the message to b.
func (m *NegotiateProtocolVersion) AppendTo(b []byte) []byte {
	b, at := Begin(b, TypeNegotiateProtocolVersion)
	b = appendUint32(b, uint32(m.Version))
	b = appendUint32(b, uint32(len(m.Unrecognized)))
	for _, s := range m.Unrecognized {
		b = appendString(b, s, "NegotiateProtocolVersion")
	}
	return end(b, at)
}

// Decode reads the message from its body.
func (m *NegotiateProtocolVersion) Decode(body []byte) error {
	c := newCursor("NegotiateProtocolVersion", body)
	m.Version = Version(c.uint32())
	n := c.int32()
	if n < 0 || int(n) > c.left() {
		c.fail("insufficient data left in message")
		n = 0
	}
	m.Unrecognized = m.Unrecognized[:0]
	for range n {
		if c.err != nil {
			break
		}
		var s string
		c.string(&s)
		m.Unrecognized = append(m.Unrecognized, s)
	}
	return c.end()
}

// Negotiate decides, for a server that speaks 3.0 to newest and knows the given protocol
// options (names with their "_pq_." prefix), on the version of a session. The answer is
// nil when the client asked for nothing unknown; else it is sent before the
// authentication request. Another major version is an [*Error] with code 0A000.
func Negotiate(m *StartupMessage, newest Version, options ...string) (Version, *NegotiateProtocolVersion, error) {
	if m.Version.Major() != 3 {
		// As ProcessStartupPacket in postmaster/postmaster.c.
		e := Errorf(CodeFeatureNotSupported, "unsupported frontend protocol %v: server supports %v to %v", m.Version, Version30, newest)
		e.Severity = SeverityFatal
		return 0, nil, e
	}
	version := min(m.Version, newest)
	var unknown []string
	for _, p := range m.Params {
		if p.IsProtocolOption() && !slices.Contains(options, p.Name) && !slices.Contains(unknown, p.Name) {
			unknown = append(unknown, p.Name)
		}
	}
	if version == m.Version && len(unknown) == 0 {
		return version, nil, nil
	}
	return version, &NegotiateProtocolVersion{Version: version, Unrecognized: unknown}, nil
}

// Accept checks, for a client, a server's answer to startup message m, and returns the
// version to go on with. The rules are those of pqGetNegotiateProtocolVersion3 in
// fe-protocol3.c: not more than was asked for, not less than 3.0, only options that were
// asked for, and not an answer that changes nothing. oldest is the lowest version that the
// client wants, for instance [Version30].
func (m *NegotiateProtocolVersion) Accept(asked *StartupMessage, oldest Version) (Version, error) {
	v := m.Version
	if v.Major() == 0 {
		v |= Version30
	}
	bad := func(format string, args ...any) (Version, error) {
		return 0, Errorf(CodeProtocolViolation, "invalid NegotiateProtocolVersion message: "+format, args...)
	}
	switch {
	case v > asked.Version:
		return bad("server wants protocol %v, which is newer than the requested %v", v, asked.Version)
	case v.Major() != 3:
		return bad("server wants protocol %v", v)
	case v == MakeVersion(3, 1):
		return bad("server wants protocol 3.1, which does not exist")
	case v == asked.Version && len(m.Unrecognized) == 0:
		return bad("it negotiates nothing")
	case v < oldest:
		return 0, Errorf(CodeFeatureNotSupported, "server speaks protocol %v, but at least %v is wanted", v, oldest)
	}
	for _, name := range m.Unrecognized {
		if _, ok := asked.Get(name); !ok || !(Param{Name: name}).IsProtocolOption() {
			return bad("server refuses the option %.60q, which was not requested", name)
		}
	}
	return v, nil
}
