package conf

import (
	"path/filepath"
	"strings"
)

// RelativeTo makes the paths of files relative to dir rather than to the working directory.
func (c *Config) RelativeTo(dir string) {
	g, p := &c.General, &c.PgBouncer
	paths := []*string{
		&g.TLSCertificate, &g.TLSPrivateKey, &g.TLSClientCACertificate, &g.TLSServerCACertificate,
		&g.TLSServerCertificate, &g.TLSServerPrivateKey, &g.QueryLog, &g.TwoPhaseCommitWALDir,
		&p.AuthFile, &p.AuthHBAFile, &p.AuthIdentFile, &p.UnixSocketDir,
	}
	for i := range c.ShardedTables {
		paths = append(paths, &c.ShardedTables[i].CentroidsPath)
	}
	for i := range c.Plugins {
		c.Plugins[i].Path = c.Plugins[i].File()
		paths = append(paths, &c.Plugins[i].Path)
	}
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) && (path != &p.UnixSocketDir || !strings.HasPrefix(*path, "@")) {
			*path = filepath.Join(dir, *path)
		}
	}
}
