package main

import (
	"strings"
	"testing"
)

func TestSummarize(t *testing.T) {
	const (
		pass    = `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN TestA\n"}` + "\n" + `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.5}` + "\n"
		fail    = `{"Action":"output","Package":"p","Test":"TestB","Output":"b is wrong\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n"
		skip    = `{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
		hang    = `{"Action":"run","Package":"p","Test":"TestD"}` + "\n" + `{"Action":"output","Package":"p","Test":"TestD","Output":"=== RUN TestD\n"}` + "\n"
		noTests = `{"Action":"skip","Package":"q"}` + "\n"
		pkgFail = `{"Action":"output","Package":"p","Output":"panic: x\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
		pkgOK   = `{"Action":"pass","Package":"p","Elapsed":1}` + "\n"
	)
	for _, tt := range []struct {
		name, in string
		err      string   // part of the error; "" for none
		out      []string // parts of the output
	}{
		{"passed", pass + pkgOK + noTests, "", []string{"ok    p", "2 packages, 1 tests passed, 0 failed, 0 skipped"}},
		{"failed", pass + fail + pkgFail, "1 tests and 1 packages failed", []string{"b is wrong", "failed:  p TestB"}},
		{"skipped", pass + skip + pkgOK, "1 tests were skipped", []string{"skipped: p TestC"}},
		{"did not build", `{"Action":"build-output","ImportPath":"p","Output":"undefined: x\n"}` + "\n" + pkgFail, "1 packages failed", []string{"undefined: x", "panic: x"}},
		{"did not end", hang + pkgFail, "0 tests and 1 packages failed", []string{"=== RUN TestD", "did not end: p TestD"}},
		{"nothing", noTests, "no test was run", nil},
		{"no JSON", "go: cannot find module\n", "no test was run", []string{"cannot find module"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := summarize(strings.NewReader(tt.in), &out)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if (got == "") != (tt.err == "") || !strings.Contains(got, tt.err) {
				t.Errorf("error %q, want %q", got, tt.err)
			}
			for _, part := range tt.out {
				if !strings.Contains(out.String(), part) {
					t.Errorf("%q is not in:\n%s", part, out.String())
				}
			}
		})
	}
}
