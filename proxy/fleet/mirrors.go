package fleet

import (
	"github.com/pgx-dev/pgx-dev/proxy"
	"github.com/pgx-dev/pgx-dev/proxy/conf"
)

// Mirrors are what a configuration says of mirroring.
func Mirrors(c *conf.Config) []proxy.Mirroring {
	out := make([]proxy.Mirroring, len(c.Mirroring))
	for i, m := range c.Mirroring {
		out[i] = proxy.Mirroring{Source: m.SourceDB, Destination: m.DestinationDB, Queue: c.General.MirrorQueue, Exposure: c.General.MirrorExposure}
		if m.QueueLength != nil {
			out[i].Queue = *m.QueueLength
		}
		if m.Exposure != nil {
			out[i].Exposure = *m.Exposure
		}
		switch m.Level {
		case conf.MirrorDDL:
			out[i].Level = proxy.MirrorDDL
		case conf.MirrorDML:
			out[i].Level = proxy.MirrorDML
		}
	}
	return out
}
