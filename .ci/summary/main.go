// Command summary reads the events of "go test -json", prints a line for each package as
// it ends and the output of what failed, and fails if a test failed, was skipped, or if
// there was none at all.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// An event is a line of "go test -json"; see "go doc test2json".
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Elapsed    float64
	Output     string
}

// A test is one that ended, by package and name.
type test struct {
	name    string
	elapsed float64
}

func main() {
	if err := summarize(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(1)
	}
}

func summarize(in io.Reader, out io.Writer) error {
	began := time.Now()
	output := map[string][]string{} // by package and test, of those that have not ended
	var passed, failed, skipped []test
	packages, broken := 0, 0

	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Fprintf(out, "%s", line) // not an event: what go itself has to say
				continue
			}
			key := e.Package + " " + e.Test
			switch e.Action {
			case "output":
				output[key] = append(output[key], e.Output)
				continue
			case "build-output":
				fmt.Fprint(out, e.Output)
				continue
			case "pass", "fail", "skip":
			default:
				continue
			}
			if e.Test == "" {
				packages++
				if e.Action == "fail" {
					broken++
					fmt.Fprint(out, strings.Join(output[key], ""))
					for _, name := range unended(output, e.Package) {
						fmt.Fprintf(out, "%sdid not end: %s\n", strings.Join(output[name], ""), name)
						delete(output, name)
					}
				}
				fmt.Fprintf(out, "%-4s  %-60s %7.1fs\n", map[string]string{"pass": "ok", "fail": "FAIL", "skip": "-"}[e.Action], e.Package, e.Elapsed)
				delete(output, key)
				continue
			}
			t := test{key, e.Elapsed}
			switch e.Action {
			case "pass":
				passed = append(passed, t)
			case "fail":
				failed = append(failed, t)
				fmt.Fprint(out, strings.Join(output[key], ""))
			case "skip":
				skipped = append(skipped, t)
				fmt.Fprint(out, strings.Join(output[key], ""))
			}
			delete(output, key)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}

	slices.SortFunc(passed, func(a, b test) int { return cmp.Compare(b.elapsed, a.elapsed) })
	fmt.Fprintf(out, "\nslowest:\n")
	for _, t := range passed[:min(8, len(passed))] {
		fmt.Fprintf(out, "%7.1fs  %s\n", t.elapsed, t.name)
	}
	fmt.Fprintf(out, "\n%d packages, %d tests passed, %d failed, %d skipped, %.0f s\n",
		packages, len(passed), len(failed), len(skipped), time.Since(began).Seconds())
	for _, t := range failed {
		fmt.Fprintf(out, "failed:  %s\n", t.name)
	}
	for _, t := range skipped {
		fmt.Fprintf(out, "skipped: %s\n", t.name)
	}
	switch {
	case len(failed) > 0 || broken > 0:
		return fmt.Errorf("%d tests and %d packages failed", len(failed), broken)
	case len(skipped) > 0:
		return fmt.Errorf("%d tests were skipped; install what they need", len(skipped))
	case len(passed) == 0:
		return fmt.Errorf("no test was run")
	}
	return nil
}

// unended returns the keys of a package's tests that began and did not end.
func unended(output map[string][]string, pkg string) []string {
	var names []string
	for key := range output {
		if test, ok := strings.CutPrefix(key, pkg+" "); ok && test != "" {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names
}
