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
		if s.Env == "" {
			continue // an array of tables, which is shown behind the sections
		}
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
	for f := range fields(root.Type()) {
		if isSection(f.typ) {
			writeTables(t, &b, f.typ, []string{f.name})
		}
	}
	return b.String()
}

// writeTables writes an element of each array of tables in a section.
func writeTables(t *testing.T, b *strings.Builder, section reflect.Type, path []string) {
	for f := range fields(section) {
		if !isTables(f.typ) {
			continue
		}
		p := append(append([]string{}, path...), f.name)
		docs := commentsOf(t, f.typ.Elem())
		fmt.Fprintf(b, "\n%s#[[%s]]\n", comment(fieldDoc(t, commentsOf(t, section), section.Field(f.index))), joinKey(p...))
		for key := range fields(f.typ.Elem()) {
			v := reflect.New(key.typ).Elem()
			if key.typ.Kind() == reflect.Pointer {
				v = reflect.New(key.typ.Elem()).Elem()
			}
			fmt.Fprintf(b, "\n%s#%s = %s\n", comment(fieldDoc(t, docs, f.typ.Elem().Field(key.index))), key.name, format(plain("", v)))
		}
	}
}

// fieldDoc is a field's comment without the field's name in front.
func fieldDoc(t *testing.T, docs map[string]string, f reflect.StructField) string {
	doc := strings.TrimPrefix(docs[f.Name], f.Name+" ")
	if doc == "" {
		t.Errorf("%s has no comment", f.Name)
	}
	for _, verb := range []string{"Is ", "Are ", "is ", "are "} {
		doc = strings.TrimPrefix(doc, verb)
	}
	return capital(doc)
}

func writeSection(t *testing.T, b *strings.Builder, v reflect.Value, path []string) {
	docs := commentsOf(t, v.Type())
	fmt.Fprintf(b, "\n%s[%s]\n", comment(docs[""]), joinKey(path...))
	for f := range fields(v.Type()) {
		p := append(append([]string{}, path...), f.name)
		if isSection(f.typ) || isTables(f.typ) || isNamed(f.typ) {
			continue
		}
		doc := fieldDoc(t, docs, v.Type().Field(f.index))
		field := v.Field(f.index)
		if f.typ.Kind() == reflect.Pointer {
			field = reflect.New(f.typ.Elem()).Elem()
		}
		value := format(plain("", field))
		fmt.Fprintf(b, "\n%s# Variable: %s\n#%s = %s\n", comment(doc), envNames(p), f.name, value)
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
