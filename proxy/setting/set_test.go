package setting

import "testing"

func TestSet(t *testing.T) {
	a := Of(Param{"TimeZone", "'UTC'"}, Param{"work_mem", "'1MB'"})
	b := Set{}.With("work_mem", "'2MB'").With("timezone", "'UTC'").With("Work_Mem", "'1MB'")
	if !a.Same(b) {
		t.Errorf("%v and %v are not the same", a.All(), b.All())
	}
	if a.Same(a.Without("work_mem")) || !(Set{}).Same(a.Without("work_mem").Without("TIMEZONE")) {
		t.Error("Without does not take away")
	}
	if v, ok := a.Get("TIMEZONE"); !ok || v != "'UTC'" {
		t.Errorf("Get: %q, %v", v, ok)
	}
	if a.Same(Of(Param{"timezone", "'UTC'\x01"})) || a.Same(a.With("x", "1")) {
		t.Error("different sets are the same")
	}
	over := Of(Param{"a", "1"}).Over(Of(Param{"a", "2"}, Param{"b", "3"}))
	if !over.Same(Of(Param{"a", "1"}, Param{"b", "3"})) {
		t.Errorf("Over: %v", over.All())
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a": "'a'", "it's": "'it''s'", `a\b`: `E'a\\b'`, `'\`: `E'''\\'`, "": "''",
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}
