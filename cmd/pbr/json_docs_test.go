package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/from"
	"pbr/compiler/plan"
	"pbr/kernel"
	"pbr/kernel/doctor"
	"pbr/render/graph"
)

// keysOf gathers the JSON keys of a type, and of what is in it.
func keysOf(t reflect.Type, seen map[reflect.Type]bool, keys map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] || t == reflect.TypeFor[time.Time]() {
		return
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case name != "":
			keys[name] = true
		case !f.Anonymous:
			keys[f.Name] = true // which no document can name by accident
		}
		keysOf(f.Type, seen, keys)
	}
}

// keysIn gathers the keys of a JSON text.
func keysIn(t *testing.T, text []byte, keys map[string]bool) {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if _, is := v.(map[string]any); !is {
		t.Errorf("no object at the top level: %.40s", text)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				keys[k] = true
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(v)
}

// TestJSONDocs: each key of each command's JSON stands in its section of docs/json.md.
func TestJSONDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, part := range strings.Split(string(b), "\n## ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		sections[title] = text
	}
	keys := map[string]map[string]bool{}
	add := func(section string, values ...any) {
		if keys[section] == nil {
			keys[section] = map[string]bool{}
		}
		for _, v := range values {
			keysOf(reflect.TypeOf(v), map[reflect.Type]bool{}, keys[section])
		}
	}
	add("connections", connectionsResult{})
	add("status", statusResult{}, clientsResult{})
	add("diff, apply, revert, flush", diffResult{})
	add("doctor", doctorResult{})
	add("trace", tracedItem{})
	add("lists", listsResult{})
	add("import", importedStatement{})
	add("graph", graph.Graph{})
	add("version", thisBuild())
	add("check")
	add("compile --dry-run")
	add("explain")
	keysIn(t, offlineJSON(t, 1, "[[policy]\n", "check"), keys["check"])
	keysIn(t, offlineJSON(t, 0, goldenPolicy, "compile", "--dry-run"), keys["compile --dry-run"])
	keysIn(t, offlineJSON(t, 0, goldenPolicy, "explain", "--offline", "--in", "lan", "10.0.0.9", "8.8.8.8:443/tcp"), keys["explain"])
	for section, all := range keys {
		t.Run(section, func(t *testing.T) {
			for _, key := range slices.Sorted(maps.Keys(all)) {
				if !regexp.MustCompile("`(watch\\.|policy\\.|tables\\[\\]\\.|balances\\[\\]\\.)?" + regexp.QuoteMeta(key) +
					"`").MatchString(sections[section]) {
					t.Errorf("docs/json.md, section %q, does not name %s", section, key)
				}
			}
		})
	}
}

// docs/json.md names the values that a key can have.
func TestJSONDocsNameTheValues(t *testing.T) {
	b, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	for section, values := range map[string][]string{
		"import": {string(from.Imported), string(from.Merged), string(from.Changed), string(from.Dropped), string(from.Disabled),
			string(from.Irrelevant)},
		"doctor": {string(doctor.OK), string(doctor.Warn), string(doctor.Fail)},
		"graph": {string(graph.Policy), string(graph.Rule), string(graph.Rest), string(graph.Balance), string(graph.Table),
			string(graph.Uplink), string(graph.Nowhere)},
	} {
		t.Run(section, func(t *testing.T) {
			_, text, _ := strings.Cut(string(b), "\n## "+section+"\n")
			text, _, _ = strings.Cut(text, "\n## ")
			for _, value := range values {
				if !strings.Contains(text, "`"+value+"`") {
					t.Errorf("docs/json.md does not name %s", value)
				}
			}
		})
	}
}

const goldenPolicy = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "198.51.100.2"
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "web"
dport = 443
uplink = "isp2"
[[rule]]
name = "cams"
src = "10.0.0.5"
table = "default"
`

// offlineJSON runs a command that needs no kernel.
func offlineJSON(t *testing.T, code int, policy string, args ...string) []byte {
	t.Helper()
	file := t.TempDir() + "/pbr.toml"
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	c := command{stdin: strings.NewReader(""), stdout: &out, stderr: &said}
	if got := c.main(append([]string{"pbr", "--config", file, "--json"}, args...)); got != code {
		t.Fatalf("%q: exit status %d\n%s%s", args, got, &out, &said)
	}
	return out.Bytes()
}

// golden compares JSON with what it was when it was written down.
func golden(t *testing.T, v any, want string) {
	t.Helper()
	var b strings.Builder
	if err := printJSON(&b, v); err != nil {
		t.Fatal(err)
	}
	if b.String() != want[1:] {
		t.Errorf("printed\n%s\nnot\n%s", b.String(), want[1:])
	}
}

// The changes of apply and diff are told object by object, for programs and in English.
func TestChangesGolden(t *testing.T) {
	route := plan.Route{Family: plan.IPv4, Table: 112005, Kind: plan.Unicast, Dst: netip.MustParsePrefix("0.0.0.0/0"),
		Metric: 1, Protocol: plan.Protocol,
		Hops: []plan.Hop{{Dev: "wan1", Via: netip.MustParseAddr("192.0.2.1"), Weight: 1}}}
	other := route
	other.Hops = []plan.Hop{{Dev: "wan2", Weight: 1}}
	rule := plan.Rule{Family: plan.IPv6, Priority: 10100, Mark: 0x5000000, MarkMask: 0xff000000, Table: 112005, Protocol: plan.Protocol}
	rule.Action = plan.ActLookup
	report := &kernel.Report{Changes: &plan.Changes{
		Sysctls: []plan.SysctlChange{{Path: "net/ipv4/ip_forward", Have: "0", Want: "1"}},
		Routes:  []plan.RouteChange{{Want: &route}, {Have: &route, Want: &other}},
		Rules:   []plan.RuleChange{{Have: &rule}},
		Sets:    []plan.SetChange{{Have: &plan.Set{Name: "usable-4"}, Want: &plan.Set{Name: "usable-4"}, Add: make([]plan.Element, 1)}},
		Foreign: []string{"chain mine"},
	}, Pinned: 3}
	numbers := &plan.Plan{Numbers: []plan.Number{{Name: "isp1", Table: 112005}}}
	done := &daemon.Applied{Changed: changedLines(report), Changes: changedObjects(report, numbers)}
	golden(t, applyResult{Changes: done.Changes[:1], Changed: done.Changed, Warnings: []string{}, Deferred: deferredJSON(nil)}, `
{
  "in_sync": false,
  "changes": [
    {
      "op": "set",
      "kind": "sysctl",
      "text": "set net/ipv4/ip_forward to 1",
      "path": "net/ipv4/ip_forward",
      "value": "1",
      "was": "0"
    }
  ],
  "changed": [
    "sysctls: 1 set",
    "routes: 1 added, 1 replaced",
    "rules: 1 removed",
    "sets: 1 changed, 1 element added",
    "foreign objects: 1 removed",
    "connections: 3 pinned to the uplink that default no longer uses"
  ],
  "warnings": [],
  "waiting": []
}
`)
	want := []string{
		`{"op":"add","kind":"route","text":"add route: ip -4 route default via 192.0.2.1 dev wan1 table 112005 ` +
			`proto 112 metric 1","family":4,"table":112005,"table_name":"isp1","type":"unicast",` +
			`"dst":"0.0.0.0/0","metric":1,"protocol":112,"hops":[{"dev":"wan1","via":"192.0.2.1","weight":1}]}`,
		`{"op":"replace","kind":"route","text":"replace route: ip -4 route default dev wan2 table 112005 proto ` +
			`112 metric 1","family":4,"table":112005,"table_name":"isp1","type":"unicast","dst":"0.0.0.0/0",` +
			`"metric":1,"protocol":112,"hops":[{"dev":"wan2","weight":1}],"was":{"family":4,"table":112005,` +
			`"table_name":"isp1","type":"unicast","dst":"0.0.0.0/0","metric":1,"protocol":112,` +
			`"hops":[{"dev":"wan1","via":"192.0.2.1","weight":1}]}}`,
		`{"op":"remove","kind":"rule","text":"remove rule: ip -6 rule priority 10100 from all fwmark ` +
			`0x05000000/0xff000000 lookup 112005 protocol 112","family":6,"priority":10100,` +
			`"fwmark":"0x05000000/0xff000000","action":"lookup","table":112005,"table_name":"isp1","protocol":112}`,
		`{"op":"change","kind":"set","text":"change set usable-4: 1 added, 0 removed","name":"usable-4","added":1,"removed":0}`,
		`{"op":"remove","kind":"object","text":"remove what pbr did not create: chain mine","name":"chain mine"}`,
		`{"op":"pin","kind":"connections","text":"connections: 3 pinned to the uplink that default no longer uses","count":3}`,
	}
	for i, w := range want {
		t.Run(w, func(t *testing.T) {
			if got := string(done.Changes[i+1]); got != w {
				t.Errorf("change %d is\n%s\nnot\n%s", i+1, got, w)
			}
		})
	}
}
