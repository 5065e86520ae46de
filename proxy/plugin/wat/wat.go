// Package wat assembles WebAssembly's text format, as far as tests of plugins need it.
package wat

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Assemble makes a module of WebAssembly's text format, as far as the plugins of these tests
// need it: folded instructions, one memory, functions, globals, data.
func Assemble(t testing.TB, text string) []byte {
	t.Helper()
	a := &assembler{funcs: map[string]int{}, globals: map[string]int{}, types: map[string]int{}}
	toks := tokens(text)
	root, rest := parse(toks)
	if len(rest) > 0 {
		t.Fatalf("behind the module: %v", rest)
	}
	b, err := a.module(root)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// AssembleFile is Assemble for a file.
func AssembleFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return Assemble(t, string(b))
}

// A node is a list or a word.
type node struct {
	word string
	list []node
}

func (n node) head() string {
	if len(n.list) > 0 {
		return n.list[0].word
	}
	return n.word
}

func tokens(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		for i := 0; i < len(line); {
			switch c := line[i]; {
			case strings.HasPrefix(line[i:], ";;"):
				i = len(line)
			case c == '(' || c == ')':
				out = append(out, string(c))
				i++
			case c == '"':
				end := i + 1 + strings.IndexByte(line[i+1:], '"')
				out = append(out, line[i:end+1])
				i = end + 1
			case c <= ' ':
				i++
			default:
				n := strings.IndexAny(line[i:], " \t\r\n()")
				if n < 0 {
					n = len(line) - i
				}
				out = append(out, line[i:i+n])
				i += n
			}
		}
	}
	return out
}

func parse(toks []string) (node, []string) {
	if toks[0] != "(" {
		return node{word: toks[0]}, toks[1:]
	}
	n := node{list: []node{}}
	for toks = toks[1:]; toks[0] != ")"; {
		var child node
		child, toks = parse(toks)
		n.list = append(n.list, child)
	}
	return n, toks[1:]
}

type assembler struct {
	types                            map[string]int
	typeSec, importSec, funcSec      [][]byte
	exportSec, globalSec, code, data [][]byte
	memory                           []byte
	funcs, globals                   map[string]int
	nfuncs                           int
}

func uleb(v uint64) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		if v >>= 7; v == 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func sleb(v int64) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func name(s string) []byte {
	s = strings.Trim(s, `"`)
	return append(uleb(uint64(len(s))), s...)
}

func valtype(s string) byte {
	if s == "i64" {
		return 0x7e
	}
	return 0x7f
}

func (a *assembler) typeIndex(params, results []byte) int {
	key := string(params) + "-" + string(results)
	if i, ok := a.types[key]; ok {
		return i
	}
	b := append([]byte{0x60}, uleb(uint64(len(params)))...)
	b = append(append(b, params...), uleb(uint64(len(results)))...)
	a.typeSec = append(a.typeSec, append(b, results...))
	a.types[key] = len(a.typeSec) - 1
	return a.types[key]
}

func (a *assembler) module(root node) ([]byte, error) {
	var funcs []node
	for _, n := range root.list[1:] {
		switch n.head() {
		case "import":
			f := n.list[3]
			if f.head() == "memory" {
				a.importSec = append(a.importSec, slices.Concat(name(n.list[1].word), name(n.list[2].word), []byte{2, 0, 1}))
				continue
			}
			fn := a.signature(f)
			a.funcs[fn.name] = a.nfuncs
			a.nfuncs++
			a.importSec = append(a.importSec, slices.Concat(name(n.list[1].word), name(n.list[2].word), []byte{0}, uleb(uint64(fn.typ))))
		case "memory":
			for _, x := range n.list[1:] {
				if x.head() == "export" {
					a.exportSec = append(a.exportSec, append(name(x.list[1].word), 2, 0))
				}
			}
			pages, _ := strconv.ParseUint(n.list[len(n.list)-1].word, 0, 32)
			a.memory = append([]byte{0}, uleb(pages)...)
		case "global":
			a.globals[n.list[1].word] = len(a.globalSec)
			init, _ := strconv.ParseInt(n.list[3].list[1].word, 0, 64)
			a.globalSec = append(a.globalSec, slices.Concat([]byte{valtype(n.list[2].list[1].word), 1, 0x41}, sleb(init), []byte{0x0b}))
		case "data":
			at, _ := strconv.ParseInt(n.list[1].list[1].word, 0, 64)
			a.data = append(a.data, slices.Concat([]byte{0, 0x41}, sleb(at), []byte{0x0b}, name(n.list[2].word)))
		case "func":
			funcs = append(funcs, n)
		default:
			return nil, fmt.Errorf("no such field: %s", n.head())
		}
	}
	for i, n := range funcs {
		if fn := a.signature(n); fn.name != "" {
			a.funcs[fn.name] = a.nfuncs + i
		}
	}
	for i, n := range funcs {
		if err := a.function(n, a.nfuncs+i); err != nil {
			return nil, err
		}
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	sections := map[byte][][]byte{1: a.typeSec, 2: a.importSec, 3: a.funcSec, 6: a.globalSec, 7: a.exportSec, 10: a.code, 11: a.data}
	if a.memory != nil {
		sections[5] = [][]byte{a.memory}
	}
	for _, id := range slices.Sorted(maps.Keys(sections)) {
		if len(sections[id]) == 0 {
			continue
		}
		body := append(uleb(uint64(len(sections[id]))), slices.Concat(sections[id]...)...)
		out = append(append(append(out, id), uleb(uint64(len(body)))...), body...)
	}
	return out, nil
}

type signature struct {
	name, export string
	typ          int
	locals       map[string]int
	extra        []byte // types of locals beyond the parameters
	body         []node
}

func (a *assembler) signature(n node) signature {
	fn := signature{locals: map[string]int{}}
	var params, results []byte
	for _, x := range n.list[1:] {
		switch {
		case x.list == nil && strings.HasPrefix(x.word, "$") && len(fn.body) == 0:
			fn.name = x.word
		case x.head() == "export":
			fn.export = x.list[1].word
		case x.head() == "param":
			fn.locals[x.list[1].word] = len(fn.locals)
			params = append(params, valtype(x.list[2].word))
		case x.head() == "result":
			results = append(results, valtype(x.list[1].word))
		case x.head() == "local":
			fn.locals[x.list[1].word] = len(fn.locals)
			fn.extra = append(fn.extra, valtype(x.list[2].word))
		default:
			fn.body = append(fn.body, x)
		}
	}
	fn.typ = a.typeIndex(params, results)
	return fn
}

func (a *assembler) function(n node, index int) error {
	fn := a.signature(n)
	a.funcSec = append(a.funcSec, uleb(uint64(fn.typ)))
	if fn.export != "" {
		a.exportSec = append(a.exportSec, slices.Concat(name(fn.export), []byte{0}, uleb(uint64(index))))
	}
	body := uleb(uint64(len(fn.extra)))
	for _, t := range fn.extra {
		body = append(body, 1, t)
	}
	for _, x := range fn.body {
		b, err := a.instr(x, &fn)
		if err != nil {
			return err
		}
		body = append(body, b...)
	}
	body = append(body, 0x0b)
	a.code = append(a.code, append(uleb(uint64(len(body))), body...))
	return nil
}

func opcodes() map[string]byte {
	return map[string]byte{
		"unreachable": 0x00, "return": 0x0f, "drop": 0x1a, "i32.load": 0x28, "i32.load8_u": 0x2d, "i32.store": 0x36,
		"i32.eqz": 0x45, "i32.eq": 0x46, "i32.gt_u": 0x4b, "i32.add": 0x6a, "i32.sub": 0x6b, "i32.mul": 0x6c, "i32.div_u": 0x6e,
		"i32.rem_u": 0x70, "i32.and": 0x71, "i64.or": 0x84, "i64.shl": 0x86, "i64.extend_i32_u": 0xad,
		"memory.size": 0x3f, "memory.grow": 0x40,
	}
}

func (a *assembler) instr(n node, fn *signature) ([]byte, error) {
	var out []byte
	operands := func(list []node) error {
		for _, x := range list {
			b, err := a.instr(x, fn)
			if err != nil {
				return err
			}
			out = append(out, b...)
		}
		return nil
	}
	index := func(table map[string]int, op byte) ([]byte, error) {
		i, ok := table[n.list[1].word]
		if !ok {
			return nil, fmt.Errorf("no such name: %s", n.list[1].word)
		}
		err := operands(n.list[2:])
		return append(append(out, op), uleb(uint64(i))...), err
	}
	switch op := n.head(); op {
	case "i32.const", "i64.const":
		v, err := strconv.ParseInt(n.list[1].word, 0, 64)
		if err != nil {
			u, uerr := strconv.ParseUint(n.list[1].word, 0, 64)
			if uerr != nil {
				return nil, uerr
			}
			v = int64(u)
		}
		return append([]byte{map[byte]byte{'3': 0x41, '6': 0x42}[op[1]]}, sleb(v)...), nil
	case "local.get":
		return index(fn.locals, 0x20)
	case "local.set":
		return index(fn.locals, 0x21)
	case "global.get":
		return index(a.globals, 0x23)
	case "global.set":
		return index(a.globals, 0x24)
	case "call":
		return index(a.funcs, 0x10)
	case "if":
		err := operands(n.list[1:2])
		out = append(out, 0x04, 0x40)
		for i, x := range n.list[2:] {
			if i == 1 {
				out = append(out, 0x05)
			}
			if err == nil {
				err = operands(x.list[1:])
			}
		}
		return append(out, 0x0b), err
	case "forever": // (loop $l … (br $l))
		out = append(out, 0x03, 0x40)
		err := operands(n.list[1:])
		return append(out, 0x0c, 0, 0x0b), err
	default:
		code, ok := opcodes()[op]
		if !ok {
			return nil, fmt.Errorf("no such instruction: %s", op)
		}
		args, offset := n.list[1:], uint64(0)
		if len(args) > 0 && strings.HasPrefix(args[0].word, "offset=") {
			offset, _ = strconv.ParseUint(strings.TrimPrefix(args[0].word, "offset="), 0, 32)
			args = args[1:]
		}
		err := operands(args)
		out = append(out, code)
		switch code {
		case 0x28, 0x2d, 0x36:
			out = append(append(out, 0), uleb(offset)...)
		case 0x3f, 0x40:
			out = append(out, 0)
		}
		return out, err
	}
}
