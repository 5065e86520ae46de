package engines

import (
	"encoding/json"
	"testing"
)

func TestCapabilityJSON(t *testing.T) {
	tests := []struct {
		c    Capability
		json string
	}{
		{0, `[]`},
		{CanSessions, `["sessions"]`},
		{CanReplicate | CanArchive | CanSessions | CanSubprocess, `["replicate","archive","sessions","subprocess"]`},
	}
	for _, tt := range tests {
		b, err := json.Marshal(tt.c)
		if err != nil || string(b) != tt.json {
			t.Errorf("%d is %s, %v; want %s", tt.c, b, err, tt.json)
		}
		back := CanArchive
		if err := json.Unmarshal(b, &back); err != nil || back != tt.c {
			t.Errorf("%s is %d, %v; want %d", b, back, err, tt.c)
		}
	}
	var c Capability
	if err := json.Unmarshal([]byte("15"), &c); err != nil || c != 15 {
		t.Errorf("a number: %d, %v", c, err)
	}
	if err := json.Unmarshal([]byte(`["archive","flying"]`), &c); err != nil || c != CanArchive {
		t.Errorf("an unknown name: %d, %v", c, err)
	}
	if err := json.Unmarshal([]byte(`{}`), &c); err == nil {
		t.Error("an object is no set")
	}
}
