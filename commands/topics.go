package commands

import (
	"embed"
	"slices"
	"strings"
)

//go:embed help/*.md
var topicFiles embed.FS

// topicNames lists the help topics, sorted.
func topicNames() []string {
	entries, err := topicFiles.ReadDir("help")
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".md"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// topic returns the Markdown of a topic.
func topic(name string) (string, bool) {
	b, err := topicFiles.ReadFile("help/" + name + ".md")
	return string(b), err == nil
}
