package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzParse parses anything as a policy and as a list file: no panic, and every diagnostic has
// a code, a message, and a place that exists.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"/*.txtar", "/*.toml"} {
		names, _ := filepath.Glob(fixtures + pattern)
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			_, body, found := strings.Cut(string(text), "-- policy.toml --\n")
			if !found {
				body = string(text)
			}
			body, _, _ = strings.Cut(body, "\n-- ")
			f.Add(body, "10.0.0.0/8\n10.0.0.1-10.0.0.9 # x\n@phones\n2001:db8::/32\n")
		}
	}
	f.Fuzz(func(t *testing.T, text, list string) {
		fsys := fstest.MapFS{"etc/policy.toml": {Data: []byte(text)}, "etc/office.txt": {Data: []byte(list)}}
		doc, ds := Parse(fsys, "etc/policy.toml", "/etc/policy.toml")
		lines := map[string]int{"/etc/policy.toml": strings.Count(text, "\n") + 1, "/etc/office.txt": strings.Count(list, "\n") + 1}
		for _, d := range ds {
			if d.Code == "" || d.Message == "" {
				t.Errorf("diagnostic without code or message: %+v", d)
			}
			if d.Pos.Line < 1 || d.Pos.Col < 1 || d.Pos.Line > lines[d.Pos.File] {
				t.Errorf("diagnostic without a place: %+v", d)
			}
		}
		if !ds.HasErrors() {
			checkDocument(t, doc)
		}
	})
}

// checkDocument checks what a Document without errors promises.
func checkDocument(t *testing.T, doc *Document) {
	uplinks, tables, lists := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, u := range doc.Uplinks {
		uplinks[u.Name] = true
	}
	for _, tab := range doc.Tables {
		tables[tab.Name] = true
	}
	for _, l := range doc.Lists {
		lists[l.Name] = true
		if !isMerged(l.Ranges) {
			t.Errorf("list %q is not merged: %v", l.Name, l.Ranges)
		}
	}
	all := doc.Tables
	if doc.Default != nil {
		all = append(all, *doc.Default)
	}
	for _, tab := range all {
		if len(tab.Routes) == 0 && (tab.Name != "default" || len(doc.Disabled) == 0) {
			t.Errorf("table %q has no routes", tab.Name)
		}
		for _, r := range tab.Routes {
			if !uplinks[r.Uplink] || r.Distance < 1 || r.Distance > maxDistance || r.Weight < 1 || r.Weight > maxWeight {
				t.Errorf("table %q: bad route %+v", tab.Name, r)
			}
		}
	}
	for _, pol := range doc.Policies {
		if !pol.Local && !pol.Forwarded {
			t.Errorf("policy %q is for no traffic", pol.Name)
		}
		if k := pol.Target; k.Kind == ToUplink && !uplinks[k.Name] || k.Kind == ToTable && !tables[k.Name] || k.Kind == 0 {
			t.Errorf("policy %q: bad target %+v", pol.Name, k)
		}
		for _, item := range append(pol.Src, pol.Dst...) {
			if (item.List == "") == !item.Range.From.IsValid() || item.List != "" && !lists[item.List] {
				t.Errorf("policy %q: bad address %+v", pol.Name, item)
			}
		}
	}
}
