package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// at walks a JSON document by a path like "rules.0.fwmark".
func at(doc any, path string) any {
	for _, step := range strings.Split(path, ".") {
		switch x := doc.(type) {
		case map[string]any:
			doc = x[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(x) {
				return nil
			}
			doc = x[i]
		default:
			return nil
		}
	}
	return doc
}

func jsonDoc(t *testing.T, p *plan.Plan) any {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text(t, func(b *bytes.Buffer) error { return JSON(b, p) })), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestJSON(t *testing.T) {
	p := widePlan()
	doc := jsonDoc(t, p)
	for path, want := range map[string]any{
		"mark_mask":         "0xff000000",
		"rule_priorities.1": 10999.,
		"tables.0.mark":     nil,
		"tables.1.mark":     "0x12000000",
		"sysctls.0.path":    "net/ipv4/conf/eth1/rp_filter",
		"routes.0.dst":      "0.0.0.0/0", "routes.0.hops.0.via": "192.0.2.1", "routes.0.hops.0.weight": 3.,
		"routes.0.table_name": "default",
		"routes.1.hops.0.via": "auto", "routes.2.type": "unreachable",
		"rules.0.suppress_prefixlength": 0., "rules.0.table": 254., "rules.1.fwmark": "0x12000000/0xff000000", "rules.1.table_name": "isp1",
		"rules.4.dport": "5060-5061", "rules.4.sport": "53", "rules.5.uid": "0-10", "rules.6.action": "unreachable", "rules.6.not": true,
		"rules.9.action": "goto", "rules.9.goto": 10030.,
		"dynamic.0.kind": "connected", "dynamic.0.table": 254., "dynamic.1.kind": "sources", "dynamic.1.interface": "eth1",
		"waiting.0.object":                            "uplink isp9",
		"nftables.counters.0.name":                    "policy-voip",
		"nftables.chains.0.hook":                      nil,
		"nftables.chains.5.hook":                      "prerouting",
		"nftables.chains.5.type":                      "filter",
		"nftables.sets.10.name":                       "phones-4",
		"nftables.sets.10.comment":                    "list phones",
		"nftables.sets.20.name":                       "wild",
		"nftables.sets.8.map":                         true,
		"nftables.sets.6.name":                        "hits",
		"nftables.sets.6.counted":                     true,
		"nftables.sets.6.elements.0.counter":          "policy-voip",
		"nftables.sets.1.data":                        "mark",
		"nftables.sets.1.dynamic":                     true,
		"nftables.sets.1.size":                        65536.,
		"nftables.sets.16.elements.0.jump":            "mark-isp1",
		"nftables.chains.4.rules.0.actions.0.hash.1":  "ip daddr",
		"nftables.chains.4.rules.0.actions.0.seed":    31.,
		"nftables.chains.4.rules.0.actions.0.modulus": 1024.,
		"nftables.chains.4.rules.5.actions.0.timeout": 3600.,
		"nftables.chains.4.rules.7.actions.0.prefix":  64.,
		"nftables.chains.4.rules.8.actions.0.per":     "minute",
		"nftables.chains.0.rules.0.actions.0.value":   "0x12000000",
		"nftables.chains.2.rules.1.matches.0.op":      "not in",
		"nftables.chains.2.rules.1.matches.0.value":   "wg*",
		"nftables.chains.2.rules.16.matches.0.value":  "@phones-4",
		"nftables.chains.2.rules.34.matches.0.op":     "any",
		"nftables.chains.2.rules.35.matches.0.op":     "none",
		"nftables.chains.8.rules.1.actions.0.address": "203.0.113.7",
	} {
		t.Run(path, func(t *testing.T) {
			if got := at(doc, path); got != want {
				t.Errorf("%s is %v, not %v", path, got, want)
			}
		})
	}
	values := map[string]bool{}
	for _, s := range at(doc, "nftables.sets").([]any) {
		for _, e := range at(s, "elements").([]any) {
			values[at(e, "value").(string)] = true
		}
	}
	for _, v := range []string{"wg*", "odd*", "192.168.10.32/28", "192.168.10.60-192.168.10.70", "02:00:00:00:00:01",
		"5060-5061", "0x12000000", "tcp"} {
		t.Run(v, func(t *testing.T) {
			if !values[v] {
				t.Errorf("no element %s", v)
			}
		})
	}
}

// TestJSONEmpty keeps lists lists: a reader need not look for null.
func TestJSONEmpty(t *testing.T) {
	out := text(t, func(b *bytes.Buffer) error { return JSON(b, &plan.Plan{}) })
	if strings.Contains(out, "null") {
		t.Error(out)
	}
	doc := jsonDoc(t, &plan.Plan{})
	for _, path := range []string{"tables", "sysctls", "routes", "rules", "dynamic", "waiting", "nftables.counters",
		"nftables.sets", "nftables.chains"} {
		t.Run(path, func(t *testing.T) {
			if l, ok := at(doc, path).([]any); !ok || len(l) != 0 {
				t.Errorf("%s is %v", path, at(doc, path))
			}
		})
	}
}

// TestSameBytes runs everything twice: maps must not show.
func TestSameBytes(t *testing.T) {
	p := widePlan()
	all := func() string {
		return nftText(t, p) + ipText(t, p) + scriptText(t, p) + text(t, func(b *bytes.Buffer) error { return JSON(b, p) }) +
			diffText(t, &plan.Plan{}, p, true)
	}
	first := all()
	for range 20 {
		if all() != first {
			t.Fatal("two runs differ")
		}
	}
}
