package guest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The package's libraries for conversions between encodings call functions that its
// pglite.wasm neither has nor imports: those of mb/conv.c and of mbutils.c that they need
// are here. What is needed for multibyte encodings other than UTF8 is not: text in them
// from a client is refused, text to a client is converted.

// conversionCalls are these functions, by import name.
func conversionCalls(name string) (func(in *Instance, s []uint64), bool) {
	switch name {
	case "UtfToLocal":
		return (*Instance).utfToLocal, true
	case "LocalToUtf":
		return (*Instance).localToUtf, true
	case "pg_utf8_islegal":
		return func(in *Instance, s []uint64) {
			b := in.bytes(uint32(s[0]), uint32(s[1]))
			s[0] = 0
			if r, n := utf8.DecodeRune(b); n == len(b) && (r != utf8.RuneError || n > 1) {
				s[0] = 1
			}
		}, true
	case "report_invalid_encoding":
		return func(in *Instance, s []uint64) {
			panic(in.invalidText(uint32(s[0]), in.bytes(uint32(s[1]), uint32(s[2]))))
		}, true
	case "report_untranslatable_char":
		return func(in *Instance, s []uint64) {
			panic(in.untranslatable(uint32(s[0]), uint32(s[1]), in.bytes(uint32(s[2]), uint32(s[3]))))
		}, true
	}
	return nil, false
}

func (in *Instance) bytes(at, n uint32) []byte {
	b, _ := in.Memory().Read(at, n)
	return b
}

// A conversion is the arguments of UtfToLocal and LocalToUtf.
type conversion struct {
	src, dst           uint32
	size               uint32 // of the source
	tree               uint32 // pg_mb_radix_tree *, or 0
	combined, nCombine uint32 // pairs of characters that are one elsewhere
	function           uint32 // slot of utf_local_conversion_func, or 0
	encoding           uint32 // of the text that is not UTF8
	noError            bool
}

func conversionOf(s []uint64) conversion {
	return conversion{
		src: uint32(s[0]), size: uint32(s[1]), dst: uint32(s[2]), tree: uint32(s[3]), combined: uint32(s[4]), nCombine: uint32(s[5]),
		function: uint32(s[6]), encoding: uint32(s[7]), noError: uint32(s[8]) != 0,
	}
}

// utfToLocal converts UTF8, and returns how many bytes of it were converted.
func (in *Instance) utfToLocal(s []uint64) {
	c := conversionOf(s)
	text := in.bytes(c.src, c.size)
	var out []byte
	done := 0
	for done < len(text) {
		rest := text[done:]
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			if !c.noError {
				panic(in.invalidText(encodingUTF8, rest))
			}
			break
		}
		if n == 1 {
			out = append(out, rest[0])
			done++
			continue
		}
		code := uint32(0)
		if r, m := utf8.DecodeRune(rest[n:]); c.nCombine > 0 && m > 1 && r != utf8.RuneError {
			// struct pg_utf_to_local_combined: utf1, utf2, code
			if code = in.search(c, 12, 8, word(rest[:n]), word(rest[n:n+m])); code != 0 {
				n += m
			}
		}
		if code == 0 {
			code = in.convert(c, rest[:n])
		}
		if code == 0 {
			if !c.noError {
				panic(in.untranslatable(encodingUTF8, c.encoding, rest))
			}
			break
		}
		out = append(out, stored(code)...)
		done += n
	}
	in.Memory().Write(c.dst, append(out, 0))
	s[0] = uint64(uint32(done))
}

// localToUtf converts text of an encoding with one byte for each character to UTF8.
func (in *Instance) localToUtf(s []uint64) {
	c := conversionOf(s)
	const firstSingle, lastSingle = 8, 34 // PG_LATIN1 to PG_KOI8U
	text := in.bytes(c.src, c.size)
	var out []byte
	done := 0
	for ; done < len(text); done++ {
		b := text[done]
		switch {
		case b < utf8.RuneSelf && b != 0:
			out = append(out, b)
			continue
		case b == 0:
			if !c.noError {
				panic(in.invalidText(c.encoding, text[done:]))
			}
		case c.encoding < firstSingle || c.encoding > lastSingle:
			panic(in.raise("0A000", "text in encoding "+encodingName(c.encoding)+" cannot be read by this build of PostgreSQL; send UTF8"))
		default:
			if code := in.convert(c, text[done:done+1]); code != 0 {
				out = append(out, stored(code)...)
				continue
			}
			if !c.noError {
				panic(in.untranslatable(c.encoding, encodingUTF8, text[done:]))
			}
		}
		break
	}
	in.Memory().Write(c.dst, append(out, 0))
	s[0] = uint64(uint32(done))
}

// convert looks a character up, 0 if it has no equivalent.
func (in *Instance) convert(c conversion, char []byte) uint32 {
	if c.tree != 0 {
		if code := in.radix(c.tree, char); code != 0 {
			return code
		}
	}
	if c.function == 0 {
		return 0
	}
	i32 := []byte{0x7f}
	f := in.takeSlot(c.function, i32, i32)
	stack := [1]uint64{uint64(word(char))}
	err := f.CallWithStack(in.ctx, stack[:])
	in.giveSlot(c.function, f)
	if err != nil {
		panic(err)
	}
	return uint32(stack[0])
}

// radix looks a character up in a pg_mb_radix_tree (mb/pg_wchar.h): for each length of
// characters it has a root, and a range for each byte.
func (in *Instance) radix(tree uint32, char []byte) uint32 {
	n := len(char)
	if n < 1 || n > 4 {
		return 0
	}
	at := tree + [...]uint32{0, 8, 16, 24, 36}[n]
	ranges := in.bytes(at+4, uint32(2*n))
	wide := in.Load(tree + 4)
	index := in.Load(at)
	for i, b := range char {
		if b < ranges[2*i] || b > ranges[2*i+1] {
			return 0
		}
		index += uint32(b) - uint32(ranges[2*i])
		if wide != 0 {
			index = in.Load(wide + 4*index)
			continue
		}
		v, _ := in.Memory().ReadUint16Le(in.Load(tree) + 2*index)
		index = uint32(v)
	}
	return index
}

// search looks for a pair in a list of structs that begin with it; value is the offset of
// what is wanted.
func (in *Instance) search(c conversion, size, value, first, second uint32) uint32 {
	for i := range c.nCombine {
		at := c.combined + i*size
		if in.Load(at) == first && in.Load(at+4) == second {
			return in.Load(at + value)
		}
	}
	return 0
}

// word is a character as a number, its last byte lowest.
func word(char []byte) uint32 {
	var b [4]byte
	copy(b[4-len(char):], char)
	return binary.BigEndian.Uint32(b[:])
}

// stored is the reverse of word.
func stored(code uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, code)
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func (in *Instance) invalidText(encoding uint32, text []byte) error {
	return in.raise("22021", fmt.Sprintf("invalid byte sequence for encoding %q: %s", encodingName(encoding), shown(encoding, text)))
}

func (in *Instance) untranslatable(from, to uint32, text []byte) error {
	return in.raise("22P05", fmt.Sprintf("character with byte sequence %s in encoding %q has no equivalent in encoding %q", shown(from, text), encodingName(from), encodingName(to)))
}

// shown writes the bytes of a text's first character.
func shown(encoding uint32, text []byte) string {
	n := 1
	if encoding == encodingUTF8 && len(text) > 0 {
		switch b := text[0]; {
		case b >= 0xf0:
			n = 4
		case b >= 0xe0:
			n = 3
		case b >= 0xc0:
			n = 2
		}
	}
	var out []string
	for _, b := range text[:min(n, len(text))] {
		out = append(out, fmt.Sprintf("0x%02x", b))
	}
	return strings.Join(out, " ")
}

const encodingUTF8 = 6 // PG_UTF8

// encodingName returns the name of an encoding, pg_enc of PostgreSQL 18 (mb/pg_wchar.h).
func encodingName(n uint32) string {
	names := [...]string{
		"SQL_ASCII", "EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004", "UTF8", "MULE_INTERNAL", "LATIN1", "LATIN2", "LATIN3",
		"LATIN4", "LATIN5", "LATIN6", "LATIN7", "LATIN8", "LATIN9", "LATIN10", "WIN1256", "WIN1258", "WIN866", "WIN874", "KOI8R",
		"WIN1251", "WIN1252", "ISO_8859_5", "ISO_8859_6", "ISO_8859_7", "ISO_8859_8", "WIN1250", "WIN1253", "WIN1254", "WIN1255",
		"WIN1257", "KOI8U", "SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004",
	}
	if int(n) < len(names) {
		return names[n]
	}
	return ""
}
