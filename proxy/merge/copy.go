package merge

import (
	"encoding/binary"

	"github.com/pgx-dev/pgx-dev/wire"
)

// CopyHeader returns what stands before the rows in the data of COPY in format f.
func CopyHeader(f wire.Format) []byte {
	if f == wire.Text {
		return nil
	}
	// Signature, flags, length of the header's extension (COPY, "Binary Format").
	return append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)
}

// CopyTrailer returns what stands after the rows.
func CopyTrailer(f wire.Format) []byte {
	if f == wire.Text {
		return nil
	}
	return []byte{0xFF, 0xFF}
}

// AppendCopy appends a DataRow's body as COPY FROM STDIN reads it, with its default options
// or WITH (FORMAT binary): how the rows of a [gather.Relation] reach a server that does a
// Finish. All columns must have the format f.
func AppendCopy(dst, body []byte, f wire.Format) ([]byte, error) {
	if len(body) < 2 {
		return dst, badRow()
	}
	n := int(binary.BigEndian.Uint16(body))
	start, at := len(dst), 2
	for i := range n {
		end, ok := skip(body, at)
		if !ok {
			return dst[:start], badRow()
		}
		if f == wire.Text {
			if i > 0 {
				dst = append(dst, '\t')
			}
			dst = appendCopyText(dst, body[at:at+4], body[at+4:end])
		}
		at = end
	}
	if at != len(body) {
		return dst[:start], badRow()
	}
	if f == wire.Binary {
		return append(dst, body...), nil // a tuple there is what a DataRow is here
	}
	return append(dst, '\n'), nil
}

// appendCopyText appends one value, escaped (CopyAttributeOutText in copyto.c).
func appendCopyText(dst, size, value []byte) []byte {
	if binary.BigEndian.Uint32(size) == null {
		return append(dst, '\\', 'N')
	}
	for _, c := range value {
		switch c {
		case '\\':
			dst = append(dst, '\\', '\\')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\v':
			dst = append(dst, '\\', 'v')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
