package native

import (
	"slices"
	"testing"
)

func TestParseVersion(t *testing.T) {
	tests := []struct {
		in, out, major string
		num            int
	}{
		{"17.10", "17.10", "17", 170010},
		{"15.4", "15.4", "15", 150004},
		{"16", "16.0", "16", 160000},
		{"9.6.3", "9.6.3", "9.6", 90603},
		{"9.6", "9.6.0", "9.6", 90600},
		{"18beta1", "18beta1", "18", 180000},
		{"19devel", "19devel", "19", 190000},
		{"10rc2", "10rc2", "10", 100000},
		{"9.5alpha2", "9.5alpha2", "9.5", 90500},
		{"", "", "", 0},
		{"15.", "", "", 0},
		{"15.4.1", "", "", 0},
		{"banana", "", "", 0},
		{"-1", "", "", 0},
		{"15.4 ", "", "", 0},
		{"99999999999999999999", "", "", 0},
	}
	for _, tt := range tests {
		v, err := ParseVersion(tt.in)
		if (err != nil) != (tt.out == "") {
			t.Errorf("%q: error %v", tt.in, err)
			continue
		}
		if err == nil && (v.String() != tt.out || v.Major() != tt.major || v.Num() != tt.num) {
			t.Errorf("%q: got %s of %s, number %d", tt.in, v, v.Major(), v.Num())
		}
	}
}

func TestVersionOrder(t *testing.T) {
	inOrder := []string{"8.4.22", "9.6.3", "9.6.24", "10rc1", "10.0", "10.2", "10.10", "15.4", "18devel", "18alpha3", "18beta1", "18beta10", "18rc1", "18.0", "18.4"}
	var versions []Version
	for _, s := range inOrder {
		v, err := ParseVersion(s)
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	for i, a := range versions {
		for j, b := range versions {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("compare %s with %s: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestParseVersionOutput(t *testing.T) {
	for out, want := range map[string]string{
		"postgres (PostgreSQL) 15.4 (Debian 15.4-1.pgdg120+1)\n": "15.4",
		"postgres (PostgreSQL) 17.10\n":                          "17.10",
		"postgres (PostgreSQL) 9.4.22":                           "9.4.22",
		"postgres (PostgreSQL) 19devel":                          "19devel",
		"postgres (PostgreSQL)":                                  "unknown",
		"hello":                                                  "unknown",
		"":                                                       "unknown",
	} {
		v, err := parseVersionOutput(out)
		if v.String() != want || (err != nil) != (want == "unknown") {
			t.Errorf("%q: got %s, %v", out, v, err)
		}
	}
}

func TestConstraint(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	tests := []struct {
		constraint string
		matches    []string // version or directory
		not        []string
	}{
		{"", []string{"15.4", "9.6.3", "18beta1", "/anywhere/bin"}, nil},
		{"16", []string{"16.0", "16.14", "16beta1"}, []string{"15.16", "9.6.16", "17.0"}},
		{"15.4", []string{"15.4"}, []string{"15.40", "15.5", "15.0"}},
		{"9.6", []string{"9.6.0", "9.6.24"}, []string{"9.5.6", "10.0"}},
		{"9", []string{"9.6.3", "9.0.1"}, []string{"10.9", "19.0"}},
		{"9.6.3", []string{"9.6.3"}, []string{"9.6.4", "9.6.30"}},
		{"18beta1", []string{"18beta1"}, []string{"18.0", "18beta2", "18devel"}},
		{"/usr/lib/postgresql/*/bin", []string{"/usr/lib/postgresql/15/bin"}, []string{"/usr/lib/postgresql/15/x/bin", "/usr/local/bin", "15.4"}},
		{"/opt/**/bin", []string{"/opt/bin", "/opt/a/b/bin"}, []string{"/opt/a/b", "/opt/a/bins"}},
		{"/opt/**", []string{"/opt/a/b"}, []string{"/optional"}},
		{"/pg/{14,15}/b?n", []string{"/pg/14/bin", "/pg/15/bän", "/pg/15/ban"}, []string{"/pg/16/bin", "/pg/{14,15}/bin", "/pg/14/b/n"}},
		{"/a.b/c+d/", []string{"/a.b/c+d"}, []string{"/aXb/c+d", "/a.b/ccd"}},
		{"~/pg/bin", []string{"/home/me/pg/bin"}, []string{"~/pg/bin"}},
		{"/grün/*", []string{"/grün/bin"}, []string{"/grun/bin"}},
	}
	for _, tt := range tests {
		c, err := ParseConstraint(tt.constraint)
		if err != nil {
			t.Errorf("%q: %v", tt.constraint, err)
			continue
		}
		match := func(text string) bool {
			v, err := ParseVersion(text)
			if err != nil {
				return c.Match(Runtime{Bindir: text})
			}
			return c.Match(Runtime{Version: v, Bindir: "/x"})
		}
		for _, text := range tt.matches {
			if !match(text) {
				t.Errorf("%q does not match %s", tt.constraint, text)
			}
		}
		for _, text := range tt.not {
			if match(text) {
				t.Errorf("%q matches %s", tt.constraint, text)
			}
		}
	}
	for _, bad := range []string{"x", "15.4.1", "16.", ".5", "latest", "/a/{b", "/a/b}", "15 4"} {
		if c, err := ParseConstraint(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, c)
		}
	}
}

func TestAllowsMajor(t *testing.T) {
	for _, tt := range []struct {
		constraint, major string
		want              bool
	}{
		{"15.4", "15", true},
		{"15", "15", true},
		{"16", "15", false},
		{"9.6.3", "9.6", true},
		{"9.5", "9.6", false},
		{"9", "9.6", true},
		{"/some/dir", "15", true},
		{"", "12", true},
	} {
		c, err := ParseConstraint(tt.constraint)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ParseVersion(tt.major)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.allowsMajor(v); got != tt.want {
			t.Errorf("%q allows major %s: %t", tt.constraint, tt.major, got)
		}
	}
}

func TestExpandBraces(t *testing.T) {
	for in, want := range map[string][]string{
		"/a/b":           {"/a/b"},
		"/{a,b}/{c,}d":   {"/a/cd", "/a/d", "/b/cd", "/b/d"},
		"/{a":            {"/{a"},
		"/usr/{x}/*/bin": {"/usr/x/*/bin"},
	} {
		if got := expandBraces(in); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"17.10", "9.6.3", "18beta1", "/a/{b,c}/**", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseVersion(s); err == nil {
			again, err := ParseVersion(v.String())
			if err != nil || again != v {
				t.Errorf("%q is %s, which is %s (%v)", s, v, again, err)
			}
			if major, err := ParseVersion(v.Major()); err != nil || major.Major() != v.Major() {
				t.Errorf("major of %q is %s (%v)", s, v.Major(), err)
			}
		}
		if c, err := ParseConstraint(s); err == nil {
			c.Match(Runtime{Bindir: s})
		}
	})
}
