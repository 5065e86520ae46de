package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite sample.toml from the structs and their comments")

// TestSample holds sample.toml equal to what the structs and their comments say.
func TestSample(t *testing.T) {
	got := generateSample(t)
	if *update {
		if err := os.WriteFile("sample.toml", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Errorf("sample.toml is out of date: run go test ./config -run 'TestSample$' -update\n%s", diff)
	}
}

// TestSampleLoads checks that the sample changes nothing as it is, and that it still gives
// the defaults when every key in it is taken out of its comment.
func TestSampleLoads(t *testing.T) {
	if got := loadString(t, sample).File; !cmp.Equal(got, Default()) {
		t.Errorf("the sample is not the default:\n%s", cmp.Diff(Default(), got))
	}

	uncommented := regexp.MustCompile(`(?m)^#(\w+ = )`).ReplaceAllString(sample, "$1")
	uncommented = strings.Split(uncommented, "#[clusters.")[0]
	if n := strings.Count(uncommented, "\n"+"auto = true"); n != 1 {
		t.Fatalf("uncommenting did not work (%d):\n%s", n, uncommented)
	}
	got := loadString(t, uncommented)
	for _, s := range got.Settings() {
		if !strings.HasPrefix(s.Origin, "pgx-dev.toml:") {
			if want := reflectDefault(s.Key); want != "{}" {
				t.Errorf("%s is not in the sample (%s)", s.Key, s.Origin)
			}
		}
	}
	want := loadString(t, "")
	defaults := map[string]string{}
	for _, s := range want.Settings() {
		defaults[s.Key] = s.Text()
	}
	for _, s := range got.Settings() {
		if d := defaults[s.Key]; s.Text() != d && d != "(unset)" {
			t.Errorf("%s: the sample says %s, the default is %s", s.Key, s.Text(), d)
		}
	}
}

func reflectDefault(key string) string {
	for _, s := range (&Config{File: Default()}).Settings() {
		if s.Key == key {
			return s.Text()
		}
	}
	return ""
}

func generateSample(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# pgx-dev.toml: the configuration of pgx-dev. Every key is optional; what stands behind the
# "#" is the default. A variable in the environment is stronger than this file, a flag
# (pgx-dev -o KEY=VALUE) stronger than both. "pgx-dev config show" tells what is in effect,
# "pgx-dev config check" what is wrong, "pgx-dev help config" the rest.
`)
	root := reflect.ValueOf(Default())
	for f := range fields(root.Type()) {
		if isSection(f.typ) {
			writeSection(t, &b, root.Field(f.index), []string{f.name})
		}
	}
	b.WriteString(`
# One cluster's own settings: any key of [cluster], for the cluster of this name.
#[clusters.main]
#database = "app"
`)
	return b.String()
}

func writeSection(t *testing.T, b *strings.Builder, v reflect.Value, path []string) {
	docs := commentsOf(t, v.Type())
	fmt.Fprintf(b, "\n%s[%s]\n", comment(docs[""]), joinKey(path...))
	for f := range fields(v.Type()) {
		p := append(append([]string{}, path...), f.name)
		if isSection(f.typ) || isTables(f.typ) || isNamed(f.typ) {
			continue
		}
		doc := strings.TrimPrefix(docs[v.Type().Field(f.index).Name], v.Type().Field(f.index).Name+" ")
		if doc == "" {
			t.Errorf("%s.%s has no comment", v.Type(), v.Type().Field(f.index).Name)
		}
		for _, verb := range []string{"Is ", "Are ", "is ", "are "} {
			doc = strings.TrimPrefix(doc, verb)
		}
		field := v.Field(f.index)
		if f.typ.Kind() == reflect.Pointer {
			field = reflect.New(f.typ.Elem()).Elem()
		}
		value := format(plain("", field))
		fmt.Fprintf(b, "\n%s# Variable: %s\n#%s = %s\n", comment(capital(doc)), envNames(p), f.name, value)
	}
	for f := range fields(v.Type()) {
		if isSection(f.typ) {
			writeSection(t, b, v.Field(f.index), append(append([]string{}, path...), f.name))
		}
	}
}

func envNames(path []string) string {
	return strings.Join(append([]string{envName(path)}, seedEnv(joinKey(path...))...), ", ")
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// comment writes text as TOML comments, with its lines as they are.
func comment(text string) string {
	if text == "" {
		return ""
	}
	return "# " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n# ") + "\n"
}

// commentsOf returns the comments of a struct type's fields, and under "" its own.
func commentsOf(t *testing.T, typ reflect.Type) map[string]string {
	dir, ok := strings.CutPrefix(typ.PkgPath(), "github.com/pgx-dev/pgx-dev/")
	if !ok {
		t.Fatalf("%s is not ours", typ)
	}
	files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok || ts.Name.Name != typ.Name() {
					continue
				}
				st, ok := ts.Type.(*ast.StructType)
				if !ok {
					continue
				}
				docs[""] = sectionDoc(gen.Doc.Text())
				for _, field := range st.Fields.List {
					for _, name := range field.Names {
						docs[name.Name] = field.Doc.Text()
					}
				}
			}
		}
	}
	if len(docs) == 0 {
		t.Fatalf("no comments found for %s", typ)
	}
	return docs
}

// sectionDoc keeps the first sentence: "Config says how a cluster is run."
func sectionDoc(doc string) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(doc, "\n", " "), ". ")
	first = strings.TrimSuffix(first, ".")
	return capital(strings.TrimPrefix(first, "Config says ")) + "."
}
