package commands

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/pgx-dev/pgx-dev/config"
)

// deployFiles returns the files in the help topic, by their base names.
func deployFiles(t *testing.T) map[string]string {
	t.Helper()
	text, ok := topic("deploy")
	if !ok {
		t.Fatal("there is no topic deploy")
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)`([^`\n]+)`\n\n```[a-z]+\n(.*?)```").FindAllStringSubmatch(text, -1) {
		out[filepath.Base(m[1])] = m[2]
	}
	if len(out) != 6 {
		t.Fatalf("%d files in the topic", len(out))
	}
	return out
}

// checkCommand has our parser read a command line of the topic, which must be a proxy's, and
// returns the names of the files that it reads.
func checkCommand(t *testing.T, args []string) (pgdog, users string) {
	t.Helper()
	parser, err := newParser(newCLI(), newEnv(strings.NewReader(""), io.Discard, io.Discard, nil))
	if err != nil {
		t.Fatal(err)
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	f, ok := reflect.TypeAssert[*proxyServeCmd](kctx.Selected().Target.Addr())
	if !ok {
		t.Fatalf("%q is %s", args, kctx.Command())
	}
	if f.PgDog == "" || f.Users == "" {
		t.Fatalf("%q names no configuration", args)
	}
	return f.PgDog, f.Users
}

// readDeployed has a proxy's configuration read.
func readDeployed(t *testing.T, pgdog, users string) *config.Proxy {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"pgdog.toml": pgdog, "users.toml": users} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := config.LoadProxy(config.ProxyOptions{PgDog: filepath.Join(dir, "pgdog.toml")})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) > 0 || len(p.Databases) == 0 || len(p.Config.Users) == 0 {
		t.Errorf("warnings %v, %d databases, %d users", p.Warnings, len(p.Databases), len(p.Config.Users))
	}
	return p
}

// unit reads a unit file: what its sections say, each key with all its values.
func unit(t *testing.T, text string) map[string]map[string][]string {
	t.Helper()
	out := map[string]map[string][]string{}
	section := ""
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "":
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			out[section] = map[string][]string{}
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" || key == "" || value == "" {
				t.Fatalf("line %d: %q", i+1, line)
			}
			out[section][key] = append(out[section][key], value)
		}
	}
	return out
}

// TestDeploySystemd checks the unit files against the configuration, and against what the
// proxy does. (systemd-analyze verify has nothing to say of them.)
func TestDeploySystemd(t *testing.T) {
	files := deployFiles(t)
	socket, service := unit(t, files["pgx-dev-proxy.socket"]), unit(t, files["pgx-dev-proxy.service"])
	known := map[string][]string{
		"Unit":    {"Description", "Documentation", "Requires", "After", "Wants"},
		"Install": {"WantedBy"},
		"Socket":  {"ListenStream", "SocketMode", "SocketUser", "SocketGroup", "NoDelay", "Backlog", "FileDescriptorName"},
		"Service": {
			"Type", "ExecStart", "ExecReload", "User", "Group", "RuntimeDirectory", "StateDirectory", "Environment", "WatchdogSec", "Restart",
			"TimeoutStopSec", "LimitNOFILE", "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictAddressFamilies",
		},
	}
	for _, u := range []map[string]map[string][]string{socket, service} {
		for section, keys := range u {
			for key := range keys {
				if !slices.Contains(known[section], key) {
					t.Errorf("[%s] %s is no key of systemd's that we know", section, key)
				}
			}
		}
	}
	p := readDeployed(t, files["pgdog.toml"], files["users.toml"])
	words := strings.Fields(service["Service"]["ExecStart"][0])
	if filepath.Base(words[0]) != "pgx-dev" {
		t.Errorf("it starts %s", words[0])
	}
	pgdog, users := checkCommand(t, words[1:])
	if filepath.Base(pgdog) != "pgdog.toml" || filepath.Base(users) != "users.toml" {
		t.Errorf("it reads %s and %s", pgdog, users)
	}
	stop, err := strconv.Atoi(service["Service"]["TimeoutStopSec"][0])
	if err != nil || time.Duration(stop)*time.Second <= p.General.ShutdownTimeout {
		t.Errorf("systemd kills after %d s, and transactions have %v", stop, p.General.ShutdownTimeout)
	}
	tcp, local := socket["Socket"]["ListenStream"][0], socket["Socket"]["ListenStream"][1]
	if want := p.General.Host + ":" + strconv.Itoa(int(p.General.Port)); tcp != want {
		t.Errorf("systemd listens on %s, and the configuration says %s", tcp, want)
	}
	if !socketName.MatchString(filepath.Base(local)) {
		t.Errorf("clients do not find %s", local)
	}
	if service["Service"]["Type"][0] != "notify-reload" || socket["Socket"]["FileDescriptorName"][0] != forClients {
		t.Error("the units do not use what the proxy does")
	}
}

// TestDeployContainer checks the container file.
func TestDeployContainer(t *testing.T) {
	text := deployFiles(t)["Containerfile"]
	instructions := map[string]string{}
	for line := range strings.Lines(text) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			instructions[name] = rest // the last of its kind
		} else if strings.TrimSpace(line) != "" {
			t.Errorf("line %q", line)
		}
	}
	var args []string
	if err := json.Unmarshal([]byte(instructions["CMD"]), &args); err != nil {
		t.Fatal(err)
	}
	checkCommand(t, args)
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if !strings.Contains(text, "golang:"+string(version[1])+" ") {
		t.Errorf("go.mod wants Go %s", version[1])
	}
}

// A object is a part of a manifest.
type object = map[string]any

// at follows a path of names and numbers into a manifest.
func at[T any](t *testing.T, in any, path ...any) (out T) {
	t.Helper()
	v := in
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, ok := v.(object)
			if !ok || m[s] == nil {
				t.Fatalf("%v: there is no %s in %v", path, s, v)
			}
			v = m[s]
		case int:
			l, ok := v.([]any)
			if !ok || s >= len(l) {
				t.Fatalf("%v: there is no number %d in %v", path, s, v)
			}
			v = l[s]
		}
	}
	out, ok := v.(T)
	if !ok {
		t.Fatalf("%v is %T", path, v)
	}
	return out
}

// TestDeployKubernetes checks that the parts of the manifest fit each other and the proxy.
func TestDeployKubernetes(t *testing.T) {
	kinds := map[string]object{}
	dec := yaml.NewDecoder(strings.NewReader(deployFiles(t)["kubernetes.yaml"]))
	for {
		var o object
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds[at[string](t, o, "kind")] = o
	}
	if len(kinds) != 5 {
		t.Fatalf("%d kinds", len(kinds))
	}
	p := readDeployed(t, at[string](t, kinds["ConfigMap"], "data", "pgdog.toml"), at[string](t, kinds["Secret"], "stringData", "users.toml"))
	template := at[object](t, kinds["Deployment"], "spec", "template")
	spec := at[object](t, template, "spec")
	box := at[object](t, spec, "containers", 0)
	var args []string
	for _, a := range at[[]any](t, box, "args") {
		args = append(args, a.(string))
	}
	pgdog, users := checkCommand(t, args)
	// The files are where the volumes put them.
	sources := map[string]string{}
	for _, v := range at[[]any](t, spec, "volumes") {
		switch m := v.(object); {
		case m["configMap"] != nil:
			sources[m["name"].(string)] = at[string](t, m, "configMap", "name")
		case m["secret"] != nil:
			sources[m["name"].(string)] = at[string](t, m, "secret", "secretName")
		}
	}
	mounted := map[string]string{}
	for _, m := range at[[]any](t, box, "volumeMounts") {
		mounted[at[string](t, m, "mountPath")] = sources[at[string](t, m, "name")]
	}
	if mounted[filepath.Dir(pgdog)] != at[string](t, kinds["ConfigMap"], "metadata", "name") || mounted[filepath.Dir(users)] != at[string](t, kinds["Secret"], "metadata", "name") {
		t.Errorf("%s and %s are not where %v is mounted", pgdog, users, mounted)
	}
	// Ports.
	ports := map[string]int{}
	for _, port := range at[[]any](t, box, "ports") {
		ports[at[string](t, port, "name")] = at[int](t, port, "containerPort")
	}
	if ports["postgres"] != int(p.General.Port) || ports["metrics"] != int(p.General.OpenmetricsPort) || p.General.Host != "0.0.0.0" {
		t.Errorf("ports %v, configured %d and %d", ports, p.General.Port, p.General.OpenmetricsPort)
	}
	for _, port := range at[[]any](t, kinds["Service"], "spec", "ports") {
		if ports[at[string](t, port, "targetPort")] == 0 {
			t.Errorf("the service's port %v goes nowhere", port)
		}
	}
	if ports[at[string](t, box, "readinessProbe", "httpGet", "port")] != int(p.General.OpenmetricsPort) || at[string](t, box, "readinessProbe", "httpGet", "path") != "/health" {
		t.Error("the probe of readiness asks elsewhere")
	}
	if ports[at[string](t, box, "livenessProbe", "tcpSocket", "port")] == 0 {
		t.Error("the probe of liveness asks nowhere")
	}
	grace := at[int](t, spec, "terminationGracePeriodSeconds") - at[int](t, box, "lifecycle", "preStop", "sleep", "seconds")
	if time.Duration(grace)*time.Second <= p.General.ShutdownTimeout {
		t.Errorf("%d s are left for the end, and transactions have %v", grace, p.General.ShutdownTimeout)
	}
	// Whose pods they are.
	labels := at[object](t, template, "metadata", "labels")
	for _, selector := range []object{
		at[object](t, kinds["Deployment"], "spec", "selector", "matchLabels"), at[object](t, kinds["Service"], "spec", "selector"),
		at[object](t, kinds["PodDisruptionBudget"], "spec", "selector", "matchLabels"),
	} {
		for k, v := range selector {
			if labels[k] != v {
				t.Errorf("the selector %v does not select %v", selector, labels)
			}
		}
	}
	if at[int](t, kinds["PodDisruptionBudget"], "spec", "minAvailable") >= at[int](t, kinds["Deployment"], "spec", "replicas") {
		t.Error("no pod could ever be moved")
	}
}
