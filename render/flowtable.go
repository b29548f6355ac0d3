package render

import (
	"fmt"

	"pbr/compiler/plan"
)

func checkFlowtable(f *plan.Flowtable) error {
	if err := checkObject("flowtable", f.Name, ""); err != nil {
		return err
	}
	for _, list := range [][]string{f.Devices, f.Except} {
		for _, d := range list {
			if d == "" || !quotable(d) {
				return fmt.Errorf("flowtable %s: interface name %q cannot be quoted for nft", f.Name, d)
			}
		}
	}
	return nil
}

// flowtableHead is what a flowtable's definition says besides its devices, a line each.
func flowtableHead(f *plan.Flowtable) []string {
	priority := "filter"
	if f.Priority != 0 {
		priority = fmt.Sprint(f.Priority)
	}
	head := []string{"hook ingress priority " + priority}
	if f.Hardware {
		head = append(head, "flags offload")
	}
	if f.Counter {
		head = append(head, "counter")
	}
	if f.Foreign != "" {
		head = append(head, "# foreign: "+string(appendLine(nil, f.Foreign)))
	}
	return head
}

func appendFlowtable(b []byte, f *plan.Flowtable) []byte {
	b = append(append(append(b, "\tflowtable "...), f.Name...), " {\n"...)
	for i, line := range flowtableHead(f) {
		b = append(append(append(b, "\t\t"...), line...), '\n')
		if i == 0 && len(f.Devices) > 0 {
			b = appendDevices(append(b, "\t\t"...), f)
		}
	}
	return append(b, "\t}\n"...)
}

func appendDevices(b []byte, f *plan.Flowtable) []byte {
	b = append(b, "devices = { "...)
	for i, d := range f.Devices {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendQuoted(b, d)
	}
	return append(b, " }\n"...)
}

// late are the flowtables whose devices only the machine tells.
type late []*plan.Flowtable

func lateFlowtables(rs *plan.Ruleset) (l late) {
	for i := range rs.Flowtables {
		if f := &rs.Flowtables[i]; f.Late {
			l = append(l, f)
		}
	}
	return l
}

// used reports whether the chain leads to one of them.
func (l late) used(c *plan.Chain) bool {
	for _, f := range l {
		if c.Uses(f.Name) {
			return true
		}
	}
	return false
}

// sets are those that only chains that lead to them look in, by name: where there are no flowtables
// nothing needs them.
func (l late) sets(rs *plan.Ruleset) map[string]bool {
	only := map[string]bool{}
	for _, used := range [...]bool{true, false} {
		for i := range rs.Chains {
			if c := &rs.Chains[i]; l.used(c) == used {
				noteSets(only, c, used)
			}
		}
	}
	return only
}

// noteSets adds the sets that a chain looks in, or takes them away.
func noteSets(names map[string]bool, c *plan.Chain, add bool) {
	note := func(name string) {
		if !add {
			delete(names, name)
		} else if name != "" {
			names[name] = true
		}
	}
	for i := range c.Rules {
		for _, m := range c.Rules[i].Matches {
			note(m.Set)
		}
		for _, a := range c.Rules[i].Actions {
			if o := plan.Uses(a); o.Kind == plan.ObjectSet {
				note(o.Name)
			}
		}
	}
}

// appendLateComments says, in a file for nft alone, what it lacks.
func appendLateComments(b []byte, rs *plan.Ruleset) []byte {
	if lateFlowtables(rs) != nil {
		b = append(b, "\n# Offload is omitted: without kernel support, or with a missing interface, nft would refuse the whole file.\n"+
			"# \"pbr apply\" and the script of \"pbr compile\" find out what is there.\n"...)
	}
	return b
}

// appendScriptProbe asks for flowtables before anything is changed, where they are required.
func appendScriptProbe(b []byte, rs *plan.Ruleset) []byte {
	for _, f := range lateFlowtables(rs) {
		if f.Required {
			return append(b, "\n# offload is required\nneed_flowtables\n"...)
		}
	}
	return b
}

// appendScriptOffload adds the flowtables, the chains that use them and the sets that only these
// look in, in a transaction of their own.
func appendScriptOffload(b []byte, rs *plan.Ruleset) []byte {
	late := lateFlowtables(rs)
	sets := late.sets(rs)
	for _, f := range late {
		b = append(b, "\n# offload, with the existing interfaces\n"...)
		b = appendWords(append(b, "offload_named"...), f.Devices)
		b = appendWords(append(b, "offload_others"...), f.Except)
		call := "offload"
		if f.Required {
			call = "offload_required"
		}
		b = append(append(b, call...), " <<'EOF'\n"...)
		b = append(b, "table inet "+plan.TableName+" {\n"...)
		bare := *f
		bare.Devices = []string{devicesPlace}
		b = append(appendFlowtable(b, &bare), '\n')
		for i := range rs.Sets {
			if s := &rs.Sets[i]; sets[s.Name] {
				b = append(appendSet(b, s), '\n')
			}
		}
		for i := range rs.Chains {
			if c := &rs.Chains[i]; c.Uses(f.Name) {
				b = appendChain(b, c)
			}
		}
		b = append(b, "}\nEOF\n"...)
	}
	return b
}

// devicesPlace stands, in the script's text for nft, for the interfaces; "/" is in no interface's
// name (dev_valid_name).
const devicesPlace = "/"

func appendWords(b []byte, words []string) []byte {
	for _, w := range words {
		b = append(append(b, ' '), shellWord(w)...)
	}
	return append(b, '\n')
}

// flowtable adds the changes of one flowtable: its definition, then its devices.
func (d *diffWriter) flowtable(c *plan.FlowtableChange) {
	some := c.Want
	if some == nil {
		some = c.Have
	}
	d.section("table inet " + plan.TableName + " flowtable " + some.Name)
	var have, want []string
	remove, add := c.Remove, c.Add
	if c.Have != nil {
		have = flowtableHead(c.Have)
	}
	if c.Want != nil {
		want = flowtableHead(c.Want)
	}
	switch {
	case c.Have == nil:
		add = c.Want.Devices
	case c.Want == nil:
		remove = c.Have.Devices
	case c.Rebuild:
		same := *c.Want
		same.Devices = c.Have.Devices
		for _, devices := range diffRulesets(plan.Ruleset{Flowtables: []plan.Flowtable{same}},
			plan.Ruleset{Flowtables: []plan.Flowtable{*c.Want}}).Flowtables {
			remove, add = devices.Remove, devices.Add
		}
	default:
		have, want = nil, nil
	}
	d.heads(have, want)
	for _, dev := range remove {
		d.removed(appendQuoted([]byte("device "), dev))
	}
	for _, dev := range add {
		d.added(appendQuoted([]byte("device "), dev))
	}
}
