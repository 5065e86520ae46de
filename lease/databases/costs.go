package databases

import (
	"sync"
	"time"
)

// costs are how long it has taken of late to make a database again, and to clean one, so
// that the policy "auto" does what is quicker here and now: that depends on the size of the
// template, on the number of tables, on the file system and on the load. It is safe for
// concurrent use.
type costs struct {
	mu      sync.Mutex
	create  mean
	drop    mean
	prove   mean // looking whether a database is clean, and making it again where it was not
	empty   mean // the same, where tables were emptied
	skipped int  // times that the other way was chosen, since it was tried last
}

// probeEvery is after how many choices of one way the other is tried, to see what it takes
// by now.
const probeEvery = 16

// A mean forgets exponentially.
type mean float64

func (m *mean) add(d time.Duration) {
	v := d.Seconds()
	if *m == 0 {
		*m = mean(v)
	}
	*m += (mean(v) - *m) / 4
}

// note adds a duration to one of the means.
func (c *costs) note(m *mean, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.add(d)
}

// cleaned notes what it took to clean a database, or to find out that it has to be made
// again, which then comes on top.
func (c *costs) cleaned(took time.Duration, emptied, clean bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !clean {
		took += time.Duration(float64(c.create+c.drop) * float64(time.Second))
	}
	if emptied {
		c.empty.add(took)
	} else {
		c.prove.add(took)
	}
}

// provePays reports whether to look if a database is clean, or can be made so. Not knowing
// counts as yes.
func (c *costs) provePays() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pays(c.prove)
}

// emptyPays reports whether to empty tables.
func (c *costs) emptyPays() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pays(c.empty)
}

// pays compares with making the database again. c.mu is held.
func (c *costs) pays(m mean) bool {
	again := c.create + c.drop
	if m == 0 || again == 0 || m <= again {
		return true
	}
	c.skipped++
	if c.skipped >= probeEvery {
		c.skipped = 0
		return true
	}
	return false
}
