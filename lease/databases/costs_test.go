package databases

import (
	"testing"
	"time"
)

// TestCosts chooses what has been quicker, and now and then tries the other way, so that it
// learns when that has changed.
func TestCosts(t *testing.T) {
	const ms = time.Millisecond
	var c costs
	if !c.provePays() || !c.emptyPays() {
		t.Error("what was never measured is not tried")
	}
	c.note(&c.create, 30*ms)
	c.note(&c.drop, 10*ms)
	c.cleaned(15*ms, false, true)
	c.cleaned(90*ms, true, true)
	if !c.provePays() {
		t.Error("looking takes less than making again, and is not done")
	}
	tried := 0
	for range 4 * probeEvery {
		if c.emptyPays() {
			tried++
		}
	}
	if tried != 4 {
		t.Errorf("what takes longer was tried %d times of %d, want 4", tried, 4*probeEvery)
	}
	for range 20 {
		c.cleaned(12*ms, true, true)
	}
	if !c.emptyPays() {
		t.Error("what has become quicker is not done")
	}
	// Looking and then making again is dearer than making again at once.
	for range 20 {
		c.cleaned(5*ms, false, false)
	}
	if c.provePays() {
		t.Error("looking goes on though nothing is ever clean")
	}
}
