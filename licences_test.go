package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// licences are the ones that code we link may have, each with a phrase that stands in its
// text and in no other's here.
func licences() map[string]string {
	return map[string]string{
		"Apache-2.0": "apache license version 2.0",
		"MIT":        "permission is hereby granted, free of charge",
		"BSD":        "redistribution and use in source and binary forms",
		"ISC":        "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee",
		"PostgreSQL": "permission to use, copy, modify, and distribute this software and its documentation for any purpose, without fee",
		"Unlicense":  "this is free and unencumbered software released into the public domain",
	}
}

// identify returns the licence of a text, or "" if it is none that is allowed. A text that
// speaks of the GPL is never taken for another licence.
func identify(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	text = strings.ReplaceAll(text, "license, version 2.0", "license version 2.0")
	for _, no := range []string{"general public license", "server side public license", "business source license"} {
		if strings.Contains(text, no) {
			return ""
		}
	}
	for name, phrase := range licences() {
		if strings.Contains(text, phrase) {
			return name
		}
	}
	return ""
}

// TestLicences finds the licence of every module that is linked into pgx-dev or its tests,
// in its own directory, and fails on one that is missing or not allowed.
func TestLicences(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test",
		"-f", `{{with .Module}}{{if not .Main}}{{.Path}}{{"\t"}}{{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := slices.Compact(slices.Sorted(strings.SplitSeq(strings.TrimSpace(string(out)), "\n")))
	checked := 0
	for _, line := range modules {
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			continue
		}
		checked++
		name := ""
		files, err := filepath.Glob(filepath.Join(fields[2], "[LC][IiOo][CcPp][EeYy][NnIi]*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if name = identify(string(text)); name != "" {
				break
			}
		}
		if name == "" {
			t.Errorf("%s %s: no licence that is allowed (looked at %q)", fields[0], fields[1], files)
			continue
		}
		t.Logf("%-12s %s %s", name, fields[0], fields[1])
	}
	if checked < 5 {
		t.Errorf("only %d modules found in:\n%s", checked, bytes.TrimSpace(out))
	}
}

func TestIdentify(t *testing.T) {
	for text, want := range map[string]string{
		"Apache License\n  Version 2.0, January 2004":                                     "Apache-2.0",
		"Permission is hereby granted,\nfree of charge, to any person":                    "MIT",
		"Redistribution and use in source and binary forms, with or without":              "BSD",
		"GNU AFFERO GENERAL PUBLIC LICENSE\nPermission is hereby granted, free of charge": "",
		"All rights reserved.": "",
	} {
		if got := identify(text); got != want {
			t.Errorf("identify(%q) = %q, want %q", text, got, want)
		}
	}
}
